package state

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// patience is how long an answer is waited for that may be lost in a gap.
const patience = time.Second

// mayBeLost notes at a gap that answers which have not come may be in it. stream
// 0 means all streams.
func (s *side) mayBeLost(stream uint64, at time.Time) {
	for n, p := range s.pending {
		if stream == 0 || p.stream == stream {
			s.gapped[n] = at
		}
	}
}

// assumeLate assumes what has waited long enough at t; a clock that was set back
// ends the wait, and so does the zero time.
func (s *side) assumeLate(t time.Time) {
	for _, n := range slices.Sorted(maps.Keys(s.gapped)) {
		if d := t.Sub(s.gapped[n]); d >= patience || d < 0 {
			s.assume(s.pending[n], "its answer may be lost in a gap")
		}
	}
}

// assumeOlder assumes the pushes of p's type that came before it on its stream: a
// client answers the pushes of one type in order, so their answers were missed.
func (s *side) assumeOlder(p *pending) {
	var older []uint64
	for n, o := range s.pending {
		if n < p.number && o.stream == p.stream && o.typ == p.typ {
			older = append(older, n)
		}
	}
	slices.Sort(older)
	for _, n := range older {
		s.assume(s.pending[n], "its answer was not recorded")
	}
}

// assume takes a push for accepted, as nearly all are, and says that this is not
// known.
func (s *side) assume(p *pending, why string) {
	if p == nil {
		return
	}
	delete(s.pending, p.number)
	delete(s.gapped, p.number)
	if st := s.streams[p.stream]; st != nil {
		s.take(st, p, nil)
	}
	s.doubt(p.typ, fmt.Sprintf("#%d: %s", p.number, why), nil)
}
