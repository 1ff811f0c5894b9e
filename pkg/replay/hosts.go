package replay

import (
	"fmt"
	"maps"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// host is an endpoint as Envoy holds it: what was left out has its default.
type host struct {
	health   corev3.HealthStatus
	weight   uint32
	metadata string
}

// recorded are the hosts of a recorded assignment.
func (v *view) recorded(name string, c *clusterv3.Cluster) map[string]host {
	d, ok := v.want.Lookup(xds.EndpointType, name)
	if !ok {
		return nil
	}
	a, err := decode.As[*endpointv3.ClusterLoadAssignment](v.cache, d)
	if err != nil {
		return nil
	}
	return hostsOf(a, c)
}

// shown are the hosts of an assignment as the dump shows it.
func (v *view) shown(name string, c *clusterv3.Cluster) map[string]host {
	body, a := new(anypb.Any), new(endpointv3.ClusterLoadAssignment)
	err := protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(v.hosts[name], body)
	if err != nil || body.UnmarshalTo(a) != nil {
		return nil
	}
	return hostsOf(a, c)
}

// hostsOf are the endpoints of an assignment by priority, locality and address.
func hostsOf(a *endpointv3.ClusterLoadAssignment, c *clusterv3.Cluster) map[string]host {
	out := map[string]host{}
	for _, l := range a.GetEndpoints() {
		at := fmt.Sprintf("priority %d %s/%s/%s ", l.GetPriority(), l.GetLocality().GetRegion(), l.GetLocality().GetZone(), l.GetLocality().GetSubZone())
		for _, e := range l.GetLbEndpoints() {
			h := host{health: e.GetHealthStatus(), weight: max(e.GetLoadBalancingWeight().GetValue(), 1)}
			if h.health == corev3.HealthStatus_UNKNOWN || len(c.GetHealthChecks()) > 0 || c.GetOutlierDetection() != nil {
				h.health = corev3.HealthStatus_HEALTHY // the last two are this Envoy's own findings
			}
			if len(e.GetMetadata().GetFilterMetadata()) > 0 {
				h.metadata = protojson.MarshalOptions{}.Format(e.GetMetadata())
			}
			out[at+where(e.GetEndpoint().GetAddress())] = h
		}
	}
	return out
}

func where(a *corev3.Address) string {
	switch x := a.GetAddress().(type) {
	case *corev3.Address_SocketAddress:
		return fmt.Sprintf("%s:%d", x.SocketAddress.GetAddress(), x.SocketAddress.GetPortValue())
	case *corev3.Address_Pipe:
		return x.Pipe.GetPath()
	case *corev3.Address_EnvoyInternalAddress:
		return x.EnvoyInternalAddress.GetServerListenerName() + "/" + x.EnvoyInternalAddress.GetEndpointId()
	}
	return ""
}

// hostFields names the endpoints that differ.
func hostFields(a, b map[string]host) []string {
	var out []string
	for k, x := range a {
		if y, ok := b[k]; !ok {
			out = append(out, k+" missing")
		} else if x != y {
			out = append(out, k+" different")
		}
	}
	for _, k := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[k]; !ok {
			out = append(out, k+" extra")
		}
	}
	slices.Sort(out)
	return out
}
