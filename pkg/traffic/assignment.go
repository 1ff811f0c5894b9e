package traffic

import (
	"fmt"
	"net/netip"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	internalv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/internal_upstream/v3"
	proxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// assignment is a compiled ClusterLoadAssignment.
type assignment struct {
	priorities []priority // by priority, gaps filled
	factor     uint32     // overprovisioning, in percent
	drop       uint32     // requests dropped, in millionths
	weighted   bool       // weighted_priority_health
	broken     string
}

type priority struct{ localities []locality }

type locality struct {
	weight uint32 // 0 = none given
	hosts  []host
}

type healthState uint8

const (
	healthy healthState = iota
	degraded
	unhealthy
)

var healthNames = [...]string{"healthy", "degraded", "unhealthy"}

// host is one endpoint.
type host struct {
	address  string // ip:port, name:port, unix path
	addr     netip.Addr
	named    bool   // the address is a name to resolve
	internal string // the internal listener it is, else ""
	peer     string // endpoint_id of an internal address
	health   healthState
	weight   uint32
	match    map[string]*structpb.Value // metadata for transport_socket_matches
	meta     map[string]*structpb.Value // metadata for subsets
}

// defaultFactor is the overprovisioning factor where none is set.
const defaultFactor = 140

func compileAssignment(m *endpointv3.ClusterLoadAssignment) *assignment {
	a := &assignment{factor: defaultFactor}
	if p := m.GetPolicy(); p != nil {
		a.policy(p)
	}
	for _, le := range m.GetEndpoints() {
		a.locality(le, m.GetNamedEndpoints())
	}
	return a
}

func (a *assignment) policy(p *endpointv3.ClusterLoadAssignment_Policy) {
	if f := p.GetOverprovisioningFactor(); f != nil {
		a.factor = f.GetValue()
	}
	for _, d := range p.GetDropOverloads() {
		pct := d.GetDropPercentage()
		a.drop = max(a.drop, pct.GetNumerator()*(1_000_000/percentOf(int32(pct.GetDenominator()))))
	}
	a.weighted = p.GetWeightedPriorityHealth()
	if p.GetEndpointStaleAfter() != nil {
		a.broken = "endpoint_stale_after is not evaluated"
	}
}

// percentOf is the denominator of a FractionalPercent.
func percentOf(d int32) uint32 {
	return [...]uint32{100, 10_000, 1_000_000}[max(0, min(d, 2))]
}

func (a *assignment) locality(le *endpointv3.LocalityLbEndpoints, named map[string]*endpointv3.Endpoint) {
	if le.GetLedsClusterLocalityConfig() != nil {
		a.broken = "endpoints come by LEDS"
		return
	}
	p := int(le.GetPriority())
	if p > 128 {
		a.broken = fmt.Sprintf("priority %d is out of range", p)
		return
	}
	for len(a.priorities) <= p {
		a.priorities = append(a.priorities, priority{})
	}
	l := locality{weight: le.GetLoadBalancingWeight().GetValue()}
	for _, lb := range le.GetLbEndpoints() {
		ep := lb.GetEndpoint()
		if n := lb.GetEndpointName(); n != "" {
			ep = named[n]
		}
		l.hosts = append(l.hosts, a.host(lb, ep))
	}
	a.priorities[p].localities = append(a.priorities[p].localities, l)
}

func (a *assignment) host(lb *endpointv3.LbEndpoint, ep *endpointv3.Endpoint) host {
	h := host{weight: lb.GetLoadBalancingWeight().GetValue()}
	switch lb.GetHealthStatus() {
	case corev3.HealthStatus_DEGRADED:
		h.health = degraded
	case corev3.HealthStatus_UNHEALTHY, corev3.HealthStatus_DRAINING, corev3.HealthStatus_TIMEOUT:
		h.health = unhealthy
	}
	md := lb.GetMetadata().GetFilterMetadata()
	h.match, h.meta = md["envoy.transport_socket_match"].GetFields(), md["envoy.lb"].GetFields()
	h.setAddress(ep.GetAddress())
	if h.address == "" {
		a.broken = "an endpoint has an address that is not evaluated"
	}
	return h
}

func (h *host) setAddress(addr *corev3.Address) {
	switch {
	case addr.GetPipe() != nil:
		h.address = "unix://" + addr.GetPipe().GetPath()
	case addr.GetEnvoyInternalAddress() != nil:
		i := addr.GetEnvoyInternalAddress()
		h.internal, h.peer = i.GetServerListenerName(), i.GetEndpointId()
		h.address = "internal:" + h.internal
	case addr.GetSocketAddress() != nil:
		s := addr.GetSocketAddress()
		port := strconv.Itoa(int(s.GetPortValue()))
		ip, err := netip.ParseAddr(s.GetAddress())
		h.addr, h.named = ip, err != nil
		if err == nil {
			h.address = netip.AddrPortFrom(ip, uint16(s.GetPortValue())).String()
			return
		}
		h.address = s.GetAddress() + ":" + port
	}
}

// addLegacy adds the hosts field that xDS v2 had.
func (a *assignment) addLegacy(hosts []*corev3.Address) {
	if len(hosts) == 0 {
		return
	}
	l := locality{}
	for _, addr := range hosts {
		var h host
		h.setAddress(addr)
		l.hosts = append(l.hosts, h)
	}
	a.priorities = append(a.priorities, priority{[]locality{l}})
}

// wrapped looks through transport sockets that carry another one.
func wrapped(ts *corev3.TransportSocket, m proto.Message) string {
	switch m := m.(type) {
	case *internalv3.InternalUpstreamTransport:
		return socketKind(m.GetTransportSocket())
	case *proxyv3.ProxyProtocolUpstreamTransport:
		return socketKind(m.GetTransportSocket())
	}
	return "?" + ts.GetName()
}
