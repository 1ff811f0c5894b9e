package configdump

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// overprovisioning is the factor, in percent, that Envoy uses where an assignment
// names none (source/common/upstream/upstream_impl.h, kDefaultOverProvisioningFactor).
const overprovisioning = 140

// plain takes out of an assignment what Envoy wrote into the dump by itself
// (source/server/admin/config_dump_handler.cc, addLbEndpoint and
// dumpEndpointConfigs), so that it reads as it was pushed: defaults, empty
// messages, and the health that every host without a verdict has.
func plain(typ string, packed []byte) []byte {
	if typ != xds.EndpointType {
		return packed
	}
	a, m := new(anypb.Any), new(endpointv3.ClusterLoadAssignment)
	if proto.Unmarshal(packed, a) != nil || a.UnmarshalTo(m) != nil {
		return packed
	}
	plainAssignment(m)
	out, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return packed
	}
	a.Value = out
	if out, err = (proto.MarshalOptions{Deterministic: true}).Marshal(a); err != nil {
		return packed
	}
	return out
}

func plainAssignment(m *endpointv3.ClusterLoadAssignment) {
	if p := m.GetPolicy(); p.GetOverprovisioningFactor().GetValue() == overprovisioning {
		p.OverprovisioningFactor = nil
	}
	if proto.Size(m.GetPolicy()) == 0 {
		m.Policy = nil
	}
	for _, l := range m.GetEndpoints() {
		for _, e := range l.GetLbEndpoints() {
			plainEndpoint(e)
		}
	}
}

func plainEndpoint(e *endpointv3.LbEndpoint) {
	if e.GetHealthStatus() == corev3.HealthStatus_HEALTHY {
		e.HealthStatus = corev3.HealthStatus_UNKNOWN
	}
	if x := e.GetEndpoint(); x != nil && proto.Size(x.GetHealthCheckConfig()) == 0 {
		x.HealthCheckConfig = nil
	}
	if proto.Size(e.GetMetadata()) == 0 {
		e.Metadata = nil
	}
}
