package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// psTypes are the types with a column of their own.
var psTypes = []string{xds.ListenerType, xds.ClusterType, xds.RouteType, xds.EndpointType}

func psTable(app *App, f Format, all []PsSidecar, now time.Time) error {
	color := app.Palette()
	t := &Table{Width: app.Width()}
	head := []string{"NAME", "LDS", "CDS", "RDS", "EDS", "LAST SEEN", "NACK", "EVENTS"}
	if f == FormatWide {
		head = append(head, "PUSHES", "NO-OP", "UNCHANGED", "RE-ENCODED", "OTHER TYPES", "LIVES", "NODE")
	}
	t.Row(head...)
	for _, p := range all {
		row := []string{nameCell(p)}
		for _, typ := range psTypes {
			row = append(row, typeCell(color, p.Types, typ))
		}
		row = append(row, seenText(p, now), nackText(color, p), eventCounts(color, p.Events))
		if f == FormatWide {
			row = append(row, pushCells(p.Stat)...)
			row = append(row, otherTypes(p.Types), fmt.Sprint(p.Incarnation), p.Node)
		}
		t.Row(row...)
	}
	_, err := t.WriteTo(app.Stdout)
	return err
}

// pushCells are PUSHES, NO-OP, UNCHANGED and RE-ENCODED.
func pushCells(n *StatCount) []string {
	if n == nil {
		return []string{"-", "-", "-", "-"}
	}
	return []string{fmt.Sprint(n.Pushes), share(n.NoOp, n.Pushes), shareSize(n.UnchangedBytes, n.Bytes), fmt.Sprint(n.Reencoded)}
}

// nameCell is the name; of nobody, how many streams there are.
func nameCell(p PsSidecar) string {
	if p.Streams == 0 {
		return p.Name
	}
	return p.Name + " (" + plural(p.Streams, "stream", "streams") + " without a node)"
}

func typeCell(color Palette, types []PsType, typ string) string {
	for _, t := range types {
		if xds.Canonical(t.Type) != typ {
			continue
		}
		switch t.State {
		case "nack":
			return t.Push + color.Red("!")
		case "pending":
			return t.Push + color.Yellow("?")
		}
		return t.Push + color.Green("*")
	}
	return "-"
}

func otherTypes(types []PsType) string {
	var out []string
	for _, t := range types {
		known := false
		for _, k := range psTypes {
			known = known || xds.Canonical(t.Type) == k
		}
		if !known {
			out = append(out, xds.ShortType(t.Type)+" "+t.Push)
		}
	}
	return dash(strings.Join(out, ", "))
}

func seenText(p PsSidecar, now time.Time) string {
	if p.LastSeen.IsZero() {
		return "-"
	}
	text := age(now.Sub(p.LastSeen)) + " ago"
	if !p.Connected {
		text += " (gone)"
	}
	return text
}

func nackText(color Palette, p PsSidecar) string {
	if len(p.Rejected) > 0 {
		return color.Red(fmt.Sprintf("%d (%d now)", p.NACKs, len(p.Rejected)))
	}
	return fmt.Sprint(p.NACKs)
}

// eventCounts counts by severity, the worst first; the two lowest in one.
func eventCounts(color Palette, n map[xds.Severity]uint64) string {
	var out []string
	for _, s := range []xds.Severity{xds.Critical, xds.High, xds.Medium} {
		if n[s] > 0 {
			out = append(out, fmt.Sprintf("%d %s", n[s], color.Severity(s)))
		}
	}
	if rest := n[xds.Low] + n[xds.Info]; rest > 0 {
		out = append(out, fmt.Sprintf("%d minor", rest))
	}
	return dash(strings.Join(out, ", "))
}
