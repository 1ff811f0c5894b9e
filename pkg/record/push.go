package record

import (
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// response records a push, unless it may repeat one that was rejected.
func (r *Recorder) response(st *stream, s xds.Sighting) {
	if !st.discovery || s.Msg == nil {
		return
	}
	delta := st.delta(s.Msg, true)
	p, chunks, err := parsePush(s.Msg.Envelope, delta)
	if p.Type == "" {
		p.Type = impliedType(st.method)
	}
	if err != nil {
		st.gap(r, s, "response not decodable: "+err.Error())
		return
	}
	it := &item{}
	p.Size, p.Omitted = size(s.Msg), s.Msg.Omitted
	if err := r.entries(p, append(slices.Clip(s.Msg.Chunks), chunks...), it); err != nil {
		st.gap(r, s, "resource not decodable: "+err.Error(), p.Type)
		return
	}
	p.Rest = r.red.message(discoveryType(delta, "Response"), p.Rest)
	it.rec = st.record(s, xds.Record{Kind: xds.KindPush, Push: p})
	b := r.sub(st, s, p.Type)
	b.push(r, st, it, s.Push)
	b.drain(r, st)
	b.trim(r, st)
}

func (r *Recorder) entries(p *xds.Push, chunks []xds.Chunk, it *item) error {
	if len(chunks) > 0 {
		p.Resources = make([]xds.Entry, 0, len(chunks))
	}
	for _, c := range chunks {
		if xds.Debug(p.Type) && c.State == xds.ChunkRaw { // may be all that the server knows
			c = xds.Chunk{State: xds.ChunkTooLarge, Size: c.Size, Sum: xds.DigestOf(c.Raw)}
		}
		e, err := r.entry(c, p.Delta, it)
		if err != nil {
			return err
		}
		p.Resources = append(p.Resources, e)
	}
	return nil
}

// push takes a response that was read.
func (b *sub) push(r *Recorder, st *stream, it *item, told uint64) {
	rec := it.rec.Push
	p := &push{nonce: name(rec.Nonce), version: name(rec.Version), owner: it.rec.Sidecar, sig: r.signature(rec)}
	held := told == 0 && b.storm.repeats(p.sig)
	if held {
		p.held = it
	}
	b.add(r, st, p)
	if held {
		b.storm.held = append(b.storm.held, p)
		if len(b.storm.held) > stormHeld {
			b.flush(r)
		}
		return
	}
	b.flush(r)
	b.storm.end()
	r.write(p, it, told)
}

// write numbers a push and sends it off.
func (r *Recorder) write(p *push, it *item, told uint64) {
	n := r.pushes.last(p.owner) + 1
	if told > 0 {
		n = r.shifted(p.owner, told)
	}
	r.pushes.reach(p.owner, n)
	p.number, it.rec.Push.Number = n, n
	r.out = append(r.out, it)
}

// shifted is the number of a push that a file calls told. Behind a history that
// has that number already, the file's numbers go on from its last one.
func (r *Recorder) shifted(id xds.Sidecar, told uint64) uint64 {
	if _, ok := r.shift[id]; !ok {
		r.shift[id] = 0
		if have := r.pushes.last(id); told <= have {
			r.shift[id] = have + 1 - told
		}
	}
	return told + r.shift[id]
}
