package state

import (
	"cmp"
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// close ends a stream. Its client keeps what it has until its next stream says
// otherwise, with three exceptions: another open stream already speaks for it; a
// client that has further streams ended a single-type one to unsubscribe, which
// shows where nothing it holds refers to the resource any more; and a client
// that ended one of several aggregated streams.
func (s *side) close(r xds.Record) {
	st := s.streams[r.Stream]
	if st == nil {
		return
	}
	st.closed = true
	for _, n := range s.unanswered(st) {
		st.lost = append(st.lost, s.pending[n])
		delete(s.pending, n)
		delete(s.gapped, n)
	}
	byClient := r.Close != nil && r.Close.By == "client" && !s.alone(st)
	for _, typ := range heldTypes(st) {
		s.closeType(st, typ, byClient)
	}
	s.bury(st)
}

func heldTypes(st *stream) []string {
	types := append(st.accepted.Types(), st.offered.Types()...)
	slices.Sort(types)
	return slices.Compact(types)
}

func (s *side) unanswered(st *stream) []uint64 {
	var out []uint64
	for n, p := range s.pending {
		if p.stream == st.id {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, cmp.Compare)
	return out
}

func (s *side) closeType(st *stream, typ string, byClient bool) {
	if n := s.speaker(st, typ); n != nil {
		s.forget(st, typ, func(name string) bool { return n.types[typ].names == nil || n.types[typ].names[name] })
	}
	if !byClient {
		return
	}
	if !st.single() {
		s.forget(st, typ, func(string) bool { return true })
		return
	}
	if typ != xds.ListenerType && typ != xds.ClusterType {
		needed := s.needed(st, typ)
		s.forget(st, typ, func(name string) bool { return !needed[name] })
	}
}

// speaker returns a newer open stream of the same service that carries the type
// for its client already.
func (s *side) speaker(st *stream, typ string) *stream {
	for _, o := range s.others(st) {
		if !o.closed && o.id > st.id && o.like(st) && !o.single() && o.holds(typ) {
			return o
		}
	}
	return nil
}

// needed lists the resources of a type that st holds and that a listener or
// cluster which the client holds waits for.
func (s *side) needed(st *stream, typ string) map[string]bool {
	out := map[string]bool{}
	for _, parent := range []string{xds.ClusterType, xds.ListenerType} {
		for _, d := range s.accepted.All(parent) {
			if s.deps == nil {
				return held(st.accepted, typ) // nobody knows
			}
			for _, ref := range s.deps(parent, d) {
				if _, ok := st.accepted.Lookup(typ, ref.Name); ok && ref.Type == typ {
					out[ref.Name] = true
				}
			}
		}
	}
	return out
}

// held lists the names of a type.
func held(s *Snapshot, typ string) map[string]bool {
	out := map[string]bool{}
	for n := range s.All(typ) {
		out[n] = true
	}
	return out
}
