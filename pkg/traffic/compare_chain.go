package traffic

import (
	"net/netip"
	"reflect"
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// sameChains finds chains that do the same in two views, so that a change of a
// listener's other chains costs only these: a policy that flips touches every
// listener, and in each one chain.
type sameChains struct {
	old, new *View
	routes   map[string]bool    // route configurations that differ
	caught   map[string]bool    // clusters that mean "pass through" on one side only
	memo     map[[2]*chain]bool // what was found
}

// unmoved is nil where more differs than listeners and route configurations: then
// every chain may be touched.
func unmoved(old, new *View) func(pair, netip.AddrPort, xds.Signal) (same, requests bool) {
	s := &sameChains{old: old, new: new, routes: map[string]bool{}, caught: map[string]bool{}, memo: map[[2]*chain]bool{}}
	for d := range state.Differences(old.snap, new.snap) {
		switch {
		case d.Type == xds.RouteType:
			s.routes[d.Name] = true
		case d.Type != xds.ListenerType, old.internal(d.Old), new.internal(d.New):
			return nil
		}
	}
	if !reflect.DeepEqual(old.env.Static, new.env.Static) || old.env.Istio != new.env.Istio {
		return nil
	}
	if a, b := old.catchAll(), new.catchAll(); a != b {
		s.caught[a], s.caught[b] = true, true
		delete(s.caught, "PassthroughCluster") // means so on both sides
	}
	return s.unmoved
}

// internal reports that endpoints may lead to the listener.
func (v *View) internal(d xds.Digest) bool {
	if d.IsZero() {
		return false
	}
	return d == xds.Bodyless || v.engine.listener(d).internal || v.engine.listener(d).broken != ""
}

func (s *sameChains) unmoved(p pair, dst netip.AddrPort, sig xds.Signal) (same, requests bool) {
	a, inA, okA := s.old.chains(p.old, dst, sig)
	b, inB, okB := s.new.chains(p.new, dst, sig)
	if !okA || !okB || len(a) != 1 || len(b) != 1 || a[0] == nil || b[0] == nil {
		return false, true
	}
	requests = a[0].readsRequests() || b[0].readsRequests()
	if !reflect.DeepEqual(inA, inB) {
		return false, requests
	}
	key := [2]*chain{a[0], b[0]}
	same, ok := s.memo[key]
	if !ok {
		same = s.same(p, a[0], b[0])
		s.memo[key] = same
	}
	return same, requests
}

// readsRequests reports whether c may have an HTTP connection manager.
func (c *chain) readsRequests() bool {
	return c.tls || c.broken != "" || slices.ContainsFunc(c.filters, func(n networkFilter) bool { _, tcp := n.(*tcpProxy); return !tcp })
}

// same: equal messages, and nothing they lead to differs.
func (s *sameChains) same(p pair, a, b *chain) bool {
	x, y := s.message(s.old, p.old, a), s.message(s.new, p.new, b)
	if x == nil || y == nil || !proto.Equal(x, y) {
		return false
	}
	refs := &references{}
	compileFilters(x.GetFilters(), refs)
	if refs.dynamic {
		return false
	}
	for r := range refs.routes {
		if s.routes[r] || s.leads(r) {
			return false
		}
	}
	return !meets(refs.clusterNames(), s.caught)
}

// leads reports that a route configuration names a cluster whose meaning differs.
func (s *sameChains) leads(route string) bool {
	d, ok := s.new.snap.Lookup(xds.RouteType, route)
	if !ok || d == xds.Bodyless || len(s.caught) == 0 {
		return false
	}
	rc := s.new.engine.routeConfig(d)
	return rc.dynamic || meets(rc.clusters, s.caught)
}

// message is the chain as it came, nil if that is not to be had.
func (s *sameChains) message(v *View, l *listener, c *chain) *listenerv3.FilterChain {
	m, err := decode.As[*listenerv3.Listener](v.engine.bodies, l.digest)
	if l.digest.IsZero() || err != nil {
		return nil
	}
	if c == l.def {
		return m.GetDefaultFilterChain()
	}
	for i, x := range l.chains {
		if x == c && i < len(m.GetFilterChains()) {
			return m.GetFilterChains()[i]
		}
	}
	return nil
}
