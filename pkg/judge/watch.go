package judge

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// ParseWatch reads a destination to watch: ip:port, [v6]:port, an address, a
// network with or without a port (10.0.0.0/8:3306), or *:port for every address.
func ParseWatch(s string) ([]Watch, error) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return []Watch{{netip.PrefixFrom(ap.Addr().Unmap(), ap.Addr().Unmap().BitLen()), ap.Port()}}, nil
	}
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return []Watch{{netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), 0}}, nil
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		return []Watch{{p.Masked(), 0}}, nil
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return nil, fmt.Errorf("reading the destination %q: want ip:port, an address, a network or *:port", s)
	}
	port, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("reading the destination %q: %q is no port", s, s[i+1:])
	}
	if s[:i] == "*" || s[:i] == "" {
		return []Watch{{netip.MustParsePrefix("0.0.0.0/0"), uint16(port)}, {netip.MustParsePrefix("::/0"), uint16(port)}}, nil
	}
	p, err := netip.ParsePrefix(strings.Trim(s[:i], "[]"))
	if err != nil {
		return nil, fmt.Errorf("reading the destination %q: %w", s, err)
	}
	return []Watch{{p.Masked(), uint16(port)}}, nil
}

// watched finds a watched destination in a shift: the witness itself where it is
// one, else some member of both.
func (in Input) watched(s xds.Shift) (netip.AddrPort, bool) {
	witness, _ := netip.ParseAddrPort(s.Witness)
	for _, w := range in.Watch {
		if w.Prefix.Contains(witness.Addr()) && (w.Port == 0 || w.Port == witness.Port()) {
			return witness, true
		}
		for _, c := range s.Cells {
			if ap, ok := w.in(c); ok {
				return ap, true
			}
		}
	}
	return netip.AddrPort{}, false
}

// in returns a member of both the cell and the watch.
func (w Watch) in(c xds.Cell) (netip.AddrPort, bool) {
	ports := parsePorts(c.Ports)
	port := int(w.Port)
	if port == 0 && len(ports) > 0 {
		port = ports[0].lo
	}
	if !ports.has(port) {
		return netip.AddrPort{}, false
	}
	except := prefixes(c.Except)
	for _, d := range prefixes(c.Destinations) {
		if a, ok := member(d, w.Prefix, except); ok {
			return netip.AddrPortFrom(a, uint16(port)), true
		}
	}
	return netip.AddrPort{}, false
}

func prefixes(list []string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out
}

// member is the first address that lies in a and b and in no exception.
func member(a, b netip.Prefix, except []netip.Prefix) (netip.Addr, bool) {
	if !a.Overlaps(b) {
		return netip.Addr{}, false
	}
	if b.Bits() > a.Bits() {
		a = b
	}
	addr := a.Masked().Addr()
	for range len(except) + 1 {
		i := slices.IndexFunc(except, func(e netip.Prefix) bool { return e.Contains(addr) })
		if i < 0 {
			return addr, a.Contains(addr)
		}
		addr = lastOf(except[i]).Next()
		if !addr.IsValid() || !a.Contains(addr) {
			return netip.Addr{}, false
		}
	}
	return netip.Addr{}, false
}

// lastOf is the highest address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
