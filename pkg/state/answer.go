package state

import (
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func (s *side) answer(st *stream, r xds.Record, step *Step) {
	a := r.Answer
	s.contact(st, a.Type)
	s.ask(st, &a.Request)
	p := s.pending[a.Push]
	if p == nil || p.stream != r.Stream {
		s.repeat(a) // an orphan, a heartbeat's, a repeated one: nothing new is in force
		return
	}
	s.assumeOlder(p)
	delete(s.pending, a.Push)
	delete(s.gapped, a.Push)
	if a.NACK() {
		s.nack(st, p, r, step)
		return
	}
	s.take(st, p, nil)
	s.clear(p, step)
	s.heal(st, p)
	s.sweep(st, p)
}

// repeat counts pairs of push and rejection that were not kept one by one.
func (s *side) repeat(a *xds.Answer) {
	if !a.NACK() {
		return
	}
	typ := xds.Canonical(a.Type)
	for k, rej := range s.rejected {
		if k.typ == typ && rej.Push <= a.Push {
			rej.Count += max(a.Repeat, 1)
			s.rejected[k] = rej
		}
	}
}

// nack applies what Envoy applies of a response that it rejects: for listeners
// and clusters all but the resources that the error names, unless it names none.
func (s *side) nack(st *stream, p *pending, r xds.Record, step *Step) {
	reason := reject(p, r.Answer.Error.Message)
	s.note(p, reason, r, step)
	partial := p.typ == xds.ListenerType || p.typ == xds.ClusterType
	if len(reason.names) > 0 && (partial || len(p.names) > len(reason.names)) {
		s.take(st, p, &reason)
	}
	switch {
	case reason.cut:
		s.doubt(p.typ, s.because(p, "rejected with an error text that was cut short"), p.has())
	case !partial && len(p.names) > 1:
		s.doubt(p.typ, s.because(p, "partly rejected"), p.has())
	}
}

// sweep ends what older streams of the same service left behind, once this one
// carries the type: an overlap of two streams of one client ends like this. A
// client that asks by name speaks for these names only.
func (s *side) sweep(st *stream, p *pending) {
	if in := st.types[p.typ]; in.names != nil || p.typ != xds.ListenerType && p.typ != xds.ClusterType {
		return
	}
	for _, o := range s.others(st) {
		if o.closed && o.like(st) && o.holds(p.typ) && s.everything(o, p) {
			s.forget(o, p.typ, func(string) bool { return true })
		}
	}
}

// everything reports whether st, the stream of p, can be taken to say all that o
// said: state of the world does by its nature; Delta does what it names.
func (s *side) everything(o *stream, p *pending) bool {
	if p.full {
		return true
	}
	has := p.has()
	for n := range o.accepted.All(p.typ) {
		if !has[n] {
			return false
		}
	}
	return true
}

// forget drops what a stream holds of a type where which says so, and the stream
// itself when it has ended and nothing is left of it.
func (s *side) forget(st *stream, typ string, which func(string) bool) {
	e := s.edit(st)
	for n := range st.accepted.All(typ) {
		if which(n) {
			e.drop(typ, n)
		}
	}
	for n := range st.offered.All(typ) {
		if which(n) {
			e.unoffer(typ, n)
		}
	}
	e.done()
	s.bury(st)
}

// bury forgets an ended stream that nothing is left of.
func (s *side) bury(st *stream) {
	if st.closed && st.accepted == nil && st.offered == nil {
		delete(s.streams, st.id)
	}
}
