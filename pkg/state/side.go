package state

import (
	"maps"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// side is the state of one sidecar: what each of its streams gave it, joined.
type side struct {
	id   xds.Sidecar
	deps Deps
	node xds.Digest

	// What the streams hold together; where two hold one name, the newer
	// stream's version counts.
	offered, accepted, active *Snapshot

	streams  map[uint64]*stream   // open ones, and closed ones whose resources nobody took over
	pending  map[uint64]*pending  // unanswered pushes, by number
	gapped   map[uint64]time.Time // those whose answer may be lost in a gap, and when that was
	warming  map[Ref][]Ref        // accepted, not active: what it waits for
	replaced map[Ref]replaced     // without Deps only: what may still be active instead of the accepted version
	rejected map[episode]Rejection
	doubts   map[string]doubt
	sent     map[string]string // canonical type -> as the sidecar says it

	incarnation int
	lastPush    uint64
	lastSeen    time.Time
	mismatches  uint64
}

func newSide(id xds.Sidecar, deps Deps) *side {
	return &side{id: id, deps: deps, streams: map[uint64]*stream{}, pending: map[uint64]*pending{}, gapped: map[uint64]time.Time{}, warming: map[Ref][]Ref{},
		replaced: map[Ref]replaced{}, rejected: map[episode]Rejection{}, doubts: map[string]doubt{}, sent: map[string]string{}}
}

// clone copies all that changes in place; snapshots and pending pushes do not.
func (s *side) clone() *side {
	c := *s
	c.pending, c.warming, c.rejected = maps.Clone(s.pending), maps.Clone(s.warming), maps.Clone(s.rejected)
	c.replaced, c.gapped = maps.Clone(s.replaced), maps.Clone(s.gapped)
	c.doubts, c.sent = maps.Clone(s.doubts), maps.Clone(s.sent)
	c.streams = make(map[uint64]*stream, len(s.streams))
	for id, st := range s.streams {
		c.streams[id] = st.clone()
	}
	return &c
}

func (s *side) apply(r xds.Record, step *Step) {
	if r.Time.After(s.lastSeen) {
		s.lastSeen = r.Time
	}
	s.assumeLate(r.Time)
	switch {
	case r.Kind == xds.KindOpen && r.Open != nil:
		s.stream(r.Stream).open = *r.Open
	case r.Kind == xds.KindRequest && r.Request != nil:
		s.request(s.stream(r.Stream), r.Request, step)
	case r.Kind == xds.KindPush && r.Push != nil:
		s.push(s.stream(r.Stream), r)
	case r.Kind == xds.KindAnswer && r.Answer != nil:
		s.answer(s.stream(r.Stream), r, step)
	case r.Kind == xds.KindClose:
		s.close(r)
	case r.Kind == xds.KindGap && r.Gap != nil:
		s.gap(r)
	}
}

func (s *side) stream(id uint64) *stream {
	st := s.streams[id]
	if st == nil {
		st = newStream(id)
		s.streams[id] = st
	}
	return st
}

// alone reports whether st is the only open stream.
func (s *side) alone(st *stream) bool {
	for _, o := range s.streams {
		if o != st && !o.closed {
			return false
		}
	}
	return true
}

// others yields the streams other than st, in no order.
func (s *side) others(st *stream) []*stream {
	out := make([]*stream, 0, len(s.streams))
	for _, o := range s.streams {
		if o != st {
			out = append(out, o)
		}
	}
	return out
}
