package live

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
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
	addresses = []string{"0.0.0.0", "0.0.0.0", "0.0.0.0", "::", "10.1.2.3", "10.1.9.9", "198.51.100.7", "fd00::7", "::ffff:10.1.7.7"}
	prefixes  = []string{"10.0.0.0/8", "10.1.0.0/16", "10.1.2.99/24", "10.1.2.3/32", "10.1.128.0/17", "198.51.100.0/24", "128.0.0.0/1", "fd00::/8", "fd00::7/128", "2001:db8::/33"}
	patterns  = []string{"a.ex", "*.a.ex", "W.a.ex", "b.ex", "*.ex", "*.w.a.ex"}
	domains   = []string{"a.ex", "*.a.ex", "*a.ex", "b.*", "b.ex", "*", "a.ex:8080", "*.ex", "10.1.2.3", "C.ex"}
	protocols = []string{"http/1.1", "h2c", "http/1.0", "h2", "istio"}
	transport = []string{"tls", "raw_buffer"}
	sources   = []string{"10.0.0.0/8", "10.0.0.9/32", "192.0.2.0/24", "10.0.0.0/30"}
	targets   = []string{"svc-a", "svc-b", "svc-c", "svc-d", "svc-eds", "svc-eds-empty", "svc-subset", "svc-empty", "svc-sick", "svc-dst", "svc-port", "svc-header", "svc-aggregate", "svc-inner",
		"PassthroughCluster", "BlackHoleCluster", "absent"}
	legs  = []string{"svc-a", "svc-b", "svc-a", "svc-b", "svc-a", "svc-b", "svc-c", "svc-d"}
	paths = []string{"/", "/x", "/x/y", "/X", "/x/../y", "//x", "/old?q=1", "/x?q=2&r=1", "/%78", "/xy",
		"/%2e%2E/x", "/a/..%2fx", "/x%00", `/x\y`, "/x%5cy", "//", "/%7e|%41", "/x/./y"}
)

// some draws each element of pool with a chance of one in four.
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

// resources is what one sidecar is given.
type resources struct {
	listeners []*listenerv3.Listener
	clusters  []*clusterv3.Cluster
	routes    []*routev3.RouteConfiguration
	endpoints []*endpointv3.ClusterLoadAssignment
}

func asTypes[T types.Resource](list []T) []types.Resource {
	out := make([]types.Resource, len(list))
	for i, m := range list {
		out[i] = m
	}
	return out
}

func (r *resources) all() map[resourcev3.Type][]types.Resource {
	return map[resourcev3.Type][]types.Resource{resourcev3.ListenerType: asTypes(r.listeners), resourcev3.ClusterType: asTypes(r.clusters),
		resourcev3.RouteType: asTypes(r.routes), resourcev3.EndpointType: asTypes(r.endpoints)}
}

// rare is true once in n times.
func rare(t *rapid.T, n int, label string) bool { return rapid.IntRange(1, n).Draw(t, label) == n }

// routeNames are the route configurations that come by RDS.
var routeNames = []string{"rds-1", "rds-2"}

// configuration draws what a whole sidecar holds.
func configuration(t *rapid.T) *resources {
	r := &resources{listeners: []*listenerv3.Listener{virtualOutbound(t, "0.0.0.0")}, clusters: clusters(t), endpoints: assignments(t)}
	if !rare(t, 4, "no ipv6") {
		r.listeners = append(r.listeners, virtualOutbound(t, "::"))
	}
	if !rare(t, 4, "no internal listener") {
		r.listeners = append(r.listeners, internal(t))
	}
	for i := range rapid.IntRange(1, 6).Draw(t, "listeners") {
		r.listeners = append(r.listeners, listener(t, i))
	}
	for _, n := range routeNames {
		r.routes = append(r.routes, routes(t, n))
	}
	return r
}

func virtualOutbound(t *rapid.T, ip string) *listenerv3.Listener {
	l := &listenerv3.Listener{Name: "virtualOutbound" + ip, Address: socket(ip, envoyPort), UseOriginalDst: wrapperspb.Bool(true),
		FilterChains: []*listenerv3.FilterChain{
			{Name: "trap", FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(envoyPort)}, Filters: tcp("BlackHoleCluster")},
			{Name: "all", Filters: tcp(one(t, []string{"PassthroughCluster", "PassthroughCluster", "BlackHoleCluster", "svc-a", "absent"}, "catch-all"))}}}
	if rare(t, 8, "outbound inspects") {
		l.ListenerFilters, l.ListenerFiltersTimeout = inspectors(t), durationpb.New(one(t, []time.Duration{0, 200 * time.Millisecond}, "outbound timeout"))
		l.ContinueOnListenerFiltersTimeout = chance(t, "outbound continues")
	}
	if rare(t, 8, "outbound prefix") {
		l.FilterChains = append(l.FilterChains, &listenerv3.FilterChain{Name: "some", FilterChainMatch: &listenerv3.FilterChainMatch{
			PrefixRanges: []*corev3.CidrRange{cidr(one(t, prefixes, "outbound prefix"))}}, Filters: tcp("svc-b")})
	}
	return l
}

// internal is a listener that only the endpoints of svc-inner lead to.
func internal(t *rapid.T) *listenerv3.Listener {
	c := &listenerv3.FilterChain{Name: "inner", Filters: tcp(one(t, []string{"svc-a", "svc-c", "svc-empty", "absent", "svc-eds"}, "inner target"))}
	if rare(t, 3, "inner http") {
		c.Filters = network(manager(t))
	}
	return &listenerv3.Listener{Name: "inner", ListenerSpecifier: &listenerv3.Listener_InternalListener{InternalListener: &listenerv3.Listener_InternalListenerConfig{}},
		FilterChains: []*listenerv3.FilterChain{c}}
}

func tcp(cluster string) []*listenerv3.Filter { return network(tcpProxy(cluster)) }

func tcpProxy(cluster string) *tcpproxyv3.TcpProxy {
	return &tcpproxyv3.TcpProxy{StatPrefix: "t", ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: cluster}}
}

// network is a chain's filters, named by their types.
func network(ms ...proto.Message) []*listenerv3.Filter {
	var out []*listenerv3.Filter
	for _, m := range ms {
		out = append(out, &listenerv3.Filter{Name: string(m.ProtoReflect().Descriptor().FullName()), ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(m)}})
	}
	return out
}

func cidr(s string) *corev3.CidrRange {
	ip, bits, _ := strings.Cut(s, "/")
	n, _ := strconv.Atoi(bits)
	return &corev3.CidrRange{AddressPrefix: ip, PrefixLen: wrapperspb.UInt32(uint32(n))}
}

// plainOutbound is the least that a sidecar has.
func plainOutbound(ip string) *listenerv3.Listener {
	return &listenerv3.Listener{Name: "virtualOutbound" + ip, Address: socket(ip, envoyPort), UseOriginalDst: wrapperspb.Bool(true),
		FilterChains: []*listenerv3.FilterChain{{Filters: tcp("BlackHoleCluster")}}}
}
