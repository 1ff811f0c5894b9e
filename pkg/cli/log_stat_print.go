package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func printStat(app *App, f Format, all []StatSidecar) error {
	switch f {
	case FormatJSON, FormatYAML:
		return Emit(app.Stdout, f, StatList{APIVersion: xds.APIVersion, Sidecars: all})
	case FormatJSONL:
		for _, s := range all {
			s.APIVersion = xds.APIVersion
			if err := Emit(app.Stdout, f, s); err != nil {
				return err
			}
		}
		return nil
	}
	p := statPrinter{color: app.Palette(), width: app.textWidth(), format: f}
	for i, s := range all {
		if i > 0 && f != FormatShort {
			p.b.WriteString("\n")
		}
		p.sidecar(s)
	}
	_, err := io.WriteString(app.Stdout, p.b.String())
	return err
}

type statPrinter struct {
	b      strings.Builder
	color  Palette
	width  int
	format Format
}

// maxChurn is how many fields and resources are listed without -o wide.
const maxChurn = 10

func (p *statPrinter) sidecar(s StatSidecar) {
	_ = wrap(&p.b, s.Sidecar+": "+statSentence(s), "", p.width) // a Builder takes everything
	if p.format == FormatShort || s.Total.Pushes == 0 {
		return
	}
	p.table("", pushTable(s.Types))
	p.table("Fields that differ again and again", p.fields(s.Types))
	p.table("Resources that change again and again", p.resources(s.Types))
	for i, e := range s.Flaps {
		if i == 0 {
			p.b.WriteString("\n" + p.color.Bold("Traffic that goes to and fro") + "\n")
		}
		_ = wrapTo(&p.b, fmt.Sprintf("%s %s: %s", e.Time.UTC().Format("15:04:05"), e.Push, e.Summary), "  ", "    ", p.width) // ditto
	}
}

func (p *statPrinter) table(title string, t *Table) {
	if t.Len() < 2 { // the header alone
		return
	}
	p.b.WriteString("\n")
	if title != "" {
		p.b.WriteString(p.color.Bold(title) + "\n")
		t.Indent = "  "
	}
	_, _ = t.WriteTo(&p.b) // ditto
}

// statSentence says the most important in plain words.
func statSentence(s StatSidecar) string {
	t := s.Total
	if t.Pushes == 0 {
		return "no pushes" + heartbeats(t)
	}
	text := fmt.Sprintf("%s in %s, %s; %s", plural(t.Pushes, "push", "pushes"), age(s.To.Sub(*s.From)), size(t.Bytes), noOpText(t))
	if t.NoShift > 0 {
		text += fmt.Sprintf("; %s changed resources and moved no traffic", share(t.NoShift, t.Pushes))
	}
	if t.UnchangedBytes > 0 {
		text += fmt.Sprintf("; %s of the bytes were there already", shareSize(t.UnchangedBytes, t.Bytes))
	}
	text += "."
	if t.Repeated > 0 {
		text += fmt.Sprintf(" %s a push was rejected and sent again as it was.", plural(t.Repeated, "time", "times"))
	}
	if t.Reencoded > 0 {
		text += fmt.Sprintf(" %s came in other bytes with the same content.", plural(t.Reencoded, "resource", "resources"))
	}
	if t.Unknown > 0 {
		text += fmt.Sprintf(" %s cannot be compared: not recorded.", plural(t.Unknown, "push", "pushes"))
	}
	return text + heartbeats(t)
}

func noOpText(t StatCount) string {
	switch {
	case t.NoOp == 0:
		return "all of them changed something"
	case t.AfterReconnect == 0:
		return share(t.NoOp, t.Pushes) + " changed nothing"
	}
	return fmt.Sprintf("%s changed nothing, %d of them the first after a reconnect", share(t.NoOp, t.Pushes), t.AfterReconnect)
}

func heartbeats(t StatCount) string {
	if t.Heartbeats == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s, not counted)", plural(t.Heartbeats, "heartbeat", "heartbeats"))
}

// share is a number and its part of a whole: 12 (40%).
func share(n, of int) string {
	if n == 0 || of == 0 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d (%s)", n, percent(n, of))
}

// shareSize is share for sizes.
func shareSize(n, of int) string {
	if n == 0 || of == 0 {
		return size(n)
	}
	return fmt.Sprintf("%s (%s)", size(n), percent(n, of))
}

// percent never says 0 of what there is, nor 100 of what is less.
func percent(n, of int) string {
	p := float64(n) / float64(max(of, 1)) * 100
	switch {
	case n == 0:
		return "0%"
	case p < 1:
		return "<1%"
	case p > 99 && n < of:
		return "99%"
	}
	return fmt.Sprintf("%.0f%%", p)
}

func pushTable(types []StatType) *Table {
	t := &Table{}
	t.Row("TYPE", "PUSHES", "NO-OP", "NO SHIFT", "CHANGES", "RE-ENCODED", "SIZE", "UNCHANGED")
	for _, x := range types {
		changes := fmt.Sprintf("+%d ~%d -%d", x.Added, x.Changed, x.Removed)
		t.Row(xds.ShortType(x.Type), fmt.Sprint(x.Pushes), share(x.NoOp, x.Pushes), fmt.Sprint(x.NoShift), changes, fmt.Sprint(x.Reencoded),
			size(x.Bytes), percent(x.UnchangedBytes, x.Bytes))
	}
	return t
}

// churned is one line of what churned.
type churned struct {
	changes int
	cells   []string
}

func (p *statPrinter) fields(types []StatType) *Table {
	var all []churned
	for _, t := range types {
		for _, f := range t.Fields {
			if f.Changes > 1 {
				all = append(all, churned{f.Changes, []string{xds.ShortType(t.Type), fmt.Sprint(f.Changes), fmt.Sprint(f.Resources), f.Path}})
			}
		}
	}
	return p.most(all, "TYPE", "CHANGES", "RESOURCES", "FIELD")
}

func (p *statPrinter) resources(types []StatType) *Table {
	var all []churned
	for _, t := range types {
		for _, r := range t.Resources {
			moves := "-"
			if r.ToAndFro > 0 {
				moves = plural(r.ToAndFro, "time", "times")
			}
			all = append(all, churned{r.Changes, []string{xds.ShortType(t.Type), fmt.Sprint(r.Changes), moves, r.Name}})
		}
	}
	return p.most(all, "TYPE", "CHANGES", "TO AND FRO", "RESOURCE")
}

// most lists the most frequent first, the others with -o wide only.
func (p *statPrinter) most(all []churned, header ...string) *Table {
	slices.SortStableFunc(all, func(a, b churned) int { return cmp.Compare(b.changes, a.changes) })
	t := &Table{}
	t.Row(header...)
	for i, c := range all {
		if i == maxChurn && p.format != FormatWide {
			t.Row("...", "", "", plural(len(all)-i, "more", "more")+" (-o wide)")
			break
		}
		t.Row(c.cells...)
	}
	return t
}
