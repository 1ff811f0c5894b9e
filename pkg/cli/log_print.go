package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// LogLine is what `log -o jsonl` prints for each push.
type LogLine struct {
	APIVersion string       `json:"apiVersion"`
	Sidecar    string       `json:"sidecar"`
	Push       string       `json:"push,omitempty"`
	Time       time.Time    `json:"time"`
	Type       string       `json:"type,omitempty"`
	Version    string       `json:"version,omitempty"`
	Size       int          `json:"size"`
	Added      int          `json:"added"`
	Changed    int          `json:"changed"`
	Removed    int          `json:"removed"`
	Answer     string       `json:"answer"` // ack, nack, none
	Latency    string       `json:"latency,omitempty"`
	Message    string       `json:"message,omitempty"`
	Repeat     uint64       `json:"repeat,omitempty"`
	Changes    []xds.Change `json:"changes"`
	Events     []xds.Event  `json:"events"`
}

// LogList is what `log -o json` and `-o yaml` print.
type LogList struct {
	APIVersion string    `json:"apiVersion"`
	Pushes     []LogLine `json:"pushes"`
}

type logPrinter struct {
	w      io.Writer
	color  Palette
	width  int
	src    *source
	o      logOptions
	asList bool
	all    []LogLine
	day    string
}

func newLogPrinter(app *App, src *source, o logOptions) *logPrinter {
	return &logPrinter{
		w: app.Stdout, color: app.Palette(), width: app.textWidth(), src: src, o: o,
		asList: !o.follow && (o.output == FormatJSON || o.output == FormatYAML), all: []LogLine{},
	}
}

func (p *logPrinter) print(l *query.Line) error {
	if machine(p.o.output) {
		line := p.json(l)
		if p.asList {
			p.all = append(p.all, line)
			return nil
		}
		return Emit(p.w, p.o.output, line)
	}
	var b strings.Builder
	p.text(&b, l)
	_, err := io.WriteString(p.w, b.String())
	return err
}

func (p *logPrinter) close() error {
	if !p.asList {
		return nil
	}
	return Emit(p.w, p.o.output, LogList{APIVersion: xds.APIVersion, Pushes: p.all})
}

func (p *logPrinter) json(l *query.Line) LogLine {
	out := LogLine{
		APIVersion: xds.APIVersion, Sidecar: p.src.label(l.Sidecar), Time: l.Time.UTC(), Type: l.Push.Type, Version: l.Push.Version,
		Size: l.Push.Size, Added: l.Added, Changed: l.Changed, Removed: l.Removed, Repeat: l.Repeat,
		Answer: "none", Changes: listed(l.Changes), Events: l.Events,
	}
	if l.IsPush() {
		out.Push = pushText(l.Push.Number)
	}
	if out.Events == nil {
		out.Events = []xds.Event{}
	}
	if l.Answer != nil {
		out.Answer, out.Latency = "ack", l.Latency().String()
		if l.Answer.NACK() {
			out.Answer, out.Message = "nack", l.Answer.Error.Message
		}
	}
	return out
}

func (p *logPrinter) text(b *strings.Builder, l *query.Line) {
	t := l.Time.UTC()
	if day := t.Format("2006-01-02"); day != p.day && p.o.output != FormatShort {
		p.day = day
		b.WriteString(p.color.Dim(day) + "\n")
	}
	if !l.IsPush() {
		fmt.Fprintf(b, "%-5s %s\n", "", t.Format("15:04:05"))
		p.events(b, l)
		return
	}
	counts := fmt.Sprintf("%-5s %-5s %-5s", fmt.Sprintf("+%d", l.Added), fmt.Sprintf("~%d", l.Changed), fmt.Sprintf("-%d", l.Removed))
	line := fmt.Sprintf("%s %s %-4s %s %s", p.color.Bold(fmt.Sprintf("%-5s", pushText(l.Push.Number))), t.Format("15:04:05.000"), xds.ShortType(l.Push.Type), counts, p.answer(l))
	if p.o.output == FormatWide {
		line += fmt.Sprintf("  %s  %s", size(l.Push.Size), l.Push.Version)
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
	p.message(b, l)
	switch {
	case p.o.life != "":
		p.life(b, l)
		return
	case p.o.patch, p.o.text != "":
		for _, c := range l.Changes {
			b.WriteString(changeLine("      ", p.color, c) + "\n")
		}
	}
	p.events(b, l)
}

func (p *logPrinter) answer(l *query.Line) string {
	if l.Answer == nil {
		return p.color.Dim("no answer")
	}
	word := "ACK"
	if l.Answer.NACK() {
		word = p.color.Red("NACK")
	}
	word += " " + latency(l.Latency())
	if l.Repeat > 0 {
		word += fmt.Sprintf(", %d times more", l.Repeat)
	}
	return word
}

func (p *logPrinter) message(b *strings.Builder, l *query.Line) {
	if l.Answer != nil && l.Answer.NACK() && p.o.output != FormatShort {
		_ = wrap(b, l.Answer.Error.Message, "      ", p.width) // a Builder takes everything
	}
}

func (p *logPrinter) events(b *strings.Builder, l *query.Line) {
	for _, e := range l.Events {
		if p.o.output == FormatShort {
			fmt.Fprintf(b, "      ! %s %s %s\n", p.color.Severity(e.Severity), e.Kind, e.Ports)
			continue
		}
		_ = wrapTo(b, fmt.Sprintf("! %s %s: %s", p.color.Severity(e.Severity), e.Kind, e.Summary), "      ", "        ", p.width) // ditto
	}
}

// changeLine is a change in one line, after indent.
func changeLine(indent string, color Palette, c xds.Change) string {
	return strings.TrimRight(fmt.Sprintf("%s%s %s %s", indent, opSign(color, c.Op), c.Name, color.Dim(shortPaths(c.Paths))), " ")
}

// shortPaths lists the first fields that differ.
func shortPaths(paths []string) string {
	if len(paths) == 0 {
		return ""
	}
	return "(" + strings.ReplaceAll(shortList(paths, 3), ",", ", ") + ")"
}
