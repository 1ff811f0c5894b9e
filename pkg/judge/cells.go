package judge

import (
	"cmp"
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
