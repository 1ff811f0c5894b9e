package timeline

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// side is the walk through the history of one sidecar.
type side struct {
	w  *Walk
	id xds.Sidecar

	// clock is the time that has passed since the first record; steps back of
	// the recorder's clock count as nothing. last is the newest record's time.
	clock time.Duration
	last  time.Time

	settled  *state.Snapshot // active at the last settled point
	baseline bool            // the present life has no settled point yet
	limits   int             // groups of it that ran into the time limit
	life     int
	alone    bool // streams that ended were waited for, and did not come back
	group    *group
	version  string // of the newest push before the open group
	newest   judge.PushRef
	memory   judge.Memory
	gaps     map[string]uint64 // reason -> push before it
	wait     waiting
	nacks    map[xds.Resource]toldNACK

	nodeDigest  xds.Digest
	nodeMessage *corev3.Node
}

func newSide(w *Walk, id xds.Sidecar) *side {
	return &side{w: w, id: id, baseline: true, gaps: map[string]uint64{}, wait: newWaiting(), nacks: map[xds.Resource]toldNACK{}}
}

// at is the clock at time t.
func (s *side) at(t time.Time) time.Duration {
	if s.last.IsZero() || !t.After(s.last) {
		return s.clock
	}
	return s.clock + t.Sub(s.last)
}

func (s *side) record(r xds.Record) []Entry {
	s.clock, s.last = s.at(r.Time), r.Time
	if r.Kind == xds.KindBase {
		return s.base(r)
	}
	var out []Entry
	if s.opens(r) {
		s.open(r)
	}
	fork := s.forkFor(r)
	step := s.w.fold.Apply(r)
	if step.Incarnation {
		out = append(out, s.reborn(r)...)
	}
	s.follow(r, step, fork)
	out = append(out, s.protocol(r, step)...)
	if r.Kind == xds.KindAnswer && r.Answer != nil {
		out = append(out, s.storm(r)...)
	}
	if s.group != nil {
		if rule := s.group.rule(s); rule != "" {
			out = append(out, s.close(rule, r.Time))
		}
	}
	return out
}

// base begins in the middle of a life: what is active there is settled.
func (s *side) base(r xds.Record) []Entry {
	out := s.finish()
	s.w.fold.Apply(r)
	s.settled, s.baseline = s.w.fold.Active(s.id), false
	if r.Base != nil {
		s.newest = judge.PushRef{Number: r.Base.Push, Time: r.Time}
		s.wait.resume(r, moment{s.clock, r.Time})
	}
	s.life = s.view().Incarnation
	return out
}

// reborn ends the former life: what was open is closed as it is.
func (s *side) reborn(r xds.Record) []Entry {
	var out []Entry
	if s.group != nil {
		out = append(out, s.closeAs(Ended, r.Time, s.group.lastActive))
	}
	s.baseline, s.limits, s.memory, s.version = true, 0, judge.Memory{}, ""
	s.wait = newWaiting()
	s.life = s.view().Incarnation
	return out
}

func (s *side) view() state.View {
	v, _ := s.w.fold.View(s.id)
	return v
}

// forkFor keeps the state before a record that may turn out to change traffic
// outside a group.
func (s *side) forkFor(r xds.Record) *state.Fold {
	if s.group != nil || r.Kind == xds.KindOpen {
		return nil
	}
	return s.w.fold.Fork(s.id)
}

// follow adds a record to the open group, and opens one when a record that is no
// push changed traffic after the last group was closed: a late answer, or what a
// client claims to hold on a new stream.
func (s *side) follow(r xds.Record, step state.Step, fork *state.Fold) {
	if s.group == nil && step.Before != step.After && !step.Incarnation && !s.baseline && shifts(step) {
		s.openLate(r, fork)
	}
	if g := s.group; g != nil {
		g.add(s, r)
		g.lastActive = step.After
	}
}

// shifts reports whether a step changed what decides over traffic. Endpoints
// that go because nobody asks for them any more do not.
func shifts(step state.Step) bool {
	for d := range state.Differences(step.Before, step.After) {
		if d.Type != xds.EndpointType && d.Type != xds.RouteType || !d.New.IsZero() {
			return true
		}
	}
	return false
}

func (s *side) advance(t time.Time) []Entry {
	now := s.at(t)
	var out []Entry
	if g := s.group; g != nil {
		if rule, due := g.due(s); now >= due {
			out = append(out, s.close(rule, s.last.Add(due-s.clock)))
		}
	}
	return append(out, s.overdue(now, t)...)
}

func (s *side) finish() []Entry {
	if s.group == nil {
		return nil
	}
	rule := Ended
	if len(s.group.waits) == 0 && !s.unready() {
		rule = Quiet
	}
	return []Entry{s.close(rule, s.last)}
}
