package diff

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// endpointLists: hosts are a set per locality and priority; Envoy keeps them by
// address (source/extensions/clusters/eds/eds.cc).
var endpointLists = table{
	"envoy.config.endpoint.v3.ClusterLoadAssignment.endpoints":      {key: localityKey, set: true},
	"envoy.config.endpoint.v3.LocalityLbEndpoints.lb_endpoints":     {key: endpointKey, set: true},
	"envoy.config.endpoint.v3.Endpoint.additional_addresses":        {set: true},
	"envoy.config.endpoint.v3.ClusterLoadAssignment.drop_overloads": {key: dropKey},
}

// localityKey names a locality; the one without a name at priority 0, which is
// all that most clusters have, is "default".
func localityKey(m protoreflect.Message) string {
	l, ok := m.Interface().(*endpointv3.LocalityLbEndpoints)
	if !ok {
		return ""
	}
	name := "default"
	if x := l.GetLocality(); x.GetRegion() != "" || x.GetZone() != "" || x.GetSubZone() != "" {
		name = x.GetRegion() + "/" + x.GetZone() + "/" + x.GetSubZone()
	}
	if p := l.GetPriority(); p > 0 {
		name += fmt.Sprintf(" priority=%d", p)
	}
	return name
}

func endpointKey(m protoreflect.Message) string {
	e, ok := m.Interface().(*endpointv3.LbEndpoint)
	if !ok {
		return ""
	}
	if n := e.GetEndpointName(); n != "" {
		return n
	}
	return addressText(e.GetEndpoint().GetAddress())
}

// addressText is an address as people write it.
func addressText(a *corev3.Address) string {
	switch {
	case a.GetSocketAddress() != nil:
		s := a.GetSocketAddress()
		return fmt.Sprintf("%s:%d", s.GetAddress(), s.GetPortValue())
	case a.GetPipe() != nil:
		return a.GetPipe().GetPath()
	case a.GetEnvoyInternalAddress() != nil:
		i := a.GetEnvoyInternalAddress()
		return i.GetServerListenerName() + "/" + i.GetEndpointId()
	}
	return ""
}

func dropKey(m protoreflect.Message) string { return text(m, "category") }
