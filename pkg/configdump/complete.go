package configdump

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// complete makes the lists those that pushes would have brought: assignments of
// EDS clusters only (Envoy shows one for each cluster of any type), and names
// without a body for what must be there although the dump does not show it.
func (w *writer) complete() {
	w.assignments()
	w.lost()
	w.routes()
	for typ := range w.held {
		w.held[typ] = byName(w.held[typ])
	}
	for _, m := range []struct{ typ, what string }{{xds.ClusterType, "clusters"}, {xds.ListenerType, "listeners"}} {
		if !w.there[m.typ] {
			w.warn("the dump shows no %s", m.what)
		}
	}
}

func (w *writer) assignments() {
	wanted := w.edsNames()
	if !w.there[xds.EndpointType] && len(w.held[xds.EndpointType]) == 0 && len(wanted) > 0 {
		w.warn("the dump has no endpoints (take it with ?include_eds): what depends on them is unknown")
		for name := range wanted {
			w.held[xds.EndpointType] = append(w.held[xds.EndpointType], item{name: name})
		}
		return
	}
	w.resolved(wanted)
	w.held[xds.EndpointType] = slices.DeleteFunc(w.held[xds.EndpointType], func(it item) bool { return !wanted[it.name] })
}

// edsNames are the assignments that the clusters of the dump ask for
// (config.cluster.v3.Cluster.EdsClusterConfig.service_name, else the name).
func (w *writer) edsNames() map[string]bool {
	out := map[string]bool{}
	for _, it := range slices.Concat(w.held[xds.ClusterType], w.warming[xds.ClusterType]) {
		var c, typ, eds fields
		if json.Unmarshal(it.body, &c) != nil {
			continue
		}
		_, _ = json.Unmarshal(c["clustertype"], &typ), json.Unmarshal(c["edsclusterconfig"], &eds)
		if c.text("type") == "EDS" || typ.text("name") == customEDS {
			out[cmp.Or(eds.text("servicename"), it.name)] = true
		}
	}
	for _, m := range w.out.Static {
		c, ok := m.(*clusterv3.Cluster)
		if ok && (c.GetClusterDiscoveryType() != nil && c.GetType() == clusterv3.Cluster_EDS || c.GetClusterType().GetName() == customEDS) {
			out[cmp.Or(c.GetEdsClusterConfig().GetServiceName(), c.GetName())] = true
		}
	}
	return out
}

// customEDS is the name under cluster_type that means the same as type EDS.
const customEDS = "envoy.cluster.eds"

// routes adds the names of routes that an active listener uses and the dump does
// not show: the listener would not be active without them.
func (w *writer) routes() {
	have := map[string]bool{}
	for _, it := range w.held[xds.RouteType] {
		have[it.name] = true
	}
	for _, it := range w.held[xds.ListenerType] {
		if !bytes.Contains(it.body, []byte(`"rds"`)) {
			continue
		}
		for _, name := range routeNames(it.body) {
			if !have[name] {
				have[name] = true
				w.warn("route %q of listener %q is not in the dump", name, it.name)
				w.held[xds.RouteType] = append(w.held[xds.RouteType], item{name: name})
			}
		}
	}
}

// routeNames walks a listener for connection managers with "rds".
func routeNames(body json.RawMessage) []string {
	var f fields
	if json.Unmarshal(body, &f) == nil {
		var out []string
		for _, key := range slices.Sorted(maps.Keys(f)) {
			v := f[key]
			var rds fields
			if key == "rds" && json.Unmarshal(v, &rds) == nil && rds.text("routeconfigname") != "" {
				out = append(out, rds.text("routeconfigname"))
			}
			out = append(out, routeNames(v)...)
		}
		return out
	}
	var list []json.RawMessage
	if len(body) == 0 || body[0] != '[' || json.Unmarshal(body, &list) != nil {
		return nil
	}
	var out []string
	for _, v := range list {
		out = append(out, routeNames(v)...)
	}
	return out
}
