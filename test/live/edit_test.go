package live

import (
	"fmt"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// edited draws what the next push makes of a configuration: one to three changes.
func edited(t *rapid.T, a *resources) *resources {
	b := &resources{listeners: append([]*listenerv3.Listener(nil), a.listeners...), clusters: append([]*clusterv3.Cluster(nil), a.clusters...),
		routes: append([]*routev3.RouteConfiguration(nil), a.routes...), endpoints: append([]*endpointv3.ClusterLoadAssignment(nil), a.endpoints...)}
	for range rapid.IntRange(1, 3).Draw(t, "edits") {
		b.edit(t)
	}
	return b
}

func (r *resources) edit(t *rapid.T) {
	switch rapid.IntRange(0, 9).Draw(t, "edit") {
	case 0:
		r.listeners = append(r.listeners, listener(t, 20+len(r.listeners)))
	case 1: // virtualOutbound stays
		if i := r.some(t); i >= 0 {
			r.listeners = append(r.listeners[:i:i], r.listeners[i+1:]...)
		}
	case 2:
		if i := r.some(t); i >= 0 {
			l := listener(t, 0)
			l.Name = r.listeners[i].Name
			r.listeners[i] = l
		}
	case 3, 4, 5:
		if i := r.some(t); i >= 0 {
			r.listeners[i] = rechained(t, r.listeners[i])
		}
	case 6:
		for i, l := range r.listeners {
			if l.GetUseOriginalDst().GetValue() {
				n := proto.CloneOf(l)
				n.FilterChains[1].Filters = tcp(one(t, []string{"PassthroughCluster", "BlackHoleCluster", "svc-a"}, "new catch-all"))
				r.listeners[i] = n
			}
		}
	case 7:
		r.clusters = clusters(t)
	case 8:
		r.endpoints = assignments(t)
	default:
		i := rapid.IntRange(0, len(r.routes)-1).Draw(t, "which routes")
		r.routes[i] = routes(t, r.routes[i].Name)
	}
}

// some is the index of a listener that is no virtualOutbound, -1 for none.
func (r *resources) some(t *rapid.T) int {
	first := 0
	for first < len(r.listeners) && r.listeners[first].GetUseOriginalDst().GetValue() {
		first++
	}
	if first == len(r.listeners) {
		return -1
	}
	return rapid.IntRange(first, len(r.listeners)-1).Draw(t, "which listener")
}

// rechained adds, takes away or changes a filter chain, or the default.
func rechained(t *rapid.T, l *listenerv3.Listener) *listenerv3.Listener {
	l = proto.CloneOf(l)
	n := len(l.FilterChains)
	switch kind := rapid.IntRange(0, 3).Draw(t, "chain edit"); {
	case kind == 0 || n == 0:
		l.FilterChains = append(l.FilterChains, chain(t, n))
	case kind == 1:
		i := rapid.IntRange(0, n-1).Draw(t, "which chain")
		l.FilterChains = append(l.FilterChains[:i:i], l.FilterChains[i+1:]...)
	case kind == 2:
		i := rapid.IntRange(0, n-1).Draw(t, "which chain")
		l.FilterChains[i] = proto.CloneOf(l.FilterChains[i])
		l.FilterChains[i].Filters = terminal(t)
	default:
		l.DefaultFilterChain = &listenerv3.FilterChain{Name: fmt.Sprint("default", n), Filters: terminal(t)}
	}
	if len(l.FilterChains) == 0 && l.DefaultFilterChain == nil {
		l.DefaultFilterChain = &listenerv3.FilterChain{Name: "default", Filters: terminal(t)}
	}
	return l
}
