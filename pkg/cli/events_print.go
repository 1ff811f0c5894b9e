package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// eventPrinter writes events, one after the other, in one format.
type eventPrinter struct {
	w      io.Writer
	format Format
	color  Palette
	width  int
	all    []xds.Event // json, yaml: printed by close
	asList bool
	day    string // printed last
}

// EventList is what `events -o json` and `-o yaml` print.
type EventList struct {
	APIVersion string      `json:"apiVersion"`
	Events     []xds.Event `json:"events"`
}

func newEventPrinter(app *App, f Format, follow bool) *eventPrinter {
	return &eventPrinter{
		w: app.Stdout, format: f, color: app.Palette(), width: app.textWidth(),
		asList: !follow && (f == FormatJSON || f == FormatYAML),
	}
}

func (p *eventPrinter) print(e xds.Event) error {
	switch {
	case p.asList:
		p.all = append(p.all, e)
		return nil
	case machine(p.format):
		return Emit(p.w, p.format, e)
	case p.format == FormatShort:
		return p.line(e)
	}
	if err := p.line(e); err != nil {
		return err
	}
	return p.detail(e)
}

// close prints what had to wait for the last event.
func (p *eventPrinter) close() error {
	if !p.asList {
		return nil
	}
	if p.all == nil {
		p.all = []xds.Event{}
	}
	return Emit(p.w, p.format, EventList{APIVersion: xds.APIVersion, Events: p.all})
}

// line prints an event in one line; the date stands above, where it changes, but
// for -o short, whose lines stand alone.
func (p *eventPrinter) line(e xds.Event) error {
	sev := p.color.Severity(e.Severity) + strings.Repeat(" ", max(0, 8-len(e.Severity)))
	what := string(e.Kind)
	if e.Ports != "" {
		what += " " + e.Ports
	}
	at := e.Time.UTC()
	clock := at.Format("2006-01-02 15:04:05")
	if p.format != FormatShort {
		clock = at.Format("15:04:05")
		if day := at.Format("2006-01-02"); day != p.day {
			p.day = day
			if _, err := fmt.Fprintln(p.w, p.color.Dim(day)); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(p.w, "%s  %-5s  %s  %s  %s\n", clock, e.Push, sev, p.color.Bold(what), e.Sidecar)
	return err
}

const eventIndent = "    "

func (p *eventPrinter) detail(e xds.Event) error {
	lines := [][2]string{{"", e.Summary}}
	if e.Message != "" && p.format == FormatWide { // the summary has its beginning
		lines = append(lines, [2]string{"message: ", e.Message})
	}
	if o := ownerText(e.Owner); o != "" {
		lines = append(lines, [2]string{"owner: ", o})
	}
	if e.Open == xds.Drained {
		lines = append(lines, [2]string{"", "open connections will be closed after the drain time"})
	}
	if !e.Settled {
		lines = append(lines, [2]string{"", "the control plane had not finished when this was told"})
	}
	for _, u := range e.Uncertain {
		lines = append(lines, [2]string{"uncertain: ", u})
	}
	lines = append(lines, p.remedies(e)...)
	if p.format == FormatWide {
		lines = append(lines, wideDetail(e)...)
	}
	for _, l := range lines {
		if err := wrap(p.w, l[0]+l[1], eventIndent, p.width); err != nil {
			return err
		}
	}
	if p.format == FormatWide {
		return p.yaml(e)
	}
	return nil
}

// remedies are told in short; -o wide adds why, and the objects to apply.
func (p *eventPrinter) remedies(e xds.Event) [][2]string {
	var out [][2]string
	for i, r := range e.Remedies {
		text := r.Title
		if p.format == FormatWide && r.Why != "" {
			text += ": " + r.Why
		}
		out = append(out, [2]string{fmt.Sprintf("way out %d: ", i+1), text})
	}
	return out
}

func wideDetail(e xds.Event) [][2]string {
	out := [][2]string{{"id: ", e.ID + ", pushes " + strings.Join(e.Pushes, "..") + ", witness " + dash(e.Witness)}}
	for _, c := range e.Cells {
		out = append(out, [2]string{"cell: ", cellText(c)})
	}
	if e.More > 0 {
		out = append(out, [2]string{"cell: ", fmt.Sprintf("%d more", e.More)})
	}
	if e.Before != nil && e.After != nil {
		out = append(out, [2]string{"before: ", sideText(*e.Before)}, [2]string{"after: ", sideText(*e.After)})
	}
	return out
}

// yaml prints the objects of the remedies, unwrapped.
func (p *eventPrinter) yaml(e xds.Event) error {
	for i, r := range e.Remedies {
		if r.YAML == "" {
			continue
		}
		text := strings.ReplaceAll(strings.TrimRight(r.YAML, "\n"), "\n", "\n"+eventIndent+"  ")
		if _, err := fmt.Fprintf(p.w, "%sway out %d, to apply:\n%s  %s\n", eventIndent, i+1, eventIndent, text); err != nil {
			return err
		}
	}
	return nil
}

func ownerText(o *xds.Owner) string {
	if o == nil {
		return ""
	}
	name := o.Host
	if name == "" {
		name = o.Name
	}
	s := strings.TrimSpace(o.Kind + " " + name)
	if o.Namespace != "" {
		s += " in namespace " + o.Namespace
	}
	return s
}

func cellText(c xds.Cell) string {
	s := "port " + c.Ports + ", " + strings.Join(c.Destinations, " ")
	if len(c.Except) > 0 {
		s += " except " + strings.Join(c.Except, " ")
	}
	if len(c.Signals) > 0 {
		var classes []string
		for _, k := range c.Signals {
			classes = append(classes, classText(&k))
		}
		s += ", for " + strings.Join(classes, "; ")
	}
	return s
}

func sideText(s xds.Side) string {
	return verdictText(xds.Verdict{
		Kind: s.Kind, Reason: s.Reason, Inspection: s.Inspection, Target: s.Target, Status: s.Status,
		Cluster: s.Cluster, Clusters: s.Clusters, PortOverride: s.PortOverride, Transport: s.Transport,
	})
}
