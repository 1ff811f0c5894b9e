package configdump

import (
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// resolved keeps the assignments that no push brings: Envoy shows one for every
// cluster, and that of a DNS cluster is what its names had resolved to.
func (w *writer) resolved(wanted map[string]bool) {
	w.out.Resolved = map[string]*endpointv3.ClusterLoadAssignment{}
	for _, it := range w.held[xds.EndpointType] {
		if wanted[it.name] || len(it.body) == 0 {
			continue
		}
		m := new(endpointv3.ClusterLoadAssignment)
		if w.conv.resource(xds.EndpointType, it.body, m) == nil {
			w.out.Resolved[it.name] = m
		}
	}
}

// lost notes which ports of 0.0.0.0 listeners had that only drain now: a "::"
// listener with ipv4_compat does not get them back.
func (w *writer) lost() {
	w.out.Lost4 = []uint16{}
	for _, it := range w.drained {
		m := new(listenerv3.Listener)
		if len(it.body) == 0 || w.conv.resource(xds.ListenerType, it.body, m) != nil {
			continue
		}
		if a := m.GetAddress().GetSocketAddress(); a.GetAddress() == "0.0.0.0" {
			w.out.Lost4 = append(w.out.Lost4, uint16(a.GetPortValue()))
		}
	}
}
