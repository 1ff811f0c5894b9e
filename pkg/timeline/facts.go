package timeline

import (
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const (
	// patience is how long a push may be without an answer.
	patience = 30 * time.Second
	// absence is how long a sidecar may be without a stream.
	absence = time.Minute
	// farewell is how long after its last stream a sidecar is forgotten. It is
	// longer than any outage of a control plane should be.
	farewell = 24 * time.Hour
)

// waiting is what a sidecar owes: answers, and a stream.
type waiting struct {
	pushes map[uint64]owed
	told   map[string]bool // types of which an unanswered push was told
	open   map[uint64]bool // stream -> something came by it
	// away is since when there is no stream that something came by; attempts
	// that fail at once do not end it. gone: it was told.
	away *moment
	gone bool
	why  string
}

type moment struct {
	clock time.Duration
	time  time.Time
}

type owed struct {
	typ    string
	stream uint64
	since  moment
}

func newWaiting() waiting {
	return waiting{pushes: map[uint64]owed{}, told: map[string]bool{}, open: map[uint64]bool{}}
}

// resume takes over what is owed from a base.
func (w *waiting) resume(r xds.Record, now moment) {
	for _, st := range r.Base.Streams {
		w.open[st.Stream] = true
	}
	for _, p := range r.Base.Pending {
		if holds[xds.Canonical(p.Type)] {
			w.pushes[p.Number] = owed{typ: p.Type, stream: p.Stream, since: now}
		}
	}
}

// protocol notes what a record shows beside state, and returns an entry for what
// does not belong to an open group.
func (s *side) protocol(r xds.Record, step state.Step) []Entry {
	var facts []judge.Fact
	switch {
	case r.Kind == xds.KindPush && r.Push != nil:
		s.pushed(r)
	case r.Kind == xds.KindAnswer && r.Answer != nil:
		facts = s.answered(r, step)
	case r.Kind == xds.KindRequest && r.Request != nil:
		s.asked(r)
	case r.Kind == xds.KindClose:
		s.closed(r)
	case r.Kind == xds.KindGap && r.Gap != nil:
		return s.gap(r)
	}
	return s.tell(facts)
}

// tell gives facts to the open group, else to an entry of their own.
func (s *side) tell(facts []judge.Fact) []Entry {
	if len(facts) == 0 {
		return nil
	}
	if s.group != nil {
		s.group.facts = append(s.group.facts, facts...)
		return nil
	}
	at := facts[0].Push
	e := Entry{ID: s.id, Incarnation: s.life, First: at.Number, Last: at.Number, Time: at.Time, Closed: at.Time, Settled: true,
		Before: s.settled, After: s.settled, Uncertain: s.uncertain(nil)}
	in := s.input(&group{facts: facts}, &e)
	e.Events = s.w.cfg.Judge(in)
	s.keepNACKs(in)
	return []Entry{e}
}

func (s *side) pushed(r xds.Record) {
	if xds.Debug(r.Push.Type) || state.Heartbeat(r.Push) {
		return
	}
	s.newest = judge.PushRef{Number: r.Push.Number, Time: r.Time}
	s.wait.open[r.Stream], s.wait.away, s.wait.gone = true, nil, false
	if holds[xds.Canonical(r.Push.Type)] {
		s.wait.pushes[r.Push.Number] = owed{typ: r.Push.Type, stream: r.Stream, since: moment{s.clock, r.Time}}
	}
}

func (s *side) asked(r xds.Record) {
	if _, ok := s.wait.open[r.Stream]; !ok {
		s.wait.open[r.Stream] = false
	}
}

func (s *side) answered(r xds.Record, step state.Step) []judge.Fact {
	at := judge.PushRef{Number: r.Answer.Push, Time: r.Time}
	if o, ok := s.wait.pushes[r.Answer.Push]; ok {
		at.Time = o.since.time
		delete(s.wait.pushes, r.Answer.Push)
		s.forgive(o.typ)
	}
	var out []judge.Fact
	for _, rej := range step.Rejected {
		out = append(out, judge.Fact{Kind: xds.EvNACK, Push: at, Resource: xds.Resource{Type: rej.Type, Name: rej.Name}, Message: rej.Message, Count: rej.Count})
	}
	for _, rej := range step.Cleared {
		delete(s.nacks, xds.Resource{Type: rej.Type, Name: rej.Name})
		out = append(out, judge.Fact{Kind: xds.EvNACKCleared, Push: at, Resource: xds.Resource{Type: rej.Type, Name: rej.Name},
			Message: rej.Message, Count: rej.Count, For: max(0, r.Time.Sub(rej.Since))})
	}
	return out
}

// forgive ends an episode of silence once no push of the type is owed an answer.
func (s *side) forgive(typ string) {
	for _, o := range s.wait.pushes {
		if o.typ == typ {
			return
		}
	}
	delete(s.wait.told, typ)
}

// counted brings the counts of rejections up to date: equal ones go on coming
// while a group is open.
func (s *side) counted(facts []judge.Fact, v state.View) []judge.Fact {
	for i, f := range facts {
		for _, rej := range v.Rejected {
			if f.Kind == xds.EvNACK && rej.Type == f.Resource.Type && rej.Name == f.Resource.Name && rej.Message == f.Message {
				facts[i].Count = rej.Count
			}
		}
	}
	return facts
}

func (s *side) closed(r xds.Record) {
	for n, o := range s.wait.pushes {
		if o.stream == r.Stream {
			delete(s.wait.pushes, n)
			s.forgive(o.typ)
		}
	}
	s.alone = false
	useful, known := s.wait.open[r.Stream]
	delete(s.wait.open, r.Stream)
	if !known || len(s.wait.open) > 0 || s.wait.away != nil || !useful && s.newest.Number == 0 {
		return
	}
	s.wait.away = &moment{s.clock, r.Time}
	if r.Close != nil {
		s.wait.why = r.Close.Message
	}
}

func (s *side) gap(r xds.Record) []Entry {
	s.gaps["gap: "+r.Gap.Reason] = s.newest.Number
	return s.tell([]judge.Fact{{Kind: xds.EvGap, Push: judge.PushRef{Number: s.newest.Number, Time: r.Time}, Message: r.Gap.Reason, Count: r.Gap.Lost}})
}
