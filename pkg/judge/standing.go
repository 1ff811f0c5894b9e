package judge

import (
	"net/netip"
	"slices"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// strangers are the addresses that stand for "any destination that nobody
// declared": documentation ranges, which no service has.
var strangers = map[bool]netip.Addr{true: netip.MustParseAddr("198.51.100.1"), false: netip.MustParseAddr("2001:db8::1")}

// probes are what a client may say first to find out who owns a port.
var probes = []xds.Signal{{Kind: xds.Bytes}, {Kind: xds.ServerFirst}}

// Standing finds what stands captured in a snapshot: ports whose wildcard
// listener sends destinations that nobody declared to some service. It gives
// facts for a baseline, where no before exists to compare with. Where nothing
// catches the other ports (a gateway), listeners are there to be called and
// nothing is captured.
func Standing(s *state.Snapshot, cache *decode.Cache, v View, node Node, at PushRef) []Fact {
	wild := wildcards(s, cache)
	if !catchesAll(wild, v, node) {
		return nil
	}
	var out []Fact
	for _, a := range wild {
		if f, ok := standing(a, v, node, at); ok {
			out = append(out, f)
		}
	}
	return out
}

// wildcards are the any-addresses at which listeners take connections that were
// made to somebody else, in the order of their names.
func wildcards(s *state.Snapshot, cache *decode.Cache) []netip.AddrPort {
	var out []netip.AddrPort
	for _, d := range s.All(xds.ListenerType) {
		if l, err := decode.As[*listenerv3.Listener](cache, d); err == nil && !ownBusiness(l) {
			out = append(out, anyAddresses(l)...)
		}
	}
	return out
}

// ownBusiness: the catch-all itself, and listeners for inbound connections.
func ownBusiness(l *listenerv3.Listener) bool {
	return l.GetUseOriginalDst().GetValue() || l.GetTrafficDirection() == corev3.TrafficDirection_INBOUND || l.GetName() == "virtualInbound"
}

func anyAddresses(l *listenerv3.Listener) []netip.AddrPort {
	addrs := []*corev3.Address{l.GetAddress()}
	for _, a := range l.GetAdditionalAddresses() {
		addrs = append(addrs, a.GetAddress())
	}
	var out []netip.AddrPort
	for _, a := range addrs {
		sa := a.GetSocketAddress()
		ip, err := netip.ParseAddr(sa.GetAddress())
		if err == nil && ip.IsUnspecified() && sa.GetPortValue() > 0 && sa.GetPortValue() < 1<<16 {
			out = append(out, netip.AddrPortFrom(ip, uint16(sa.GetPortValue())))
		}
	}
	return out
}

// catchesAll reports whether something takes connections to a port that no
// listener names.
func catchesAll(wild []netip.AddrPort, v View, node Node) bool {
	for port := uint16(1); port != 0; port++ {
		if slices.ContainsFunc(wild, func(a netip.AddrPort) bool { return a.Port() == port }) {
			continue
		}
		got := v.Resolve(netip.AddrPortFrom(strangers[true], port), node.IP, xds.Signal{Kind: xds.Bytes})
		return got.Kind == xds.Passthrough || got.Kind == xds.Blocked || got.Kind == xds.Service
	}
	return false
}

func standing(wild netip.AddrPort, v View, node Node, at PushRef) (Fact, bool) {
	dst := netip.AddrPortFrom(strangers[wild.Addr().Is4()], wild.Port())
	for _, sig := range probes {
		after := v.Resolve(dst, node.IP, sig)
		before := xds.Verdict{Kind: xds.Passthrough}
		if !owned(after) {
			continue
		}
		sig := sig
		cell := xds.Cell{Ports: strconv.Itoa(int(wild.Port())), Destinations: []string{netip.PrefixFrom(wild.Addr(), 0).String()}}
		return Fact{Kind: xds.EvStanding, Push: at, Shift: &xds.Shift{
			Cells: []xds.Cell{cell}, Before: before, After: after, Witness: dst.String(), Signal: &sig,
		}}, true
	}
	return Fact{}, false
}

// owned reports whether a destination went to some service, alive or not.
func owned(v xds.Verdict) bool {
	switch v.Kind {
	case xds.Service, xds.Tunnel, xds.NoEndpoints, xds.NoCluster:
		return true
	}
	return false
}
