package live

import (
	"fmt"
	"slices"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	aggregatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/aggregate/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"
)

// subnets: the endpoints of each cluster are in one of its own, so that the
// address that is reached tells the cluster.
var subnets = map[string]string{"svc-a": "192.0.2.1", "svc-b": "192.0.2.2", "svc-c": "192.0.2.3", "svc-d": "192.0.2.4", "svc-eds": "192.0.2.5", "svc-subset": "192.0.2.6", "svc-sick": "192.0.2.7"}

// member is the n-th endpoint of a cluster, n from 0 to 9.
func member(cluster string, n int, h corev3.HealthStatus) *endpointv3.LbEndpoint {
	return endpoint(fmt.Sprintf("%s%d", subnets[cluster], n), 7000, h)
}

// clusterAt names the cluster that an endpoint's address belongs to, "" for none.
func clusterAt(address string) string {
	for name, net := range subnets {
		if strings.HasPrefix(address, net) && strings.HasSuffix(address, ":7000") && len(address) == len(net)+1+len(":7000") {
			return name
		}
	}
	return ""
}

var healths = []corev3.HealthStatus{corev3.HealthStatus_HEALTHY, corev3.HealthStatus_HEALTHY, corev3.HealthStatus_UNKNOWN, corev3.HealthStatus_DEGRADED,
	corev3.HealthStatus_UNHEALTHY, corev3.HealthStatus_DRAINING, corev3.HealthStatus_TIMEOUT}

func health(t *rapid.T) corev3.HealthStatus { return one(t, healths, "health") }

// clusters draws the clusters; one may be missing.
func clusters(t *rapid.T) []*clusterv3.Cluster {
	header := original("svc-header", 0)
	header.LbConfig = &clusterv3.Cluster_OriginalDstLbConfig_{OriginalDstLbConfig: &clusterv3.Cluster_OriginalDstLbConfig{UseHttpHeader: true}}
	all := []*clusterv3.Cluster{original("PassthroughCluster", 0), original("svc-dst", 0), original("svc-port", 9999), header,
		static("BlackHoleCluster"), static("svc-empty"), eds("svc-eds"), eds("svc-eds-empty"),
		static("svc-sick", member("svc-sick", 0, corev3.HealthStatus_UNHEALTHY), member("svc-sick", 1, health(t)))}
	for _, name := range []string{"svc-a", "svc-b", "svc-c", "svc-d", "svc-subset"} {
		all = append(all, drawn(t, name))
	}
	inner := static("svc-inner")
	inner.LoadAssignment = plain("svc-inner", &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
		Address: &corev3.Address{Address: &corev3.Address_EnvoyInternalAddress{EnvoyInternalAddress: &corev3.EnvoyInternalAddress{
			AddressNameSpecifier: &corev3.EnvoyInternalAddress_ServerListenerName{ServerListenerName: "inner"}}}}}}})
	all = append(all, aggregate(t, "svc-aggregate"), inner)
	if rare(t, 3, "one is missing") {
		i := rapid.IntRange(1, len(all)-1).Draw(t, "missing")
		all = append(all[:i], all[i+1:]...)
	}
	return all
}

// drawn is a STATIC cluster with localities, priorities and a panic threshold.
func drawn(t *rapid.T, name string) *clusterv3.Cluster {
	c := static(name)
	if name == "svc-a" || name == "svc-b" { // always well: a share that gets nowhere makes the whole unknown
		c.LoadAssignment = plain(name, member(name, 0, corev3.HealthStatus_HEALTHY), member(name, 1, corev3.HealthStatus_UNKNOWN))
		return c
	}
	c.LoadAssignment = assignment(t, name)
	c.LbPolicy = one(t, []clusterv3.Cluster_LbPolicy{clusterv3.Cluster_ROUND_ROBIN, clusterv3.Cluster_LEAST_REQUEST, clusterv3.Cluster_RANDOM}, "lb")
	if chance(t, "has panic") {
		c.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{Value: one(t, []float64{0, 20, 60, 100}, "panic")}}
	}
	if name == "svc-subset" {
		c.LbSubsetConfig = subsets(t)
	}
	return c
}

// subsets draws selectors and what happens where no endpoint is selected.
func subsets(t *rapid.T) *clusterv3.Cluster_LbSubsetConfig {
	type selector = clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector
	out := &clusterv3.Cluster_LbSubsetConfig{FallbackPolicy: clusterv3.Cluster_LbSubsetConfig_LbSubsetFallbackPolicy(rapid.Int32Range(0, 2).Draw(t, "fallback")),
		DefaultSubset: version("v1"), PanicModeAny: rare(t, 4, "panic any"), ListAsAny: rare(t, 3, "list as any")}
	for _, keys := range some(t, [][]string{{"version"}, {"stage", "version"}, {"stage"}}, "selector") {
		s := &selector{Keys: keys, FallbackPolicy: selectorFallback(rapid.Int32Range(0, 4).Draw(t, "selector fallback"))}
		switch {
		case s.FallbackPolicy == clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector_KEYS_SUBSET && len(keys) == 1:
			s.FallbackPolicy = 0
		case s.FallbackPolicy == clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector_KEYS_SUBSET:
			s.FallbackKeysSubset = keys[rapid.IntRange(0, 1).Draw(t, "kept key"):][:1]
		}
		out.SubsetSelectors = append(out.SubsetSelectors, s)
	}
	if len(out.SubsetSelectors) == 0 {
		out.SubsetSelectors = []*selector{{Keys: []string{"version"}}}
	}
	return out
}

type selectorFallback = clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector_LbSubsetSelectorFallbackPolicy

func version(v string) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{"version": structpb.NewStringValue(v)}}
}

// labels draws the metadata of an endpoint.
func labels(t *rapid.T) *corev3.Metadata {
	md := inSubset(one(t, []string{"v1", "v2"}, "version"))
	fields := md.FilterMetadata["envoy.lb"].Fields
	switch rapid.IntRange(0, 3).Draw(t, "labels") {
	case 0:
		fields["stage"] = structpb.NewStringValue(one(t, []string{"prod", "canary"}, "stage"))
	case 1:
		fields["version"] = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue("v1"), structpb.NewStringValue("v2")}})
	}
	return md
}

// aggregate is a cluster of clusters; some of them are not there.
func aggregate(t *rapid.T, name string) *clusterv3.Cluster {
	members := some(t, []string{"svc-sick", "absent", "svc-c", "svc-empty", "svc-eds", "svc-d", "svc-a"}, "member")
	if len(members) == 0 {
		members = []string{"svc-c"}
	}
	if chance(t, "other way round") {
		slices.Reverse(members)
	}
	c := &clusterv3.Cluster{Name: name, ConnectTimeout: durationpb.New(time.Second), LbPolicy: clusterv3.Cluster_CLUSTER_PROVIDED,
		ClusterDiscoveryType: &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{
			Name: "envoy.clusters.aggregate", TypedConfig: packed(&aggregatev3.ClusterConfig{Clusters: members})}}}
	if rare(t, 3, "aggregate panic") {
		c.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{Value: one(t, []float64{0, 20, 60, 100}, "panic of aggregate")}}
	}
	return c
}

func assignment(t *rapid.T, name string) *endpointv3.ClusterLoadAssignment {
	out := &endpointv3.ClusterLoadAssignment{ClusterName: name}
	n := 0
	for priority := range rapid.IntRange(1, 2).Draw(t, "priorities") {
		for z := range rapid.IntRange(1, 2).Draw(t, "localities") {
			loc := &endpointv3.LocalityLbEndpoints{Priority: uint32(priority), Locality: &corev3.Locality{Zone: fmt.Sprint("z", z)}}
			for range rapid.IntRange(0, 2).Draw(t, "endpoints") {
				e := member(name, n, health(t))
				e.Metadata = labels(t)
				loc.LbEndpoints = append(loc.LbEndpoints, e)
				n++
			}
			out.Endpoints = append(out.Endpoints, loc)
		}
	}
	return out
}

// assignments draws what comes by EDS.
func assignments(t *rapid.T) []*endpointv3.ClusterLoadAssignment {
	return []*endpointv3.ClusterLoadAssignment{assignment(t, "svc-eds"), {ClusterName: "svc-eds-empty"}}
}

func plain(name string, eps ...*endpointv3.LbEndpoint) *endpointv3.ClusterLoadAssignment {
	return &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: eps}}}
}

func eds(name string) *clusterv3.Cluster {
	return &clusterv3.Cluster{Name: name, ConnectTimeout: durationpb.New(time.Second), ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads()}}
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
		c.LoadAssignment = plain(name, eps...)
	}
	return c
}

func endpoint(ip string, port uint32, health corev3.HealthStatus) *endpointv3.LbEndpoint {
	return &endpointv3.LbEndpoint{HealthStatus: health, HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socket(ip, port)}}}
}
