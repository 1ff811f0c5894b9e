package traffic

import (
	"maps"
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// references collects what a resource names while it is compiled.
type references struct {
	clusters, routes map[string]bool
	dynamic          bool // cluster names are taken from what the client says
}

func (r *references) cluster(name string) {
	if r.clusters == nil {
		r.clusters = map[string]bool{}
	}
	if name != "" {
		r.clusters[name] = true
	}
}

func (r *references) route(name string) {
	if r.routes == nil {
		r.routes = map[string]bool{}
	}
	r.routes[name] = true
}

// join adds what another one holds.
func (r *references) join(o *references) {
	for c := range o.clusters {
		r.cluster(c)
	}
	for n := range o.routes {
		r.route(n)
	}
	r.dynamic = r.dynamic || o.dynamic
}

func (r *references) clusterNames() []string { return sortedKeys(r.clusters) }
func (r *references) routeNames() []string   { return sortedKeys(r.routes) }

func sortedKeys(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }

// Refs lists what a resource names: a listener its route configurations and
// clusters, a route configuration its clusters, a cluster its assignment and
// the members of an aggregate.
func (e *Engine) Refs(typ string, d xds.Digest) []state.Ref {
	if d.IsZero() || d == xds.Bodyless {
		return nil
	}
	switch xds.Canonical(typ) {
	case xds.ListenerType:
		l := e.listener(d)
		return append(refsTo(xds.RouteType, l.routes), refsTo(xds.ClusterType, l.clusters)...)
	case xds.RouteType:
		return refsTo(xds.ClusterType, e.routeConfig(d).clusters)
	case xds.ClusterType:
		c := e.cluster(d)
		out := refsTo(xds.ClusterType, c.members)
		if c.edsName != "" {
			out = append(out, state.Ref{Type: xds.EndpointType, Name: c.edsName})
		}
		return out
	}
	return nil
}

// Deps lists what must be there before a resource takes traffic: the assignment
// of an EDS cluster, the route configurations of a listener. Secrets come by
// another way and are not counted.
func (e *Engine) Deps(typ string, d xds.Digest) []state.Ref {
	if d.IsZero() || d == xds.Bodyless {
		return nil
	}
	switch xds.Canonical(typ) {
	case xds.ListenerType:
		return refsTo(xds.RouteType, e.listener(d).routes)
	case xds.ClusterType:
		if n := e.cluster(d).edsName; n != "" {
			return []state.Ref{{Type: xds.EndpointType, Name: n}}
		}
	}
	return nil
}

func refsTo(typ string, names []string) []state.Ref {
	out := make([]state.Ref, 0, len(names))
	for _, n := range names {
		out = append(out, state.Ref{Type: typ, Name: n})
	}
	return out
}

// Owner says which object the cluster of a verdict came from, nil if nothing
// tells. Istio's metadata names a ServiceEntry by its host; external marks it.
func (v *View) Owner(vd xds.Verdict) *xds.Owner {
	name := vd.Cluster
	if name == "" && len(vd.Clusters) > 0 {
		name = vd.Clusters[0].Name
	}
	if name == "" {
		return nil
	}
	if c := v.cluster(name); c != nil && c.owner != nil {
		o := *c.owner
		return &o
	}
	if host := hostOf(name); host != "" {
		return &xds.Owner{Kind: kindOfHost(host), Host: host, Namespace: namespaceOf(host)}
	}
	return nil
}

// hostOf reads the host out of direction|port|subset|host.
func hostOf(cluster string) string {
	p := strings.Split(cluster, "|")
	if len(p) != 4 {
		return ""
	}
	return p[3]
}

// kindOfHost: a Kubernetes service is known by its name, any other host comes from
// a ServiceEntry.
func kindOfHost(host string) string {
	if namespaceOf(host) != "" {
		return "Service"
	}
	return "ServiceEntry"
}

func namespaceOf(host string) string {
	p := strings.Split(strings.TrimSuffix(host, "."), ".")
	if len(p) >= 3 && p[2] == "svc" {
		return p[1]
	}
	return ""
}
