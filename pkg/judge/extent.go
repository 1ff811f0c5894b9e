package judge

import (
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// extent is how much of the address space a shift takes, rising.
type extent int

const (
	declared extent = iota // only addresses, host names or SNIs that its owner declares
	single                 // single addresses that nobody declared
	network                // networks, with all hosts and SNIs
	wide                   // at least a /8 (v4) or a /16 (v6), with all hosts and SNIs
)

// A shift is wide from so many addresses on: a /8 of IPv4, a /16 of IPv6.
const (
	wideBits4 = 32 - 8
	wideBits6 = 128 - 16
)

// autoAllocated are the ranges from which Istio allocates addresses to service
// entries without one (pilot/pkg/serviceregistry/serviceentry): nobody dials
// them but clients that were told so by Istio's own DNS.
var autoAllocated = []netip.Prefix{netip.MustParsePrefix("240.240.0.0/16"), netip.MustParsePrefix("2001:2::/48")}

// extentOf measures a shift.
func extentOf(s xds.Shift) extent {
	var v4, v6 float64
	out := declared
	for _, c := range s.Cells {
		if narrow(c) {
			continue
		}
		if hostsOnly(c) || ownAddresses(s, c) {
			out = max(out, hostExtent(s))
			continue
		}
		out = max(out, network)
		a, b := sizes(c)
		v4, v6 = v4+a, v6+b
	}
	if v4 >= math.Exp2(wideBits4)*0.999 || v6 >= math.Exp2(wideBits6)*0.999 {
		return wide
	}
	return out
}

// hostExtent: an address that has a listener or a chain of its own was declared
// by the service behind it. One that lost its listener and fell to the owner of
// the whole port was not.
func hostExtent(s xds.Shift) extent {
	fell := !wildcard(s.Before.Listener) && wildcard(s.After.Listener)
	if fell && s.After.Kind != xds.Passthrough && s.After.Kind != xds.Blocked {
		return single
	}
	return declared
}

// ownAddresses reports whether a cell that looks like a network is a run of
// single addresses, each with a listener of its own: cells join neighbours.
func ownAddresses(s xds.Shift, c xds.Cell) bool {
	const most = 1024
	v4, v6 := sizes(c)
	return v4+v6 <= most && (exactName(s.After.Listener) || exactName(s.Before.Listener))
}

// exactName reports whether a listener has Istio's name for a listener on one
// address, IP_port.
func exactName(name string) bool {
	i := strings.LastIndexByte(name, '_')
	if i < 0 {
		return false
	}
	ip, err := netip.ParseAddr(name[:i])
	return err == nil && !ip.IsUnspecified()
}

// wildcard reports whether a listener name is that of a wildcard or catch-all
// listener of Istio's, or of no listener.
func wildcard(name string) bool {
	for _, p := range []string{"0.0.0.0_", "::_", "[::]_", "virtualOutbound", "virtual"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return name == ""
}

// narrow reports whether every signal of a cell names its hosts or SNIs.
func narrow(c xds.Cell) bool {
	return len(c.Signals) > 0 && !slices.ContainsFunc(c.Signals, func(k xds.Class) bool { return !named(k) })
}

// named reports whether a class is limited to names; "*" limits nothing.
func named(k xds.Class) bool {
	names := slices.Concat(k.SNI, k.Hosts)
	return len(names) > 0 && !slices.Contains(names, "*")
}

func hostsOnly(c xds.Cell) bool {
	return !slices.ContainsFunc(c.Destinations, func(d string) bool {
		p, err := netip.ParsePrefix(d)
		return err != nil || !p.IsSingleIP()
	})
}

// sizes is how many addresses a cell covers, per family. Floating point is
// exact enough: the limits are powers of two, the exceptions single addresses.
func sizes(c xds.Cell) (v4, v6 float64) {
	for i, list := range [][]string{c.Destinations, c.Except} {
		sign := []float64{1, -1}[i]
		for _, d := range list {
			p, err := netip.ParsePrefix(d)
			if err != nil {
				continue
			}
			n := sign * math.Exp2(float64(p.Addr().BitLen()-p.Bits()))
			if p.Addr().Is4() {
				v4 += n
			} else {
				v6 += n
			}
		}
	}
	return v4, v6
}

// onlyAutoAllocated reports whether nothing but auto-allocated addresses moved.
func onlyAutoAllocated(cells []xds.Cell) bool {
	for _, c := range cells {
		for _, d := range c.Destinations {
			if !inAutoAllocated(d) {
				return false
			}
		}
	}
	return len(cells) > 0
}

func inAutoAllocated(dest string) bool {
	p, err := netip.ParsePrefix(dest)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(autoAllocated, func(a netip.Prefix) bool {
		return a.Contains(p.Addr()) && p.Bits() >= a.Bits()
	})
}
