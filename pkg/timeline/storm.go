package timeline

import (
	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// toldNACK is a rejection that was told, so that it can be told again with its
// count: a storm of equal rejections is known in full only when it is over.
type toldNACK struct {
	first, last judge.PushRef // of the group it was told with
	settled     bool
	fact        judge.Fact
	revision    int
}

// keepNACKs remembers the rejections that a group tells.
func (s *side) keepNACKs(in judge.Input) {
	for _, f := range in.Facts {
		if f.Kind == xds.EvNACK {
			s.nacks[f.Resource] = toldNACK{first: in.First, last: in.Last, settled: in.Settled, fact: f, revision: 1}
		}
	}
}

// storm tells rejections again, as further revisions of the same events, when
// equal ones were counted that came after they were told.
func (s *side) storm(r xds.Record) []Entry {
	if !r.Answer.NACK() || r.Answer.Repeat == 0 {
		return nil
	}
	var out []Entry
	for _, rej := range s.view().Rejected {
		res := xds.Resource{Type: rej.Type, Name: rej.Name}
		t, ok := s.nacks[res]
		if !ok || rej.Type != r.Answer.Type || t.fact.Message != rej.Message || t.fact.Count == rej.Count {
			continue
		}
		t.fact.Count, t.revision = rej.Count, t.revision+1
		s.nacks[res] = t
		out = append(out, s.retell(t, r))
	}
	return out
}

func (s *side) retell(t toldNACK, r xds.Record) Entry {
	e := Entry{ID: s.id, Incarnation: s.life, First: t.first.Number, Last: t.last.Number, Time: t.fact.Push.Time, Closed: r.Time,
		Settled: t.settled, Before: s.settled, After: s.settled, Uncertain: s.uncertain(nil)}
	in := s.input(&group{first: t.first, pushes: []judge.PushRef{t.last}, facts: []judge.Fact{t.fact}}, &e)
	e.Events = s.w.cfg.Judge(in)
	for i := range e.Events {
		e.Events[i].Revision = t.revision
	}
	return e
}
