package replay

import (
	"maps"
	"slices"
	"strings"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// serverCluster is the name of the cluster that leads to the replay where the
// recording does not give it one.
const serverCluster = "xds-grpc"

// istioStatic are the clusters of Istio's own bootstrap
// (tools/packaging/common/envoy_bootstrap.json in Istio).
var istioStatic = []string{"prometheus_stats", "agent", "sds-grpc", "xds-grpc", "zipkin"}

// istioControl are those of them that configuration comes by.
var istioControl = []string{"sds-grpc", "xds-grpc"}

// Bootstrap makes an Envoy's bootstrap for a replay: the recorded node, the clusters
// that configuration comes by leading to server, harmless ones for the others that
// resources name. static is what --bootstrap or a config_dump told of clusters and
// listeners that no push brought; admin is where Envoy's admin interface goes.
func Bootstrap(p *Plan, refs Refs, static []proto.Message, server, admin *corev3.Address) *bootstrapv3.Bootstrap {
	b := &bootstrapv3.Bootstrap{
		Node:             p.node(),
		Admin:            &bootstrapv3.Admin{Address: admin},
		DynamicResources: dynamic(p),
		StaticResources:  &bootstrapv3.Bootstrap_StaticResources{},
	}
	have := map[string]bool{}
	control := controls(p, refs)
	for _, m := range static {
		c, ok := m.(*clusterv3.Cluster)
		if !ok || have[c.GetName()] {
			continue
		}
		have[c.GetName()] = true
		if !control[c.GetName()] {
			b.StaticResources.Clusters = append(b.StaticResources.Clusters, c)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(control)) {
		b.StaticResources.Clusters = append(b.StaticResources.Clusters, cluster(n, server))
		have[n] = true
	}
	for _, n := range standIns(p, refs) {
		if !have[n] {
			b.StaticResources.Clusters = append(b.StaticResources.Clusters, cluster(n, nowhere()))
		}
	}
	return b
}

// node is the recorded one, with an id in any case.
func (p *Plan) node() *corev3.Node {
	n := &corev3.Node{}
	if p.Node != nil {
		n = proto.CloneOf(p.Node)
	}
	if n.GetId() == "" {
		n.Id = p.Sidecar.Node
	}
	if n.GetCluster() == "" {
		n.Cluster = p.Sidecar.Cluster
	}
	if n.GetCluster() == "" {
		n.Cluster = "replay"
	}
	n.Extensions, n.UserAgentName, n.UserAgentVersionType = nil, "", nil // Envoy's own to say
	return n
}

func controls(p *Plan, refs Refs) map[string]bool {
	out := maps.Clone(refs.Control)
	out[serverCluster] = true
	if p.Sidecar.Istio() {
		for _, n := range istioControl {
			out[n] = true
		}
	}
	return out
}

// standIns are the clusters that must be there for resources to be accepted, and that
// no push brings.
func standIns(p *Plan, refs Refs) []string {
	out := slices.Sorted(maps.Keys(refs.Other))
	if p.Sidecar.Istio() {
		out = append(out, istioStatic...)
	}
	return slices.DeleteFunc(out, func(n string) bool { return n == "" || strings.Contains(n, "|") }) // those are Istio's services
}

// dynamic says how configuration is asked for: as the sidecar did.
func dynamic(p *Plan) *bootstrapv3.Bootstrap_DynamicResources {
	kind, single := corev3.ApiConfigSource_GRPC, corev3.ApiConfigSource_GRPC
	if p.Delta() {
		kind, single = corev3.ApiConfigSource_DELTA_GRPC, corev3.ApiConfigSource_DELTA_GRPC
	}
	if p.Aggregated() {
		return &bootstrapv3.Bootstrap_DynamicResources{
			LdsConfig: ads(), CdsConfig: ads(),
			AdsConfig: source(kind),
		}
	}
	by := &corev3.ConfigSource{ResourceApiVersion: corev3.ApiVersion_V3, InitialFetchTimeout: durationpb.New(0),
		ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: source(single)}}
	return &bootstrapv3.Bootstrap_DynamicResources{LdsConfig: by, CdsConfig: by}
}

func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{ResourceApiVersion: corev3.ApiVersion_V3, InitialFetchTimeout: durationpb.New(0),
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}
}

func source(kind corev3.ApiConfigSource_ApiType) *corev3.ApiConfigSource {
	return &corev3.ApiConfigSource{ApiType: kind, TransportApiVersion: corev3.ApiVersion_V3, SetNodeOnFirstMessageOnly: true,
		GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
			EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: serverCluster}}}}}
}

// cluster is a static one that speaks HTTP/2 to one address.
func cluster(name string, to *corev3.Address) *clusterv3.Cluster {
	http2, err := anypb.New(&httpv3.HttpProtocolOptions{UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
		ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: &corev3.Http2ProtocolOptions{}}}}})
	if err != nil { // it was made here, of valid parts
		http2 = nil
	}
	return &clusterv3.Cluster{
		Name: name, ConnectTimeout: durationpb.New(time.Second),
		ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		TypedExtensionProtocolOptions: map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{
			LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: to}}}}}}},
	}
}

// nowhere is the discard port of loopback, where nobody listens.
func nowhere() *corev3.Address { return Socket("127.0.0.1", 9) }

// Socket is a TCP address.
func Socket(ip string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: ip, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}
}

// Pipe is the address of a Unix socket.
func Pipe(path string) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}
}
