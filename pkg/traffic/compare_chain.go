package traffic

import (
	"bytes"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// sameChains finds chains that do the same in two views, so that a change of a
// listener's other chains costs only these: a policy that flips touches every
// listener, and in each one chain.
type sameChains struct {
	old, new *View
	moved    *moved
	memo     map[[2]*chain]still // what was found
	split    map[xds.Digest]splitRoutes
}

// splitRoutes is an encoded route configuration, its virtual hosts apart.
type splitRoutes struct {
	hosts [][]byte
	rest  []byte
}

// still is what two chains that a connection gets have in common.
type still struct {
	same     bool            // they do the same
	requests bool            // one of them reads requests
	hosts    map[string]bool // names that are served the same, where all else does not
}

func newSameChains(old, new *View, m *moved) *sameChains {
	return &sameChains{old: old, new: new, moved: m, memo: map[[2]*chain]still{}, split: map[xds.Digest]splitRoutes{}}
}

func (s *sameChains) unmoved(p pair, dst netip.AddrPort, sig xds.Signal) still {
	a, inA, okA := s.old.chains(p.old, dst, sig)
	b, inB, okB := s.new.chains(p.new, dst, sig)
	if !okA || !okB || len(a) != 1 || len(b) != 1 || a[0] == nil || b[0] == nil {
		return still{requests: true}
	}
	if !reflect.DeepEqual(inA, inB) {
		return still{requests: a[0].readsRequests() || b[0].readsRequests()}
	}
	key := [2]*chain{a[0], b[0]}
	found, ok := s.memo[key]
	if !ok {
		found = s.compare(p, a[0], b[0])
		s.memo[key] = found
	}
	return found
}

// readsRequests reports whether c may have an HTTP connection manager.
func (c *chain) readsRequests() bool {
	return c.tls || c.broken != "" || slices.ContainsFunc(c.filters, func(n networkFilter) bool { _, tcp := n.(*tcpProxy); return !tcp })
}

// compare: chains do the same that are equal messages, where nothing that they
// lead to differs.
func (s *sameChains) compare(p pair, a, b *chain) still {
	out := still{requests: a.readsRequests() || b.readsRequests()}
	x, y := s.message(s.old, p.old, a), s.message(s.new, p.new, b)
	if x == nil || y == nil || !proto.Equal(x, y) || b.refs.dynamic || meets(b.refs.clusterNames(), s.moved.clusters) {
		return out
	}
	for r := range b.refs.routes {
		if s.moved.routes[r] || s.leads(s.old, r) || s.leads(s.new, r) {
			if len(b.refs.routes) == 1 {
				out.hosts = s.hosts(r)
			}
			return out
		}
	}
	out.same = true
	return out
}

// leads reports that a route configuration names a cluster that moved.
func (s *sameChains) leads(v *View, route string) bool {
	rc := v.routeNamed(route)
	return rc != nil && len(s.moved.clusters) > 0 && (rc.dynamic || meets(rc.clusters, s.moved.clusters))
}

// hosts are the names in full that two versions of a route configuration serve
// with virtual hosts of equal bytes, which lead to no cluster that moved; none
// where the versions differ in anything else.
func (s *sameChains) hosts(route string) map[string]bool {
	a, b := s.old.routeNamed(route), s.new.routeNamed(route)
	out := map[string]bool{}
	for _, h := range s.served(route, a, b) {
		for _, d := range h.names {
			out[d] = true
		}
	}
	return out
}

// servedHost is a virtual host that two versions share: its place in both, and
// its names in full.
type servedHost struct {
	old, new int
	names    []string
}

func (s *sameChains) served(route string, a, b *routeConfig) []servedHost {
	if a == nil || b == nil || a.broken != "" || b.broken != "" || a.dynamic || b.dynamic {
		return nil
	}
	sure := a.unique() && b.unique()
	var out []servedHost
	for i, j := range s.equalHosts(route, a, b) {
		if j < 0 || s.ledTo(b.hosts[i]) {
			continue
		}
		h := servedHost{old: j, new: i, names: b.hosts[i].domains}
		if !sure || slices.ContainsFunc(h.names, wildcardName) {
			h.names = slices.DeleteFunc(slices.Clone(h.names), func(d string) bool {
				return wildcardName(d) || a.exact[d] != a.hosts[j] || b.exact[d] != b.hosts[i]
			})
		}
		out = append(out, h)
	}
	return out
}

func wildcardName(d string) bool { return strings.HasPrefix(d, "*") || strings.HasSuffix(d, "*") }

// unique reports that no two virtual hosts have a name in full in common.
func (rc *routeConfig) unique() bool {
	n := 0
	for _, h := range rc.hosts {
		for _, d := range h.domains {
			if !wildcardName(d) {
				n++
			}
		}
	}
	return n == len(rc.exact)
}

// ledTo reports that a route of vh ends at a cluster that moved.
func (s *sameChains) ledTo(vh *virtualHost) bool {
	return len(s.moved.clusters) > 0 && slices.ContainsFunc(vh.routes, func(r *route) bool {
		return slices.ContainsFunc(r.legs, func(l leg) bool { return s.moved.clusters[l.cluster] })
	})
}

// equalHosts gives for each virtual host of b the place of one of a that has the
// same bytes, -1 where there is none.
func (s *sameChains) equalHosts(route string, a, b *routeConfig) []int {
	out := make([]int, len(b.hosts))
	if a == b {
		for i := range out {
			out[i] = i
		}
		return out
	}
	was, restA := s.hostBytes(s.old, route, a)
	is, restB := s.hostBytes(s.new, route, b)
	if was == nil || is == nil || !bytes.Equal(restA, restB) {
		return nil
	}
	var at map[string]int
	for i, raw := range is {
		if out[i] = i; i < len(was) && bytes.Equal(raw, was[i]) {
			continue
		}
		if at == nil {
			at = placesOf(was)
		}
		if j, ok := at[string(raw)]; ok {
			out[i] = j
			continue
		}
		out[i] = -1
	}
	return out
}

func placesOf(list [][]byte) map[string]int {
	at := map[string]int{}
	for i, raw := range list {
		at[string(raw)] = i
	}
	return at
}

// hostBytes are the virtual hosts of a route configuration as they came, in the
// order of its compiled form, and the bytes of all else in it.
func (s *sameChains) hostBytes(v *View, route string, rc *routeConfig) (hosts [][]byte, rest []byte) {
	d, _ := v.snap.Lookup(xds.RouteType, route)
	out, ok := s.split[d]
	if !ok {
		out = splitBody(v, d)
		s.split[d] = out
	}
	if len(out.hosts) != len(rc.hosts) {
		return nil, nil
	}
	return out.hosts, out.rest
}

func splitBody(v *View, d xds.Digest) (out splitRoutes) {
	raw, ok := v.engine.bodies.Body(d)
	if !ok {
		return out
	}
	if _, value := fields(raw, 2); len(value) == 1 { // of the Any
		out.rest, out.hosts = fields(value[0], 2) // virtual_hosts
	}
	return out
}

// fields splits an encoded message into the values of one field of type bytes or
// message, and the rest.
func fields(raw []byte, number protowire.Number) (rest []byte, values [][]byte) {
	for len(raw) > 0 {
		num, typ, n := protowire.ConsumeTag(raw)
		size := protowire.ConsumeFieldValue(num, typ, raw[max(n, 0):])
		if n < 0 || size < 0 {
			return nil, nil
		}
		if num == number && typ == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(raw[n:])
			values = append(values, v)
		} else {
			rest = append(rest, raw[:n+size]...)
		}
		raw = raw[n+size:]
	}
	return rest, values
}

// less is m less some of its fields; what is left is shared.
func less[T proto.Message](m T, fields ...protoreflect.Name) T {
	out := m.ProtoReflect().New()
	m.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if !slices.Contains(fields, fd.Name()) {
			out.Set(fd, v)
		}
		return true
	})
	return out.Interface().(T)
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
