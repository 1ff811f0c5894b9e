package live

import (
	"fmt"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	httpinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"
)

// The pools from which configurations and probes are drawn: small, so that they
// meet each other often.
var (
	ports     = []uint32{3306, 5008, 8080}
	addresses = []string{"0.0.0.0", "0.0.0.0", "::", "10.1.2.3", "10.1.9.9", "198.51.100.7", "fd00::7"}
	prefixes  = []string{"10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "198.51.100.0/24", "fd00::/8", "fd00::7/128"}
	names     = []string{"a.ex", "w.a.ex", "b.ex"}
	patterns  = []string{"a.ex", "*.a.ex", "b.ex", "*.ex"}
	domains   = []string{"a.ex", "*.a.ex", "b.*", "b.ex", "*", "a.ex:8080"}
	protocols = []string{"http/1.1", "h2c", "http/1.0", "h2", "istio"}
	transport = []string{"tls", "raw_buffer"}
	targets   = []string{"svc-a", "svc-b", "svc-empty", "svc-sick", "svc-dst", "svc-port", "PassthroughCluster", "BlackHoleCluster", "absent"}
	paths     = []string{"/", "/x", "/x/y", "/X", "/old?q=1"}
)

// some draws each element of pool with an even chance.
func some[T any](t *rapid.T, pool []T, label string) []T {
	var out []T
	for i, x := range pool {
		if rapid.IntRange(0, 3).Draw(t, fmt.Sprintf("%s%d", label, i)) == 0 {
			out = append(out, x)
		}
	}
	return out
}

func one[T any](t *rapid.T, pool []T, label string) T { return rapid.SampledFrom(pool).Draw(t, label) }

func chance(t *rapid.T, label string) bool { return rapid.Bool().Draw(t, label) }

func packed(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(err)
	}
	return a
}

func socket(ip string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: ip, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}
}

// configuration draws what a whole sidecar holds.
func configuration(t *rapid.T) map[resourcev3.Type][]types.Resource {
	listeners := []types.Resource{virtualOutbound(t, "0.0.0.0")}
	if chance(t, "ipv6") {
		listeners = append(listeners, virtualOutbound(t, "::"))
	}
	for i := range rapid.IntRange(0, 5).Draw(t, "listeners") {
		listeners = append(listeners, listener(t, i))
	}
	return map[resourcev3.Type][]types.Resource{resourcev3.ListenerType: listeners, resourcev3.ClusterType: clusters(t)}
}

func virtualOutbound(t *rapid.T, ip string) *listenerv3.Listener {
	catchAll := one(t, []string{"PassthroughCluster", "BlackHoleCluster", "svc-a"}, "catch-all")
	return &listenerv3.Listener{Name: "virtualOutbound" + ip, Address: socket(ip, envoyPort), UseOriginalDst: wrapperspb.Bool(true),
		FilterChains: []*listenerv3.FilterChain{
			{Name: "trap", FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(envoyPort)}, Filters: tcp("BlackHoleCluster")},
			{Name: "all", Filters: tcp(catchAll)}}}
}

func tcp(cluster string) []*listenerv3.Filter {
	return network("envoy.filters.network.tcp_proxy", &tcpproxyv3.TcpProxy{StatPrefix: "t",
		ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: cluster}})
}

func network(name string, m proto.Message) []*listenerv3.Filter {
	return []*listenerv3.Filter{{Name: name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(m)}}}
}

func listener(t *rapid.T, i int) *listenerv3.Listener {
	l := &listenerv3.Listener{Name: fmt.Sprintf("l%d", i), Address: socket(one(t, addresses, "address"), one(t, ports, "port")),
		BindToPort: wrapperspb.Bool(false), ListenerFilters: inspectors(t),
		ContinueOnListenerFiltersTimeout: chance(t, "continue")}
	l.ListenerFiltersTimeout = durationpb.New(one(t, []time.Duration{0, 200 * time.Millisecond}, "timeout"))
	for j := range rapid.IntRange(0, 4).Draw(t, "chains") {
		l.FilterChains = append(l.FilterChains, &listenerv3.FilterChain{Name: fmt.Sprintf("c%d", j), FilterChainMatch: match(t), Filters: terminal(t)})
	}
	if len(l.FilterChains) == 0 || chance(t, "default") {
		l.DefaultFilterChain = &listenerv3.FilterChain{Name: "default", Filters: terminal(t)}
	}
	return l
}

func inspectors(t *rapid.T) []*listenerv3.ListenerFilter {
	var out []*listenerv3.ListenerFilter
	if chance(t, "tls inspector") {
		out = append(out, &listenerv3.ListenerFilter{Name: "envoy.filters.listener.tls_inspector",
			ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: packed(&tlsinspectorv3.TlsInspector{})}})
	}
	if chance(t, "http inspector") {
		out = append(out, &listenerv3.ListenerFilter{Name: "envoy.filters.listener.http_inspector",
			ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: packed(&httpinspectorv3.HttpInspector{})}})
	}
	return out
}

// match draws a filter chain match; each part is there in some chains only.
func match(t *rapid.T) *listenerv3.FilterChainMatch {
	m := &listenerv3.FilterChainMatch{}
	part := func(label string) bool { return rapid.IntRange(0, 2).Draw(t, label) == 0 }
	if part("has port") {
		m.DestinationPort = wrapperspb.UInt32(one(t, ports, "match port"))
	}
	if part("has prefixes") {
		for _, p := range some(t, prefixes, "prefix") {
			m.PrefixRanges = append(m.PrefixRanges, cidr(p))
		}
	}
	if part("has names") {
		m.ServerNames = some(t, patterns, "sni")
	}
	if part("has transport") {
		m.TransportProtocol = one(t, transport, "transport")
	}
	if part("has protocols") {
		m.ApplicationProtocols = some(t, protocols, "alpn")
	}
	if part("has sources") {
		m.SourcePrefixRanges = []*corev3.CidrRange{cidr(one(t, []string{"10.0.0.0/8", "10.0.0.9/32", "192.0.2.0/24"}, "source"))}
	}
	return m
}

func cidr(s string) *corev3.CidrRange {
	var ip string
	var n uint32
	for i := range s {
		if s[i] == '/' {
			ip = s[:i]
			_, _ = fmt.Sscan(s[i+1:], &n)
		}
	}
	return &corev3.CidrRange{AddressPrefix: ip, PrefixLen: wrapperspb.UInt32(n)}
}

func terminal(t *rapid.T) []*listenerv3.Filter {
	switch rapid.IntRange(0, 3).Draw(t, "terminal") {
	case 0:
		return network("envoy.filters.network.http_connection_manager", manager(t))
	case 1:
		return network("envoy.filters.network.tcp_proxy", &tcpproxyv3.TcpProxy{StatPrefix: "t", ClusterSpecifier: &tcpproxyv3.TcpProxy_WeightedClusters{
			WeightedClusters: &tcpproxyv3.TcpProxy_WeightedCluster{Clusters: []*tcpproxyv3.TcpProxy_WeightedCluster_ClusterWeight{
				{Name: one(t, targets[:2], "leg 1"), Weight: 50}, {Name: one(t, targets[:2], "leg 2"), Weight: 50}}}}})
	}
	return tcp(one(t, targets, "target"))
}

func manager(t *rapid.T) *hcmv3.HttpConnectionManager {
	rc := &routev3.RouteConfiguration{Name: "r", IgnorePortInHostMatching: chance(t, "ignore port"), ValidateClusters: wrapperspb.Bool(false)}
	for i, d := range some(t, domains, "domain") {
		vh := &routev3.VirtualHost{Name: fmt.Sprintf("v%d", i), Domains: []string{d}}
		for range rapid.IntRange(0, 3).Draw(t, "routes") {
			vh.Routes = append(vh.Routes, route(t))
		}
		rc.VirtualHosts = append(rc.VirtualHosts, vh)
	}
	return &hcmv3.HttpConnectionManager{StatPrefix: "h", RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: rc},
		MergeSlashes: chance(t, "merge"), NormalizePath: wrapperspb.Bool(chance(t, "normalize")),
		HttpFilters: []*hcmv3.HttpFilter{{Name: "envoy.filters.http.router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&routerv3.Router{})}}}}
}

func route(t *rapid.T) *routev3.Route {
	r := &routev3.Route{Match: routeMatch(t)}
	switch rapid.IntRange(0, 4).Draw(t, "action") {
	case 0:
		r.Action = &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: one(t, []uint32{200, 404, 418, 502}, "status")}}
	case 1:
		r.Action = &routev3.Route_Redirect{Redirect: &routev3.RedirectAction{PathRewriteSpecifier: &routev3.RedirectAction_PathRedirect{PathRedirect: "/new"}}}
	default:
		r.Action = &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: one(t, targets, "route target")}}}
	}
	return r
}

func routeMatch(t *rapid.T) *routev3.RouteMatch {
	m := &routev3.RouteMatch{}
	switch rapid.IntRange(0, 3).Draw(t, "path kind") {
	case 0:
		m.PathSpecifier = &routev3.RouteMatch_Path{Path: one(t, []string{"/", "/x", "/x/y"}, "path")}
		m.CaseSensitive = wrapperspb.Bool(chance(t, "case"))
	case 1:
		m.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: one(t, []string{"/x.*", "/[a-z]", "/"}, "regex")}}
	default:
		m.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: one(t, []string{"/", "/x", "/old"}, "prefix")}
	}
	if rapid.IntRange(0, 3).Draw(t, "header") == 0 {
		m.Headers = []*routev3.HeaderMatcher{{Name: "x-team", InvertMatch: chance(t, "invert"), HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{
			StringMatch: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: "shop"}}}}}
	}
	return m
}

// clusters are the same names in every configuration; what is in them varies.
func clusters(t *rapid.T) []types.Resource {
	out := []types.Resource{
		original("PassthroughCluster", 0), original("svc-dst", 0), original("svc-port", 9999),
		static("BlackHoleCluster"), static("svc-empty"),
		static("svc-a", endpoint("192.0.2.10", 7001, corev3.HealthStatus_HEALTHY), endpoint("192.0.2.11", 7001, corev3.HealthStatus_UNKNOWN)),
		static("svc-b", endpoint("192.0.2.20", 7002, one(t, []corev3.HealthStatus{corev3.HealthStatus_HEALTHY, corev3.HealthStatus_DEGRADED, corev3.HealthStatus_UNHEALTHY}, "b"))),
	}
	sick := static("svc-sick", endpoint("192.0.2.30", 7003, corev3.HealthStatus_UNHEALTHY), endpoint("192.0.2.31", 7003, one(t, []corev3.HealthStatus{corev3.HealthStatus_HEALTHY, corev3.HealthStatus_DRAINING, corev3.HealthStatus_TIMEOUT}, "sick")))
	return append(out, sick)
}

func original(name string, port uint32) *clusterv3.Cluster {
	c := &clusterv3.Cluster{Name: name, ConnectTimeout: durationpb.New(time.Second), LbPolicy: clusterv3.Cluster_CLUSTER_PROVIDED,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST}}
	if port != 0 {
		c.LbConfig = &clusterv3.Cluster_OriginalDstLbConfig_{OriginalDstLbConfig: &clusterv3.Cluster_OriginalDstLbConfig{UpstreamPortOverride: wrapperspb.UInt32(port)}}
	}
	return c
}

func static(name string, eps ...*endpointv3.LbEndpoint) *clusterv3.Cluster {
	c := &clusterv3.Cluster{Name: name, ConnectTimeout: durationpb.New(time.Second), ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}}
	if len(eps) > 0 {
		c.LoadAssignment = &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: eps}}}
	}
	return c
}

func endpoint(ip string, port uint32, health corev3.HealthStatus) *endpointv3.LbEndpoint {
	return &endpointv3.LbEndpoint{HealthStatus: health, HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socket(ip, port)}}}
}
