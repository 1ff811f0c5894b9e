package timeline

import (
	"cmp"
	"slices"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// overdue tells what has lasted too long when the clock shows now.
func (s *side) overdue(now time.Duration, t time.Time) []Entry {
	var out []Entry
	for _, f := range append(s.unanswered(now), s.detached(now)...) {
		out = append(out, s.tell([]judge.Fact{f})...)
	}
	return append(out, s.stillDead(t)...)
}

// next is the time at which the first thing becomes due if no record comes before.
func (s *side) next() time.Time {
	var due []time.Duration
	if s.group != nil {
		_, at := s.group.due(s)
		due = append(due, at)
	}
	for _, o := range s.wait.pushes {
		if !s.wait.told[o.typ] {
			due = append(due, o.since.clock+patience)
		}
	}
	if s.wait.away != nil && len(s.wait.open) == 0 {
		if s.wait.gone {
			due = append(due, s.wait.away.clock+farewell)
		} else {
			due = append(due, s.wait.away.clock+absence)
		}
	}
	out := never
	if len(due) > 0 {
		out = s.last.Add(slices.Min(due) - s.clock)
	}
	if wake := s.memory.Wake(); s.group == nil && !wake.IsZero() && wake.Before(out) {
		out = wake
	}
	return out
}

// lost reports whether the sidecar has been away for good at time t.
func (s *side) lost(t time.Time) bool {
	return s.wait.gone && s.group == nil && len(s.wait.open) == 0 && s.at(t)-s.wait.away.clock >= farewell
}

// unanswered tells the first push of each type that waits for too long.
func (s *side) unanswered(now time.Duration) []judge.Fact {
	var out []judge.Fact
	for _, n := range s.owedPushes() {
		o := s.wait.pushes[n]
		if now-o.since.clock < patience || s.wait.told[o.typ] {
			continue
		}
		s.wait.told[o.typ] = true
		out = append(out, judge.Fact{Kind: xds.EvUnanswered, Push: judge.PushRef{Number: n, Time: o.since.time.Add(patience)},
			Resource: xds.Resource{Type: o.typ}, For: patience})
	}
	return out
}

func (s *side) owedPushes() []uint64 {
	out := make([]uint64, 0, len(s.wait.pushes))
	for n := range s.wait.pushes {
		out = append(out, n)
	}
	slices.SortFunc(out, cmp.Compare)
	return out
}

func (s *side) detached(now time.Duration) []judge.Fact {
	w := &s.wait
	if w.away == nil || w.gone || len(w.open) > 0 || now-w.away.clock < absence {
		return nil
	}
	w.gone = true
	return []judge.Fact{{Kind: xds.EvDetached, Push: judge.PushRef{Number: s.newest.Number, Time: w.away.time.Add(absence)}, Message: w.why, For: absence}}
}

// stillDead tells again what only lost its endpoints and has not got them back.
func (s *side) stillDead(t time.Time) []Entry {
	wake := s.memory.Wake()
	if wake.IsZero() || t.Before(wake) || s.group != nil {
		return nil
	}
	evs, memory := judge.Due(s.memory, t, s.compile(s.settled), judge.NodeOf(s.id, s.node()).IP)
	s.memory = memory
	if len(evs) == 0 {
		return nil
	}
	return []Entry{{ID: s.id, Incarnation: s.life, First: s.newest.Number, Last: s.newest.Number, Time: wake, Closed: wake, Settled: true,
		Before: s.settled, After: s.settled, Events: evs}}
}
