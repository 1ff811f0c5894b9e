package live

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"pgregory.net/rapid"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// unversioned is "POST /x HT": with a pad, Envoys before 1.40 do not wait for its end.
const unversioned = "504f5354202f78204854"

// question is one probe.
type question struct {
	dst netip.AddrPort
	src netip.Addr
	sig xds.Signal
}

func (q question) String() string { return fmt.Sprintf("%s from %s %+v", q.dst, q.src, q.sig) }

// The points around which probes are drawn when no listener says better.
var (
	strangers = []string{"8.8.8.8", "2001:db8::1", "10.1.2.4", "198.51.100.8", podV4, podV6, "10.1.7.7"}
	hosts     = []string{"a.ex", "w.a.ex", "b.ex", "b.org", "b.", "xa.ex", "unknown.example", "a.ex:8080", "a.ex:3306", "b.ex:5008", "A.EX", "c.ex", "a.ex.", "10.1.2.3", "10.1.2.3:8080"}
	snis      = []string{"a.ex", "w.a.ex", "x.w.a.ex", "y.x.w.a.ex", "b.ex", "B.ex", "ex", "other.example", "", "xa.ex"}
	// first flights of other protocols, and pieces of those that Envoy looks for
	flights = []string{"00", "1603", "160301", "16030100", "1603010200010001fc0303", "16030100050100000100", "0a0d0a", "5353482d322e302d78", "0000000804d2162f",
		"101000044d5154540402003c00026162", "474554202f", "474554202f20485454502f312e310d0a0d0a", "505249202a20485454502f322e300d0a0d0a534d0d0a0d0a", "505249202a20485454502f322e300d0a",
		"2a310d0a24340d0a50494e470d0a", "050100", "80460103010030", "474554202f0d0a", unversioned, "485454502f312e3120323030204f4b0d0a"}
)

// questions draws probes around the values that the configurations are made of.
func questions(t *rapid.T, n int, of ...*resources) []question {
	var ls []*listenerv3.Listener
	for _, r := range of {
		ls = append(ls, r.listeners...)
	}
	ls = slices.DeleteFunc(ls, func(l *listenerv3.Listener) bool { return l.GetInternalListener() != nil })
	out := make([]question, 0, n)
	for range n {
		dst := destination(t, ls[rapid.IntRange(0, len(ls)-1).Draw(t, "near")])
		q := question{dst, netip.MustParseAddr(podV4), signal(t, dst)}
		if dst.Addr().Is6() {
			q.src = netip.MustParseAddr(podV6)
		} else if rare(t, 6, "other source") {
			q.src = netip.MustParseAddr(one(t, []string{"192.0.2.200", "10.0.0.2", "10.0.0.4", "203.0.113.5"}, "source"))
		}
		out = append(out, q)
	}
	return out
}

// destination draws one at or around the addresses of a listener.
func destination(t *rapid.T, l *listenerv3.Listener) netip.AddrPort {
	addr := l.GetAddress().GetSocketAddress()
	if n := len(l.GetAdditionalAddresses()); n > 0 && chance(t, "additional") {
		addr = l.GetAdditionalAddresses()[0].GetAddress().GetSocketAddress()
	}
	port := uint16(addr.GetPortValue())
	if port == envoyPort || rare(t, 6, "other port") {
		port = uint16(one(t, []uint32{3306, 5008, 8080, 9999, envoyPort, 3305, 3307, 5500}, "dst port"))
	}
	ip := netip.MustParseAddr(addr.GetAddress()).Unmap()
	if !ip.IsUnspecified() && !rare(t, 5, "beside it") {
		return netip.AddrPortFrom(ip, port)
	}
	points := around(l)
	points = slices.DeleteFunc(points, func(a netip.Addr) bool { return ip.IsUnspecified() && a.Is4() != ip.Is4() && !addr.GetIpv4Compat() })
	if len(points) == 0 || rare(t, 4, "far") {
		points = append(points, netip.MustParseAddr(one(t, strangers, "stranger")))
	}
	return netip.AddrPortFrom(one(t, points, "point"), port)
}

// around are the boundaries of the prefixes that a listener names, and its address.
func around(l *listenerv3.Listener) []netip.Addr {
	var out []netip.Addr
	add := func(p netip.Prefix) {
		p = p.Masked()
		last := p.Addr().AsSlice()
		for i := p.Bits(); i < len(last)*8; i++ {
			last[i/8] |= 1 << (7 - i%8)
		}
		end, _ := netip.AddrFromSlice(last)
		for _, a := range []netip.Addr{p.Addr(), p.Addr().Prev(), end, end.Next()} {
			if a.IsValid() && dialable(a) {
				out = append(out, a)
			}
		}
	}
	for _, p := range prefixes {
		if c := cidr(p); strings.Contains(l.String(), c.AddressPrefix) || l.FilterChainMatcher != nil {
			add(netip.MustParsePrefix(p))
		}
	}
	if a := netip.MustParseAddr(l.GetAddress().GetSocketAddress().GetAddress()).Unmap(); !a.IsUnspecified() {
		add(netip.PrefixFrom(a, a.BitLen()))
	}
	return append(out, netip.MustParseAddr(podV4), netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("2001:db8::1"))
}

// dialable addresses are those that a redirection can be asked to.
func dialable(a netip.Addr) bool {
	return !a.IsLoopback() && !a.IsUnspecified() && !a.IsMulticast() && a != netip.MustParseAddr("255.255.255.255")
}

func signal(t *rapid.T, dst netip.AddrPort) xds.Signal {
	sig := xds.Signal{Kind: one(t, append(slices.Clone(xds.SignalKinds), xds.HTTP11, xds.TLS), "signal")}
	switch sig.Kind {
	case xds.TLS:
		sig.SNI = one(t, snis, "client sni")
		sig.ALPN = some(t, []string{"h2", "http/1.1", "istio", "h2c"}, "client alpn")
		if rare(t, 3, "says inside") {
			sig.Host, sig.Path = one(t, hosts, "inner host"), one(t, paths, "inner path")
		}
	case xds.Bytes:
		if chance(t, "raw") {
			sig.Hex = one(t, flights, "flight")
			sig.Pad = one(t, []int{0, 0, 0, 3, 600}, "pad")
			if sig.Hex == unversioned && minor() < 40 {
				sig.Pad = 0
			}
		}
	case xds.HTTP10, xds.HTTP11, xds.H2C:
		sig.Host = one(t, hosts, "client host")
		sig.Path = one(t, paths, "client path")
		sig.Method = one(t, []string{"", "", "", "POST", "OPTIONS"}, "method")
		sig.Headers = headers(t, dst)
	}
	return sig
}

func headers(t *rapid.T, dst netip.AddrPort) map[string]string {
	out := map[string]string{}
	if rare(t, 3, "with header") {
		out["x-team"] = one(t, []string{"shop", "SHOP", "other", "svc-a", "absent", "7", "-1", "7x", ""}, "team")
	}
	if rare(t, 6, "with destination") {
		out["x-envoy-original-dst-host"] = one(t, []string{"198.51.100.99:4444", "nonsense", dst.String()}, "header dst")
	}
	if rare(t, 4, "with origin") {
		out["origin"] = one(t, []string{"http://a.ex", "http://b.ex"}, "origin")
		out["access-control-request-method"] = "GET"
	}
	if rare(t, 8, "with scheme") {
		out["x-forwarded-proto"] = "https"
	}
	return out
}
