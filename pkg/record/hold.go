package record

import (
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// What clients and servers make a Recorder remember is bounded in bytes.
const (
	// streamTypes is how many types of one stream have their answers paired, and
	// typeBytes how long their names may be. When there are more, which the history
	// tells once as a gap, pushes of the others are recorded like any, and what
	// answers them stands as a subscription.
	streamTypes = 64
	typeBytes   = 512
	// streamBytes is what one stream may hold to pair answers with pushes: what is
	// known of pushes, and requests that wait. When it is more, the requests that
	// have waited longest become orphans, then the oldest pushes are forgotten: what
	// answers them becomes an orphan.
	streamBytes = 4 << 20
	// heldBytes is that of all streams together, with what is kept back until a
	// stream's owner is known. When it is more, the stream that holds most gives up
	// all of it, as above; one without an owner becomes nobody's.
	heldBytes = 32 << 20
	// sidecarBytes is what may be kept of who has which push number. When it is
	// more, those that were heard of longest ago are forgotten; if one comes back,
	// its numbers go on behind the highest that was forgotten of anybody, so that no
	// number stands twice, as do those of sidecars that are new then.
	sidecarBytes = 8 << 20
	// endsKept is how many streams are remembered after their end, to tell what
	// comes late. The oldest is forgotten first: a gap that comes later still is
	// everybody's.
	endsKept = 256
)

// Costs of what is held, beside the strings in it.
const (
	subCost   = 640
	pushCost  = 160
	entryCost = 160
)

func (p *push) cost() int {
	n := pushCost
	if p.held != nil {
		n += entryCost * len(p.held.rec.Push.Resources)
	}
	return n
}

func (w *waiter) cost() int { return pushCost + w.req.Size }

// hold accounts for n more bytes of a stream, or less.
func (r *Recorder) hold(st *stream, n int) {
	st.held += n
	r.held += n
}

// sub is what is known of a type on a stream.
func (r *Recorder) sub(st *stream, s xds.Sighting, typ string) *sub {
	if b := st.subs[typ]; b != nil {
		return b
	}
	b := &sub{}
	n := subCost + len(typ)
	if len(st.subs) >= streamTypes || len(typ) > typeBytes {
		if !st.crowded {
			st.crowded = true
			st.gap(r, s, "too many types on one stream, or too long ones: answers of others than those before are not told from subscriptions", typ)
		}
		return b
	}
	b.kept, b.begun = true, !st.opened
	st.subs[typ] = b
	r.hold(st, n)
	return b
}

// trim makes a stream, and all of them, hold no more than they may.
func (b *sub) trim(r *Recorder, st *stream) {
	if st.held > streamBytes {
		b.shed(r, st, streamBytes)
	}
	r.squeeze()
}

// shed gives up what a type holds until the stream holds no more than most.
func (b *sub) shed(r *Recorder, st *stream, most int) {
	for len(b.waiting) > 0 && st.held > most {
		b.release(r, st)
	}
	if st.held > most {
		b.flush(r)
	}
	for len(b.pushes) > 0 && st.held > most {
		b.forget(r, st)
	}
}

// squeeze makes all streams together hold no more than they may.
func (r *Recorder) squeeze() {
	for r.held > heldBytes {
		var most *stream
		for _, st := range r.live() {
			if most == nil || st.held+st.bytes > most.held+most.bytes {
				most = st
			}
		}
		if most == nil || most.held+most.bytes <= subCost*streamTypes { // there are that many streams
			return
		}
		r.settle(most, xds.Sidecar{})
		for _, typ := range most.types() {
			most.subs[typ].shed(r, most, 0)
		}
	}
}

// forget drops the oldest push.
func (b *sub) forget(r *Recorder, st *stream) {
	if b.pushes[0].held != nil { // its number must be known
		b.flush(r)
	}
	r.hold(st, -b.pushes[0].counted)
	b.pushes = slices.Delete(b.pushes, 0, 1)
}

// ended is a stream that has ended lately.
type ended struct {
	number uint64
	owner  xds.Sidecar
	turn   uint64
}

// end lets go of a stream.
func (r *Recorder) end(st *stream) {
	r.held -= st.held
	delete(r.streams, st.id)
	if len(r.ended) >= endsKept {
		oldest, turn := uint64(0), r.turns+1
		for id, e := range r.ended {
			if e.turn < turn {
				oldest, turn = id, e.turn
			}
		}
		delete(r.ended, oldest)
	}
	r.ended[st.id] = ended{st.number, st.owner, r.turn()}
}

// late handles what is seen of a stream that has ended: it opens none. A request
// does: in a file, a number may be used again without an open line.
func (r *Recorder) late(s xds.Sighting) bool {
	e, ok := r.ended[s.Stream]
	if s.Kind == xds.SawGap && !ok && r.used.taken(s.Stream) {
		e, ok = ended{}, true
	}
	if !ok {
		return false
	}
	rec := xds.Record{Time: s.Time, Took: s.Took, Stream: e.number, Sidecar: e.owner, Kind: xds.KindGap}
	switch s.Kind {
	case xds.SawGap:
		rec.Gap, rec.Extra = gapOf(s), s.Extra
	case xds.SawResponse:
		rec.Gap = &xds.Gap{Reason: "a response behind the end of its stream"}
	case xds.SawClose:
		return true // told already
	default:
		return false
	}
	r.out = append(r.out, &item{rec: rec})
	return true
}
