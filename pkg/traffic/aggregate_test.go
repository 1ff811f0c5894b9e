package traffic

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	aggregatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/aggregate/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// wards makes a STATIC cluster; each word is a priority, each letter an endpoint:
// healthy, unhealthy or degraded. Endpoint n is at port first+n.
func wards(name, spec string, first int) *clusterv3.Cluster {
	c := &clusterv3.Cluster{Name: name, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: name}}
	for p, word := range strings.Fields(spec) {
		l := &endpointv3.LocalityLbEndpoints{Priority: uint32(p)}
		for _, h := range word {
			health := map[rune]corev3.HealthStatus{'h': corev3.HealthStatus_HEALTHY, 'u': corev3.HealthStatus_UNHEALTHY, 'd': corev3.HealthStatus_DEGRADED}[h]
			l.LbEndpoints = append(l.LbEndpoints, &endpointv3.LbEndpoint{HealthStatus: health, HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
				Endpoint: &endpointv3.Endpoint{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
					Address: "10.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(first)}}}}}}})
			first++
		}
		c.LoadAssignment.Endpoints = append(c.LoadAssignment.Endpoints, l)
	}
	return c
}

func aggregateOf(t *testing.T, members ...string) *clusterv3.Cluster {
	a, err := anypb.New(&aggregatev3.ClusterConfig{Clusters: members})
	if err != nil {
		t.Fatal(err)
	}
	return &clusterv3.Cluster{Name: "a", ClusterDiscoveryType: &clusterv3.Cluster_ClusterType{
		ClusterType: &clusterv3.Cluster_CustomClusterType{Name: "envoy.clusters.aggregate", TypedConfig: a}}}
}

func panicsBelow(c *clusterv3.Cluster, percent float64) *clusterv3.Cluster {
	c.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{Value: percent}}
	return c
}

// TestAggregate: which endpoints 60 requests met on Envoy 1.40, by the last digit of the port.
func TestAggregate(t *testing.T) {
	members := []*clusterv3.Cluster{wards("full", "hh", 0), wards("un", "uu", 2), wards("half", "hu", 4), wards("quarter", "huuu", 4), wards("deg", "dd", 6),
		wards("none", "", 0), wards("two", "u h", 0), panicsBelow(wards("un0", "uu", 2), 0), panicsBelow(wards("quarter0", "huuu", 4), 0)}
	inner := aggregateOf(t, "un", "full")
	inner.Name = "inner"
	members = append(members, inner)
	for _, c := range []struct {
		of   string
		at   float64 // the aggregate's panic threshold
		want string
	}{
		{"un full", 50, "01"}, {"half full", 50, "014"}, {"un none", 50, "23"}, {"deg full", 50, "01"}, {"none two full", 50, "1"},
		{"quarter un", 50, "234567"}, {"quarter full", 50, "014567"}, {"un0 un", 50, "unknown"}, {"quarter0 un0", 50, "unknown"},
		{"un un0", 50, "unknown"}, {"quarter deg", 50, "4567"}, {"inner half", 50, "4"}, {"absent half", 50, "4"},
		{"quarter un0", 0, "4567"}, {"un un0", 0, "23"}, {"none", 50, "no-endpoints"}, {"absent", 50, "no-endpoints"},
	} {
		w := newWorld()
		s := w.handMade(t, outbound(t, "a")).snap
		for _, m := range append(members, panicsBelow(aggregateOf(t, strings.Fields(c.of)...), c.at)) {
			s = w.with(t, s, xds.ClusterType, m.Name, m)
		}
		vd := w.engine.View(s, Env{Istio: true}).Cluster("a")
		if got := ports(vd); got != c.want {
			t.Errorf("%s, panic below %v: %s (%s), want %s", c.of, c.at, got, vd.Reason, c.want)
		}
	}
}

// ports are the ports of the endpoints of a verdict, or its kind.
func ports(vd xds.Verdict) string {
	if vd.Kind != xds.Service {
		return string(vd.Kind)
	}
	var out []int
	for _, e := range vd.Endpoints {
		n, _ := strconv.Atoi(e.Address[strings.LastIndexByte(e.Address, ':')+1:])
		out = append(out, n)
	}
	slices.Sort(out)
	text := ""
	for _, n := range slices.Compact(out) {
		text += strconv.Itoa(n)
	}
	return text
}
