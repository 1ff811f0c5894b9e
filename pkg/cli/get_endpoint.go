package cli

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/proto"
)

// endpointView prints load assignments, a line per endpoint.
type endpointView struct {
	address, cluster, status string
	port                     uint32
}

func (v endpointView) header() []string {
	return []string{"NAME", "STATUS", "LOCALITY", "CLUSTER"}
}

func (v endpointView) keep(m proto.Message) bool {
	_, ok := m.(*endpointv3.ClusterLoadAssignment)
	return ok && len(v.rows(m)) > 0
}

func (v endpointView) compare(a, b proto.Message) int {
	return compareClusterNames(a.(*endpointv3.ClusterLoadAssignment).GetClusterName(), b.(*endpointv3.ClusterLoadAssignment).GetClusterName())
}

func (v endpointView) rows(m proto.Message) [][]string {
	a := m.(*endpointv3.ClusterLoadAssignment)
	var out [][]string
	for _, group := range a.GetEndpoints() {
		for _, ep := range group.GetLbEndpoints() {
			if v.wants(ep, a.GetClusterName()) {
				out = append(out, []string{endpointAddress(ep), ep.GetHealthStatus().String(), locality(group.GetLocality()), a.GetClusterName()})
			}
		}
	}
	return out
}

func (v endpointView) wants(ep *endpointv3.LbEndpoint, cluster string) bool {
	sa := ep.GetEndpoint().GetAddress().GetSocketAddress()
	switch {
	case v.address != "" && v.address != sa.GetAddress() && v.address != endpointAddress(ep):
		return false
	case v.port != 0 && sa.GetPortValue() != v.port:
		return false
	case v.cluster != "" && !strings.EqualFold(v.cluster, cluster):
		return false
	}
	return v.status == "" || strings.EqualFold(v.status, ep.GetHealthStatus().String())
}

func endpointAddress(ep *endpointv3.LbEndpoint) string {
	addr := ep.GetEndpoint().GetAddress()
	switch {
	case addr.GetSocketAddress() != nil:
		sa := addr.GetSocketAddress()
		return net.JoinHostPort(sa.GetAddress(), strconv.FormatUint(uint64(sa.GetPortValue()), 10))
	case addr.GetPipe() != nil:
		return addr.GetPipe().GetPath()
	case addr.GetEnvoyInternalAddress() != nil:
		in := addr.GetEnvoyInternalAddress()
		return fmt.Sprintf("envoy://%s/%s", in.GetServerListenerName(), in.GetEndpointId())
	}
	return "unknown"
}

func locality(l *corev3.Locality) string {
	s := l.GetRegion()
	for _, part := range []string{l.GetZone(), l.GetSubZone()} {
		if part == "" {
			break
		}
		s += "/" + part
	}
	return s
}
