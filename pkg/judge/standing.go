package judge

import (
	"net/netip"
	"strconv"

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
// facts for a baseline, where no before exists to compare with.
func Standing(s *state.Snapshot, cache *decode.Cache, v View, node Node, at PushRef) []Fact {
	var out []Fact
	for _, d := range s.All(xds.ListenerType) {
		l, err := decode.As[*listenerv3.Listener](cache, d)
		if err != nil {
			continue
		}
		for _, a := range wildcards(l) {
			if f, ok := standing(a, v, node, at); ok {
				out = append(out, f)
			}
		}
	}
	return out
}

// wildcards are the any-addresses on which a listener takes handed-off
// connections; the catch-all itself and inbound listeners are none.
func wildcards(l *listenerv3.Listener) []netip.AddrPort {
	if l.GetUseOriginalDst().GetValue() || l.GetTrafficDirection().String() == "INBOUND" {
		return nil
	}
	addrs := []*listenerv3.AdditionalAddress{{Address: l.GetAddress()}}
	addrs = append(addrs, l.GetAdditionalAddresses()...)
	var out []netip.AddrPort
	for _, a := range addrs {
		sa := a.GetAddress().GetSocketAddress()
		ip, err := netip.ParseAddr(sa.GetAddress())
		if err == nil && ip.IsUnspecified() && sa.GetPortValue() > 0 {
			out = append(out, netip.AddrPortFrom(ip, uint16(sa.GetPortValue())))
		}
	}
	return out
}

func standing(wild netip.AddrPort, v View, node Node, at PushRef) (Fact, bool) {
	dst := netip.AddrPortFrom(strangers[wild.Addr().Is4()], wild.Port())
	for _, sig := range probes {
		after := v.Resolve(dst, node.IP, sig)
		before := xds.Verdict{Kind: xds.Passthrough}
		if k := KindOf(before, after); k != xds.EvCapture && k != xds.EvDeadCapture || after.Kind == xds.Refused {
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
