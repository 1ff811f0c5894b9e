package timeline

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// close ends the open group as of now.
func (s *side) close(rule Rule, at time.Time) Entry {
	s.w.fold.Assume(s.id)
	return s.closeAs(rule, at, s.w.fold.Active(s.id))
}

func (s *side) closeAs(rule Rule, at time.Time, after *state.Snapshot) Entry {
	g := s.group
	e := Entry{ID: s.id, Incarnation: s.life, First: g.first.Number, Last: g.last().Number, Time: g.first.Time, Closed: at, Rule: rule,
		Settled: rule != Limit && rule != Ended, Baseline: s.baseline, Before: s.settled, After: after, Uncertain: s.uncertain(g.doubts),
		fork: g.fork, recs: g.recs}
	for _, p := range g.pushes {
		e.Pushes = append(e.Pushes, p.Number)
	}
	if rule == Limit {
		s.limits++
	}
	ready := s.listeners() && (rule != Limit || s.limits >= patient)
	s.group, s.alone = nil, s.w.fold.Awaits(s.id)
	in := s.input(g, &e)
	if e.Baseline {
		s.baselineInput(&in, e, ready)
	} else {
		s.compare(&in, &e)
	}
	e.Events = s.w.cfg.Judge(in)
	s.keepNACKs(in)
	s.memory = judge.Next(in, e.Events)
	s.settled, s.version = after, g.version(s.version)
	return e
}

// last is the group's last push; of one without pushes what it belongs to.
func (g *group) last() judge.PushRef {
	if len(g.pushes) == 0 {
		return g.first
	}
	return g.pushes[len(g.pushes)-1]
}

// version is the newest version that the group carried, else the one before.
func (g *group) version(old string) string {
	for _, r := range slices.Backward(g.recs) {
		if r.Kind == xds.KindPush && holds[xds.Canonical(r.Push.Type)] && !state.Heartbeat(r.Push) {
			return r.Push.Version
		}
	}
	return old
}

// input is what the judge is told of any group.
func (s *side) input(g *group, e *Entry) judge.Input {
	v := s.view()
	return judge.Input{Sidecar: s.id, Display: s.w.cfg.Display(s.id), First: g.first, Last: g.last(), Settled: e.Settled,
		Node: judge.NodeOf(s.id, s.node()), Watch: s.w.cfg.Watch, Facts: s.counted(g.facts, v), Uncertain: e.Uncertain, Memory: s.memory}
}

// compare fills in what the group did to traffic.
func (s *side) compare(in *judge.Input, e *Entry) {
	if e.Before == e.After {
		return
	}
	if s.w.cfg.Differ != nil {
		if e.Changes = s.w.cfg.Differ.Changes(e.Before, e.After); len(e.Changes) == 0 {
			return
		}
	}
	in.Changes = e.Changes
	if s.w.cfg.Traffic == nil {
		return
	}
	in.Old, in.New = s.compile(e.Before), s.compile(e.After)
	e.Shifts, e.Drained = s.w.cfg.Traffic.Compare(in.Old, in.New), s.w.cfg.Traffic.Drained(in.Old, in.New)
	in.Shifts, in.Drained = e.Shifts, e.Drained
	in.FirstPush = s.firstPush(*e, in.Node.IP)
}

func (s *side) compile(snap *state.Snapshot) judge.View {
	if s.w.cfg.Traffic == nil {
		return nil
	}
	return s.w.cfg.Traffic.View(s.id, s.node(), snap)
}

// firstPush looks for the push that an event happened at: the first after which
// the verdict for the event's witness is no longer what it was.
func (s *side) firstPush(e Entry, src netip.Addr) func(netip.AddrPort, xds.Signal, xds.Verdict) judge.PushRef {
	var states []PushState
	return func(dst netip.AddrPort, sig xds.Signal, before xds.Verdict) judge.PushRef {
		if states == nil {
			states = e.Steps()
		}
		for _, st := range states {
			if !s.compile(st.Active).Resolve(dst, src, sig).Same(before) {
				return judge.PushRef{Number: st.Number, Time: st.Time}
			}
		}
		return judge.PushRef{}
	}
}

// baselineInput settles a life: what stands captured in it is told once. A group
// before any listener came, and the first ones that the time limit closed, leave
// the life unsettled.
func (s *side) baselineInput(in *judge.Input, e Entry, ready bool) {
	if !ready {
		return
	}
	s.baseline = false
	if in.New = s.compile(e.After); in.New != nil && s.w.cfg.Standing != nil {
		in.Facts = append(in.Facts, s.w.cfg.Standing(e.After, in.New, in.Node, in.First)...)
	}
}

// uncertain lists why what is told may be wrong: "#40 gap: queue full (LDS, CDS)".
// What is compared with something uncertain is uncertain too.
func (s *side) uncertain(before map[string]string) []string {
	doubts := maps.Clone(before)
	if doubts == nil {
		doubts = map[string]string{}
	}
	maps.Copy(doubts, s.view().Uncertain)
	types := map[string][]string{}
	for typ, why := range doubts {
		types[why] = append(types[why], xds.ShortType(typ))
	}
	var out []string
	for why, ts := range types {
		slices.Sort(ts)
		text := fmt.Sprintf("%s (%s)", why, strings.Join(ts, ", "))
		if n, ok := s.gaps[why]; ok {
			text = fmt.Sprintf("#%d %s", n, text)
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}
