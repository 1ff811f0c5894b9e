package traffic

import (
	"fmt"
	"net/netip"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// listener is a compiled Listener: what decides about a new connection, and
// nothing else. It is shared by all snapshots that hold the same bytes, and
// never changes.
type listener struct {
	name   string
	digest xds.Digest

	keys     []netip.AddrPort // in the TCP map; any-addresses stand as such
	compat   []uint16         // ports of "::" with ipv4_compat: may own 0.0.0.0 too
	internal bool             // reached by endpoints of this name only
	unix     bool             // a Unix socket: reached by its path only
	binds    bool             // has a socket of its own
	inbound  bool
	restores bool // its filters restore the original destination

	filters  []listenerFilter
	timeout  time.Duration // of the listener filters; 0 waits for ever
	proceeds bool          // continue_on_listener_filters_timeout

	chains  []*chain
	byName  map[string]*chain // with a matcher only
	def     *chain
	tree    *portTree
	matcher *matchTree

	clusters []string // named directly: by tcp_proxy, inline routes, filters
	routes   []string // route configurations by name
	dynamic  bool     // cluster names are taken from the connection or the request: any cluster may matter
	broken   string   // why nothing can be said about it, else ""
}

// defaultFilterTimeout is listener_filters_timeout where it is not set
// (source/common/listener_manager/listener_impl.cc).
const defaultFilterTimeout = 15 * time.Second

// compileListener never fails: what is wrong with m makes the listener broken.
func compileListener(m *listenerv3.Listener, d xds.Digest) *listener {
	l := &listener{name: m.GetName(), digest: d, inbound: m.GetTrafficDirection() == corev3.TrafficDirection_INBOUND}
	l.addresses(m)
	l.binds = binds(m)
	l.internal = m.GetInternalListener() != nil
	l.proceeds = m.GetContinueOnListenerFiltersTimeout()
	l.timeout = defaultFilterTimeout
	if t := m.GetListenerFiltersTimeout(); t != nil {
		l.timeout = t.AsDuration()
	}
	l.listenerFilters(m)
	refs := &references{}
	l.compileChains(m, refs)
	l.clusters, l.routes, l.dynamic = refs.clusterNames(), refs.routeNames(), refs.dynamic
	l.unsupported(m)
	return l
}

func (l *listener) unsupported(m *listenerv3.Listener) {
	switch {
	case m.GetUdpListenerConfig() != nil:
		l.keys, l.compat = nil, nil // UDP has a map of its own
	case m.GetApiListener() != nil:
		l.keys, l.compat = nil, nil // reached by API only
	case m.GetFcdsConfig() != nil:
		l.breaks("chains come by FCDS")
	}
}

// breaks notes the first reason why l cannot be evaluated.
func (l *listener) breaks(format string, args ...any) {
	if l.broken == "" {
		l.broken = fmt.Sprintf(format, args...)
	}
}

// binds reads bind_to_port, and deprecated_v1.bind_to_port as Istio up to 1.10 wrote it.
func binds(m *listenerv3.Listener) bool {
	if b := m.GetBindToPort(); b != nil {
		return b.GetValue()
	}
	if b := m.GetDeprecatedV1().GetBindToPort(); b != nil {
		return b.GetValue()
	}
	return true
}

func (l *listener) addresses(m *listenerv3.Listener) {
	l.address(m.GetAddress())
	for _, a := range m.GetAdditionalAddresses() {
		l.address(a.GetAddress())
	}
}

// address adds the keys of one address. An IPv4-mapped address owns the plain
// IPv4 key (source/common/network/address_impl.cc).
func (l *listener) address(a *corev3.Address) {
	s := a.GetSocketAddress()
	switch {
	case a.GetPipe() != nil:
		l.unix = true
		return
	case s == nil:
		return // internal listeners have none, or envoy_internal_address
	case s.GetProtocol() == corev3.SocketAddress_UDP:
		return
	case s.GetNamedPort() != "" || s.GetResolverName() != "":
		l.breaks("its address needs a resolver")
		return
	}
	ip, err := netip.ParseAddr(s.GetAddress())
	if err != nil || s.GetPortValue() > 65535 {
		l.breaks("its address %q is no IP address", s.GetAddress())
		return
	}
	port := uint16(s.GetPortValue())
	if ip.Is6() && !ip.Is4In6() && ip.IsUnspecified() && s.GetIpv4Compat() {
		l.compat = append(l.compat, port)
	}
	if ip.Is4In6() && !s.GetIpv4Compat() {
		return // as an IPv6 address it stays apart from IPv4, and nothing goes there
	}
	l.keys = append(l.keys, netip.AddrPortFrom(ip.Unmap().WithZone(""), port))
}
