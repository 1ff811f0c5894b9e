package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// LogGroup is what `log --group -o jsonl` prints for each change of the control
// plane.
type LogGroup struct {
	APIVersion string            `json:"apiVersion"`
	Sidecar    string            `json:"sidecar"`
	First      string            `json:"first"`
	Last       string            `json:"last"`
	Time       time.Time         `json:"time"`
	Span       string            `json:"span"`
	Settled    bool              `json:"settled"`
	Rule       string            `json:"rule"` // why it was taken for finished
	Latency    map[string]string `json:"latency"`
	Unanswered []string          `json:"unanswered"`
	Dangling   []LogDangling     `json:"dangling"`
	Pushes     []LogLine         `json:"pushes"`
}

// LogDangling is a name that was missing while the group came in.
type LogDangling struct {
	Missing xds.Resource `json:"missing"`
	By      xds.Resource `json:"by"`
	From    string       `json:"from"`
	Until   string       `json:"until,omitempty"` // the push that ended it
	Took    string       `json:"took,omitempty"`
}

// LogGroups is what `log --group -o json` and `-o yaml` print.
type LogGroups struct {
	APIVersion string     `json:"apiVersion"`
	Groups     []LogGroup `json:"groups"`
}

func runLogGroups(ctx context.Context, app *App, src *source, id xds.Sidecar, o logOptions, t *logTeller) error {
	p := &groupPrinter{logPrinter: newLogPrinter(app, src, o), list: LogGroups{APIVersion: xds.APIVersion, Groups: []LogGroup{}}}
	var last []*query.Group
	told := 0
	for g, err := range src.read.Groups(ctx, query.WalkOptions{
		Sidecars: []xds.Sidecar{id}, Since: t.span.since, Display: src.label, Follow: o.follow,
	}) {
		if err := src.partial(err); err != nil {
			return err
		}
		if g == nil || !slices.ContainsFunc(g.Lines, t.wants) {
			continue
		}
		if t.span.last > 0 {
			last = append(last, g)
			last = last[max(0, len(last)-t.span.last):]
			continue
		}
		if err := p.group(g); err != nil {
			return err
		}
		if told++; told == t.span.first {
			break
		}
	}
	for _, g := range last {
		if err := p.group(g); err != nil {
			return err
		}
	}
	return p.end()
}

// groupPrinter prints groups, each with its pushes as log does.
type groupPrinter struct {
	*logPrinter
	list LogGroups
}

func (p *groupPrinter) group(g *query.Group) error {
	if machine(p.o.output) {
		out := p.entry(g)
		if p.asList {
			p.list.Groups = append(p.list.Groups, out)
			return nil
		}
		return Emit(p.w, p.o.output, out)
	}
	var b strings.Builder
	p.heading(&b, g)
	for _, l := range g.Lines {
		p.member(&b, g, l)
	}
	p.facts(&b, g)
	_, err := io.WriteString(p.w, b.String())
	return err
}

func (p *groupPrinter) end() error {
	if !p.asList {
		return nil
	}
	return Emit(p.w, p.o.output, p.list)
}

// heading: #5..#8  2026-11-22 19:28:07.304  4 pushes in 3ms.
func (p *groupPrinter) heading(b *strings.Builder, g *query.Group) {
	name := pushText(g.First)
	if g.Last != g.First {
		name += ".." + pushText(g.Last)
	}
	fmt.Fprintf(b, "%s  %s  %s in %s%s\n", p.color.Bold(name), g.Time.UTC().Format("2006-01-02 15:04:05.000"),
		plural(len(g.Pushes), "push", "pushes"), latency(g.Span()), p.unsettled(g))
}

func (p *groupPrinter) unsettled(g *query.Group) string {
	if g.Settled {
		return ""
	}
	return p.color.Yellow(", not settled (" + string(g.Rule) + ")")
}

// member is one push: when it came after the first, and how it was answered.
func (p *groupPrinter) member(b *strings.Builder, g *query.Group, l *query.Line) {
	if l.IsPush() {
		counts := fmt.Sprintf("+%d ~%d -%d", l.Added, l.Changed, l.Removed)
		fmt.Fprintf(b, "  %-5s +%-7s %-4s %-16s %s\n", pushText(l.Push.Number), latency(l.Time.Sub(g.Lines[0].Time)), xds.ShortType(l.Push.Type), counts, p.answer(l))
	}
	p.message(b, l)
	if p.o.patch {
		for _, c := range l.Changes {
			b.WriteString(changeLine("      ", p.color, c) + "\n")
		}
	}
	p.events(b, l)
}

// facts is what went on between the first push and the last.
func (p *groupPrinter) facts(b *strings.Builder, g *query.Group) {
	shown := g.Dangling
	if p.o.output != FormatWide && len(shown) > maxDangling {
		shown = shown[:maxDangling]
	}
	for _, d := range shown {
		text := fmt.Sprintf("dangling from %s: %s, named by %s", pushText(d.From), refText(d.Missing), refText(d.By))
		if d.Until > 0 {
			text += fmt.Sprintf("; over after %s, with %s", latency(d.Took), pushText(d.Until))
		} else {
			text += "; " + p.color.Yellow("still missing")
		}
		_ = wrapTo(b, text, "  ", "    ", p.width) // a Builder takes everything
	}
	if n := len(g.Dangling) - len(shown); n > 0 {
		fmt.Fprintf(b, "  and %d more dangling names (-o wide)\n", n)
	}
	for _, l := range g.Unanswered() {
		fmt.Fprintf(b, "  %s %s was not answered\n", pushText(l.Push.Number), xds.ShortType(l.Push.Type))
	}
}

// maxDangling is how many dangling names of a group are shown without -o wide.
const maxDangling = 5

func refText(r state.Ref) string { return xds.ShortType(r.Type) + " " + r.Name }

func (p *groupPrinter) entry(g *query.Group) LogGroup {
	out := LogGroup{
		APIVersion: xds.APIVersion, Sidecar: p.src.label(g.ID), First: pushText(g.First), Last: pushText(g.Last), Time: g.Time.UTC(),
		Span: g.Span().String(), Settled: g.Settled, Rule: string(g.Rule), Latency: map[string]string{},
		Unanswered: []string{}, Dangling: []LogDangling{}, Pushes: []LogLine{},
	}
	slowest := map[string]time.Duration{}
	for _, l := range g.Lines {
		out.Pushes = append(out.Pushes, p.json(l))
		if typ := xds.ShortType(l.Push.Type); l.Answer != nil {
			slowest[typ] = max(slowest[typ], l.Latency())
			out.Latency[typ] = slowest[typ].String()
		}
	}
	for _, l := range g.Unanswered() {
		out.Unanswered = append(out.Unanswered, pushText(l.Push.Number))
	}
	for _, d := range g.Dangling {
		x := LogDangling{Missing: xds.Resource(d.Missing), By: xds.Resource(d.By), From: pushText(d.From)}
		if d.Until > 0 {
			x.Until, x.Took = pushText(d.Until), d.Took.String()
		}
		out.Dangling = append(out.Dangling, x)
	}
	return out
}
