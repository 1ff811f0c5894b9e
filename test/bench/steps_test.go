package bench

import (
	"fmt"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// The steps that are compared. Each takes the number of the round, so that what it
// changes was never seen before: the cost of decoding and compiling it counts.

// aService is a service on HTTP.
func aService(m *mesh) string {
	for n := range m.snap.All(xds.EndpointType) {
		if len(n) > 15 && n[:15] == "outbound|2250||" {
			return n
		}
	}
	return ""
}

func changed[T proto.Message](t *testing.T, m *mesh, typ, name string, edit func(T)) *state.Snapshot {
	t.Helper()
	d, ok := m.snap.Lookup(typ, name)
	if !ok {
		t.Fatalf("no %s", name)
	}
	r := resource[T](t, m, d)
	edit(r)
	return m.put(t, m.snap, typ, r)
}

// capture adds a listener for a port that nobody had.
func (m *mesh) capture(t *testing.T, round int) *state.Snapshot {
	d := m.found[xds.ListenerType]["0.0.0.0_7005"]
	l := resource[*listenerv3.Listener](t, m, d)
	l.StatPrefix = fmt.Sprint("round-", round)
	return m.put(t, m.snap, xds.ListenerType, l)
}

// emptied takes the endpoints of one service away.
func (m *mesh) emptied(t *testing.T, round int) *state.Snapshot {
	return changed(t, m, xds.EndpointType, aService(m), func(a *endpointv3.ClusterLoadAssignment) {
		a.Endpoints = nil
		a.Policy = &endpointv3.ClusterLoadAssignment_Policy{EndpointStaleAfter: durationpb.New(time.Hour + time.Duration(round))}
	})
}

// grown gives one service an endpoint more.
func (m *mesh) grown(t *testing.T, round int) *state.Snapshot {
	return changed(t, m, xds.EndpointType, aService(m), func(a *endpointv3.ClusterLoadAssignment) {
		eps := a.GetEndpoints()[0]
		e := proto.CloneOf(eps.GetLbEndpoints()[0])
		e.GetEndpoint().GetAddress().GetSocketAddress().PortSpecifier = &corev3.SocketAddress_PortValue{PortValue: uint32(10_000 + round)}
		eps.LbEndpoints = append(eps.LbEndpoints, e)
	})
}

// tuned changes a setting of one cluster that moves no traffic.
func (m *mesh) tuned(t *testing.T, round int) *state.Snapshot {
	return changed(t, m, xds.ClusterType, aService(m), func(c *clusterv3.Cluster) {
		c.ConnectTimeout = durationpb.New(time.Second + time.Duration(round))
	})
}

// hostAdded gives one port a virtual host more.
func (m *mesh) hostAdded(t *testing.T, round int) *state.Snapshot {
	return changed(t, m, xds.RouteType, "2250", func(r *routev3.RouteConfiguration) {
		vh := proto.CloneOf(r.GetVirtualHosts()[0])
		vh.Name, vh.Domains = "new", []string{fmt.Sprintf("new-%d.example", round)}
		r.VirtualHosts = append(r.VirtualHosts, vh)
	})
}

// registryOnly is what istiod pushes when the mesh goes from ALLOW_ANY to
// REGISTRY_ONLY (recordings/06-registry-only, step 80): what passed through is
// blocked, on every port; HTTP is answered 502.
func (m *mesh) registryOnly(t *testing.T, round int) *state.Snapshot {
	s := m.snap
	for name, d := range m.snap.All(xds.ListenerType) {
		if name != "virtualOutbound" && name[:8] != "0.0.0.0_" {
			continue
		}
		l := resource[*listenerv3.Listener](t, m, d)
		for _, fc := range append(l.GetFilterChains(), l.GetDefaultFilterChain()) {
			blackHole(t, fc, round)
		}
		s = m.put(t, s, xds.ListenerType, l)
	}
	for _, d := range m.snap.All(xds.RouteType) {
		r := resource[*routev3.RouteConfiguration](t, m, d)
		for _, vh := range r.GetVirtualHosts() {
			if vh.GetName() == "allow_any" {
				vh.Name = fmt.Sprint("block_all", round)
				vh.Routes[0].Action = &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 502}}
			}
		}
		s = m.put(t, s, xds.RouteType, r)
	}
	return s
}

func blackHole(t *testing.T, fc *listenerv3.FilterChain, round int) {
	for _, f := range fc.GetFilters() {
		p := new(tcpv3.TcpProxy)
		if f.GetTypedConfig().UnmarshalTo(p) == nil && p.GetCluster() == "PassthroughCluster" {
			p.ClusterSpecifier = &tcpv3.TcpProxy_Cluster{Cluster: "BlackHoleCluster"}
			p.StatPrefix = fmt.Sprint("round-", round)
			f.GetTypedConfig().Value = marshal(t, p)
		}
	}
}
