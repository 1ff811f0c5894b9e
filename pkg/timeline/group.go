package timeline

import (
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const (
	// quiet is how long nothing must come before a group without a telling
	// version is taken for finished.
	quiet = time.Second
	// rejoin is the same while streams of the sidecar are still to come back.
	rejoin = 5 * time.Second
	// patient is how many groups of a new life may run into the limit before the
	// life is taken as it is.
	patient = 2
	// limit is how long a group may stay open.
	limit = 10 * time.Second
)

// holds lists the types whose pushes keep a group open until they are answered.
// Others are never answered for certain (an empty name table is not), or say
// nothing about where traffic goes.
var holds = map[string]bool{
	xds.ListenerType: true, xds.ClusterType: true, xds.RouteType: true, xds.EndpointType: true,
	xds.ScopedRouteType: true, xds.ExtensionType: true,
}

// group is the pushes of all types that belong to one change of the control
// plane, while they come in.
type group struct {
	before     *state.Snapshot // accepted when it opened
	lastActive *state.Snapshot
	fork       *state.Fold // the state when it opened
	recs       []xds.Record
	pushes     []judge.PushRef
	first      judge.PushRef
	opened     time.Duration
	stirred    time.Duration     // when the last record of a type that holds came
	waits      map[uint64]uint64 // unanswered pushes that hold it -> stream
	versions   map[string]string // of the types that carry every version: CDS, LDS, RDS
	endpoints  bool              // nothing but endpoints under the old version so far
	held       int               // pushes of types that hold
	facts      []judge.Fact
	doubts     map[string]string // type -> why it was uncertain when the group opened
}

// opens reports whether a record begins a group.
func (s *side) opens(r xds.Record) bool {
	return s.group == nil && r.Kind == xds.KindPush && r.Push != nil && !xds.Debug(r.Push.Type) && !state.Heartbeat(r.Push)
}

func (s *side) open(r xds.Record) {
	s.group = &group{
		before: s.w.fold.Accepted(s.id), lastActive: s.w.fold.Active(s.id), fork: s.w.fold.Fork(s.id),
		first: judge.PushRef{Number: r.Push.Number, Time: r.Time}, opened: s.clock, stirred: s.clock,
		waits: map[uint64]uint64{}, versions: map[string]string{}, endpoints: true, doubts: s.view().Uncertain,
	}
}

// openLate opens a group for a record that is no push. It belongs to the push it
// answers, else to the newest one.
func (s *side) openLate(r xds.Record, fork *state.Fold) {
	first := s.newest
	if r.Kind == xds.KindAnswer && r.Answer.Push != 0 {
		first = judge.PushRef{Number: r.Answer.Push, Time: r.Time}
	}
	s.group = &group{before: fork.Accepted(s.id), fork: fork, first: first, opened: s.clock, stirred: s.clock,
		waits: map[uint64]uint64{}, versions: map[string]string{}, doubts: s.view().Uncertain}
}

// add folds a record into the group.
func (g *group) add(s *side, r xds.Record) {
	g.recs = append(g.recs, r)
	switch {
	case r.Kind == xds.KindPush && r.Push != nil:
		g.push(s, r)
	case r.Kind == xds.KindAnswer && r.Answer != nil:
		if _, ours := g.waits[r.Answer.Push]; ours {
			g.stirred = s.clock
		}
		g.answered(s)
	case r.Kind == xds.KindRequest && r.Request != nil && holds[xds.Canonical(r.Request.Type)]:
		g.stirred = s.clock
	case r.Kind == xds.KindClose:
		for n, stream := range g.waits {
			if stream == r.Stream {
				delete(g.waits, n)
			}
		}
	}
}

// answered drops the pushes that wait no more: an answer also tells that those
// before it had one.
func (g *group) answered(s *side) {
	for n := range g.waits {
		if waits, _ := s.w.fold.Unanswered(s.id, n); !waits {
			delete(g.waits, n)
		}
	}
}

// lost reports whether all that is still waited for may be lost in a gap.
func (g *group) lost(s *side) bool {
	for n := range g.waits {
		if _, lost := s.w.fold.Unanswered(s.id, n); !lost {
			return false
		}
	}
	return true
}

func (g *group) push(s *side, r xds.Record) {
	typ := xds.Canonical(r.Push.Type)
	if xds.Debug(typ) || state.Heartbeat(r.Push) {
		return
	}
	g.pushes = append(g.pushes, judge.PushRef{Number: r.Push.Number, Time: r.Time})
	if !holds[typ] {
		return
	}
	g.held++
	g.stirred = s.clock
	g.waits[r.Push.Number] = r.Stream
	if typ != xds.EndpointType || r.Push.Version == "" || r.Push.Version != s.version {
		g.endpoints = false
	}
	if typ == xds.ClusterType || typ == xds.ListenerType || typ == xds.RouteType {
		g.versions[typ] = r.Push.Version
	}
}

// rule says whether the group is finished as far as records can tell, and why.
func (g *group) rule(s *side) Rule {
	if len(g.waits) > 0 || s.unready() {
		return ""
	}
	if g.endpoints && g.held > 0 {
		return Endpoints
	}
	v := g.versions[xds.ClusterType]
	if v == "" || g.versions[xds.ListenerType] != v || s.w.fold.Subscribed(s.id, xds.RouteType) && g.versions[xds.RouteType] != v {
		return ""
	}
	if s.w.dangles(g.before, s.w.fold.Accepted(s.id)) {
		return ""
	}
	return Complete
}

// due is when time alone closes the group, and by which rule.
func (g *group) due(s *side) (Rule, time.Duration) {
	end := g.opened + limit
	lost := len(g.waits) > 0 && g.lost(s) // then what it warms for comes by assuming the answers
	if q := g.stirred + s.quiet(); (lost || len(g.waits) == 0 && !s.unready()) && q <= end {
		return Quiet, q
	}
	return Limit, end
}

// quiet is how long nothing must come. Streams that do not come back are waited
// for once.
func (s *side) quiet() time.Duration {
	if !s.alone && s.w.fold.Awaits(s.id) {
		return rejoin
	}
	return quiet
}

// unready reports whether a life has only just begun: a sidecar that has clusters
// and no word about listeners yet, or listeners that still wait for their routes,
// is not settled, however quiet it is.
func (s *side) unready() bool {
	return s.baseline && s.limits < patient && s.group != nil && (!s.listeners() || s.w.fold.Warms(s.id, xds.ListenerType))
}

func (s *side) listeners() bool {
	if s.group != nil {
		if _, ok := s.group.versions[xds.ListenerType]; ok {
			return true
		}
	}
	return s.w.fold.Accepted(s.id).Len(xds.ListenerType) > 0
}
