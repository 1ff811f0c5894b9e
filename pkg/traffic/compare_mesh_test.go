package traffic

import (
	"fmt"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	httpinspv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// The size of mesh that the limits are stated for.
const (
	meshClusters  = 20_000
	meshHTTP      = 500   // ports with a route configuration each
	meshTCP       = 1_500 // listeners on an address of their own
	hostsPerRoute = (meshClusters - meshTCP) / meshHTTP
)

// mesh is a synthetic mesh in Istio's shape.
func mesh(b *testing.B) *world {
	w := newWorld()
	var s *state.Snapshot
	put := func(typ, name string, m proto.Message) { s = w.with(b, s, typ, name, m) }
	for i := range meshClusters {
		put(xds.ClusterType, cname(i), edsCluster(i))
		put(xds.EndpointType, cname(i), assignmentOf(i, 1))
	}
	put(xds.ClusterType, "PassthroughCluster", &clusterv3.Cluster{
		Name: "PassthroughCluster", LbPolicy: clusterv3.Cluster_CLUSTER_PROVIDED, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST},
	})
	put(xds.ClusterType, "BlackHoleCluster", &clusterv3.Cluster{Name: "BlackHoleCluster"})
	put(xds.ListenerType, "virtualOutbound", outbound(b, "PassthroughCluster"))
	for i := range meshHTTP {
		put(xds.ListenerType, fmt.Sprintf("0.0.0.0_%d", 10000+i), httpListener(b, 10000+i))
		put(xds.RouteType, fmt.Sprint(10000+i), meshRoutes(i, 0))
	}
	for i := range meshTCP {
		l := tcpListener(fmt.Sprint("tcp", i), uint32(9000+i%50), tcpChain(b, "", "", cname(i)))
		l.Address.GetSocketAddress().Address = fmt.Sprintf("10.1.%d.%d", i/250, i%250)
		put(xds.ListenerType, l.Name, l)
	}
	w.snaps = append(w.snaps, s)
	return w
}

func cname(i int) string { return fmt.Sprintf("outbound|80||svc-%d.ns.svc.cluster.local", i) }

func edsCluster(i int) *clusterv3.Cluster {
	ads := &corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}
	return &clusterv3.Cluster{
		Name: cname(i), ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads}, ConnectTimeout: durationpb.New(10 * time.Second),
	}
}

func assignmentOf(i, endpoints int) *endpointv3.ClusterLoadAssignment {
	l := &endpointv3.LocalityLbEndpoints{}
	for n := range endpoints {
		sock := &corev3.SocketAddress{Address: fmt.Sprintf("10.2.%d.%d", i/250%250, i%250), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(8000 + n)}}
		ep := &endpointv3.Endpoint{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: sock}}}
		l.LbEndpoints = append(l.LbEndpoints, &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: ep}})
	}
	return &endpointv3.ClusterLoadAssignment{ClusterName: cname(i), Endpoints: []*endpointv3.LocalityLbEndpoints{l}}
}

func meshRoutes(i, more int) *routev3.RouteConfiguration {
	r := hosts(hostsPerRoute + more)
	r.Name = fmt.Sprint(10000 + i)
	for n, vh := range r.VirtualHosts {
		vh.Routes[0].GetRoute().ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: cname(meshTCP + i*hostsPerRoute + n%hostsPerRoute)}
	}
	return r
}

// httpListener is a port with HTTP services: an inspector, and PassthroughCluster
// for what is no HTTP.
func httpListener(b testing.TB, port int) *listenerv3.Listener {
	rds := &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: fmt.Sprint(port)}}
	router := &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(b, &routerv3.Router{})}
	h := &hcmv3.HttpConnectionManager{StatPrefix: "x", RouteSpecifier: rds, HttpFilters: []*hcmv3.HttpFilter{{Name: "envoy.filters.http.router", ConfigType: router}}}
	web := &listenerv3.FilterChain{
		FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: "raw_buffer", ApplicationProtocols: []string{"http/1.1", "h2c"}},
		Filters:          []*listenerv3.Filter{{Name: "hcm", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(b, h)}}},
	}
	l := tcpListener(fmt.Sprintf("0.0.0.0_%d", port), uint32(port), web)
	l.DefaultFilterChain = tcpChain(b, "PassthroughFilterChain", "", "PassthroughCluster")
	insp := &listenerv3.ListenerFilter_TypedConfig{TypedConfig: packed(b, &httpinspv3.HttpInspector{})}
	l.ListenerFilters = []*listenerv3.ListenerFilter{{Name: "envoy.filters.listener.http_inspector", ConfigType: insp}}
	l.ListenerFiltersTimeout = durationpb.New(0)
	return l
}

func packed(b testing.TB, m proto.Message) *anypb.Any {
	b.Helper()
	a, err := anypb.New(m)
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// BenchmarkMesh compares the steps that matter in a mesh of 20,000 clusters,
// 2,000 listeners and 500 route configurations. The new view is built anew each
// time, its objects are compiled already.
func BenchmarkMesh(b *testing.B) {
	w := mesh(b)
	for _, c := range []struct {
		name string
		next func(*testing.B) *state.Snapshot
		want int
	}{
		{"listener", func(b *testing.B) *state.Snapshot {
			return w.with(b, w.snaps[0], xds.ListenerType, "0.0.0.0_3306", tcpListener("0.0.0.0_3306", 3306, tcpChain(b, "", "", cname(1))))
		}, 1},
		{"cluster", func(b *testing.B) *state.Snapshot {
			return edited(b, w, xds.ClusterType, cname(5000), func(c *clusterv3.Cluster) { c.ConnectTimeout = durationpb.New(1) })
		}, 0},
		{"assignment", func(b *testing.B) *state.Snapshot {
			return w.with(b, w.snaps[0], xds.EndpointType, cname(5000), assignmentOf(5000, 2))
		}, 0},
		{"assignment-empty", func(b *testing.B) *state.Snapshot {
			return w.with(b, w.snaps[0], xds.EndpointType, cname(5000), assignmentOf(5000, 0))
		}, 1},
		{"route", func(b *testing.B) *state.Snapshot {
			return w.with(b, w.snaps[0], xds.RouteType, "10007", meshRoutes(7, 1))
		}, 1},
		{"policy", func(b *testing.B) *state.Snapshot { return w.flipped(b) }, 2},
	} {
		b.Run(c.name, func(b *testing.B) { benchCompare(b, w, c.next(b), c.want) })
	}
}
