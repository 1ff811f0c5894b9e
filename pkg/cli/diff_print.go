package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func printDiff(app *App, f Format, d DiffResult) error {
	if machine(f) {
		return Emit(app.Stdout, f, d)
	}
	p := diffPrinter{color: app.Palette(), width: app.textWidth(), format: f}
	if err := wrap(&p.b, p.sentence(d), "", p.width); err != nil {
		return err
	}
	if f != FormatShort {
		p.shifts(d.Shifts)
		p.changes(d.Changes)
	}
	for _, u := range d.Uncertain {
		_ = wrap(&p.b, "uncertain: "+u, "", p.width) // a Builder takes everything
	}
	_, err := io.WriteString(app.Stdout, p.b.String())
	return err
}

type diffPrinter struct {
	b      strings.Builder
	color  Palette
	width  int
	format Format
}

// sentence says all of it in plain words.
func (p *diffPrinter) sentence(d DiffResult) string {
	where := fmt.Sprintf("%s to %s: ", d.From, d.To)
	if d.Sidecar != "" {
		where = d.Sidecar + ", " + where
	}
	switch {
	case len(d.Changes) == 0 && len(d.Shifts) == 0:
		return where + "nothing differs."
	case len(d.Shifts) == 0:
		return where + "all traffic goes where it went; " + differ(len(d.Changes)) + "."
	}
	s := d.Shifts[0]
	text := fmt.Sprintf("%s: from %s to %s", portsText(s.Cells), verdictText(s.Before), verdictText(s.After))
	if n := len(d.Shifts) - 1; n > 0 {
		text += " (and " + plural(n, "more shift", "more shifts") + ")"
	}
	return where + text + "; " + differ(len(d.Changes)) + "."
}

func differ(n int) string {
	if n == 1 {
		return "1 resource differs"
	}
	return fmt.Sprintf("%d resources differ", n)
}

func portsText(cells []xds.Cell) string {
	if len(cells) == 0 {
		return "traffic"
	}
	var ports []string
	for _, c := range cells {
		if len(ports) == 0 || ports[len(ports)-1] != c.Ports {
			ports = append(ports, c.Ports)
		}
	}
	text := "port " + shortList(ports, 3)
	if n := len(cells); n == 1 {
		text += ", " + shortList(cells[0].Destinations, 3)
		if len(cells[0].Except) > 0 {
			text += " except " + shortList(cells[0].Except, 3)
		}
	}
	return text
}

func (p *diffPrinter) shifts(shifts []xds.Shift) {
	for i, s := range shifts {
		if i == 0 {
			p.b.WriteString("\n" + p.color.Bold("Traffic") + "\n")
		}
		p.wrapped("- ", verdictText(s.Before))
		p.wrapped("+ ", verdictText(s.After))
		cells := s.Cells
		if p.format != FormatWide && len(cells) > 3 {
			cells = cells[:3]
		}
		for _, c := range cells {
			p.wrapped("    ", cellText(c))
		}
		if n := len(s.Cells) - len(cells); n > 0 {
			p.wrapped("    ", fmt.Sprintf("and %d more sets of destinations (-o wide)", n))
		}
	}
}

func (p *diffPrinter) wrapped(first, text string) {
	_ = wrapTo(&p.b, text, "  "+first, "  "+strings.Repeat(" ", len(first)), p.width) // a Builder takes everything
}

// maxChanges is how many changes of a type are listed without -o wide.
const maxChanges = 20

func (p *diffPrinter) changes(changes []xds.Change) {
	shown, typ := 0, ""
	for _, c := range changes {
		if c.Type != typ {
			typ, shown = c.Type, 0
			p.b.WriteString("\n" + p.color.Bold(xds.ShortType(typ)) + "\n")
		}
		shown++
		switch {
		case shown <= maxChanges || p.format == FormatWide:
			p.b.WriteString(changeLine("  ", p.color, c) + "\n")
		case shown == maxChanges+1:
			p.b.WriteString("  ... (-o wide shows all)\n")
		}
	}
}
