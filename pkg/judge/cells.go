package judge

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// maxCells is how many cells an event shows.
const maxCells = 64

func portsOf(cells []xds.Cell) portSet {
	var all portSet
	for _, c := range cells {
		all = append(all, parsePorts(c.Ports)...)
	}
	return all.normal()
}

// mergeCells joins cells that differ in their signals only, or in their ports
// only. Disjoint cells stay disjoint.
func mergeCells(cells []xds.Cell) []xds.Cell {
	cells = joinBy(cells, func(c xds.Cell) string { return c.Ports + destKey(c) }, joinSignals)
	return joinBy(cells, func(c xds.Cell) string { return signalKey(c) + destKey(c) }, func(a, b xds.Cell) xds.Cell {
		a.Ports = portsOf([]xds.Cell{a, b}).String()
		return a
	})
}

func joinBy(cells []xds.Cell, key func(xds.Cell) string, join func(a, b xds.Cell) xds.Cell) []xds.Cell {
	at := map[string]int{}
	var out []xds.Cell
	for _, c := range cells {
		k := key(c)
		if i, ok := at[k]; ok {
			out[i] = join(out[i], c)
			continue
		}
		at[k] = len(out)
		out = append(out, c)
	}
	return out
}

func joinSignals(a, b xds.Cell) xds.Cell {
	if a.Signals == nil || b.Signals == nil {
		a.Signals = nil
		return a
	}
	a.Signals = slices.Concat(a.Signals, b.Signals)
	if everySignal(a.Signals) {
		a.Signals = nil
	}
	return a
}

// everySignal reports whether classes together hold every signal.
func everySignal(cs []xds.Class) bool {
	for _, k := range xds.SignalKinds {
		if !slices.ContainsFunc(cs, func(c xds.Class) bool { return c.Kind == k && unlimited(c) }) {
			return false
		}
	}
	return true
}

func unlimited(c xds.Class) bool {
	return len(c.SNI)+len(c.SNINot)+len(c.ALPN)+len(c.ALPNNot)+len(c.Hosts)+len(c.HostsNot) == 0 && c.Guard == ""
}

func destKey(c xds.Cell) string {
	return "\x00" + strings.Join(c.Destinations, " ") + "\x00" + strings.Join(c.Except, " ")
}

func signalKey(c xds.Cell) string {
	if c.Signals == nil {
		return "*"
	}
	var b strings.Builder
	for _, k := range c.Signals {
		b.WriteString(string(k.Kind))
		for _, l := range [][]string{k.SNI, k.SNINot, k.ALPN, k.ALPNNot, k.Hosts, k.HostsNot, {k.Guard}} {
			b.WriteString("\x01" + strings.Join(l, " "))
		}
		b.WriteByte('\x02')
	}
	return b.String()
}

// limitCells keeps the largest cells; the rest is a number.
func limitCells(cells []xds.Cell) ([]xds.Cell, int) {
	if len(cells) <= maxCells {
		return cells, 0
	}
	cells = slices.Clone(cells)
	slices.SortStableFunc(cells, func(a, b xds.Cell) int { return cmp.Compare(weight(b), weight(a)) })
	return cells[:maxCells], len(cells) - maxCells
}

func weight(c xds.Cell) float64 {
	v4, v6 := sizes(c)
	return v4 + v6
}

// watched finds a watched destination in cells.
func (in Input) watched(cells []xds.Cell) (netip.AddrPort, bool) {
	for _, w := range in.Watch {
		for _, c := range cells {
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
