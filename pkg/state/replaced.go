package state

import (
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// replaced is the version of a listener or cluster that gave way to the accepted
// one. A Fold without Deps cannot tell whether the new one still warms; its bases
// carry the old one too, and a Fold that has Deps finds out.
type replaced struct {
	digest xds.Digest
	at     time.Time
}

// warmingTime is how long after its update a resource is looked at as one that
// may still warm. Envoy's initial_fetch_timeout is 15 s by default.
const warmingTime = time.Minute

// replace notes what d takes the place of, before it does.
func (e *edit) replace(typ, name string, d xds.Digest) {
	if typ != xds.ListenerType && typ != xds.ClusterType {
		return
	}
	if old, ok := e.accepted.Lookup(typ, name); ok && old != d {
		e.s.replaced[Ref{typ, name}] = replaced{old, e.s.lastSeen}
	}
}

// baseActive returns the version that a base should name as active, if any.
func (s *side) baseActive(typ, name string) (xds.Digest, bool) {
	if s.deps != nil {
		return s.active.Lookup(typ, name)
	}
	r, ok := s.replaced[Ref{typ, name}]
	return r.digest, ok && s.lastSeen.Sub(r.at) < warmingTime
}

// guessed reports whether a base was made without Deps: of what never warms,
// something is accepted and not active.
func guessed(b *xds.Base) bool {
	for _, t := range b.Types {
		if typ := xds.Canonical(t.Type); typ == xds.ListenerType || typ == xds.ClusterType {
			continue
		}
		active := map[string]bool{}
		for _, en := range t.Resources {
			active[en.Name] = active[en.Name] || en.Held&xds.HeldActive != 0
		}
		for _, en := range t.Resources {
			if en.Held&xds.HeldAccepted != 0 && !active[en.Name] {
				return true
			}
		}
	}
	return false
}

// prune does what a Fold without Deps had to leave undone where a client ended a
// stream of a single type: what nothing refers to any more goes. A base does not
// name the service of an ended stream; one that brought neither listeners nor
// clusters was none of the aggregated service.
func (s *side) prune() {
	if s.deps == nil {
		return
	}
	for _, id := range s.streamIDs() {
		st := s.streams[id]
		if !st.closed || st.holds(xds.ListenerType) || st.holds(xds.ClusterType) {
			continue
		}
		for _, typ := range []string{xds.EndpointType, xds.RouteType} {
			needed := s.needed(st, typ)
			s.forget(st, typ, func(name string) bool { return !needed[name] })
		}
	}
}
