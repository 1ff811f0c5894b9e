package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/replay"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// replayPrinter tells of a replay as it goes on.
type replayPrinter struct {
	app           *App
	o             replayOptions
	color         Palette
	label         string
	pushes, other int // told, and those of them not as recorded
	compared, odd int // ditto of states
}

// ReplayLine is a line of `replay -o jsonl`. Event says what it tells and which of
// the other fields it has.
type ReplayLine struct {
	APIVersion string `json:"apiVersion"`
	// Event is listening, envoy, push, base, nack, vanished, silent, compare, lacks,
	// drops, waits, stop, again or end.
	Event       string             `json:"event"`
	Sidecar     string             `json:"sidecar"`
	Push        string             `json:"push,omitempty"`
	Type        string             `json:"type,omitempty"`
	Resources   *int               `json:"resources,omitempty"`
	Removed     *int               `json:"removed,omitempty"`
	Answer      string             `json:"answer,omitempty"`   // ack, nack, none, unasked
	Recorded    string             `json:"recorded,omitempty"` // ack, nack, none
	Latency     float64            `json:"latency,omitempty"`  // seconds, of the answer
	Message     string             `json:"message,omitempty"`
	Altered     bool               `json:"altered,omitempty"`
	Equal       *bool              `json:"equal,omitempty"`
	Differences []ReplayDifference `json:"differences,omitempty"`
	Names       []string           `json:"names,omitempty"`
	Events      []xds.Event        `json:"events,omitempty"`
	Address     string             `json:"address,omitempty"`
	Namespace   string             `json:"namespace,omitempty"`
	Log         string             `json:"log,omitempty"`
	Pushes      *int               `json:"pushes,omitempty"`
}

// ReplayDifference is a resource that is not as recorded.
type ReplayDifference struct {
	Type   string   `json:"type"`
	Name   string   `json:"name"`
	Op     string   `json:"op"` // missing, extra, different
	Fields []string `json:"fields,omitempty"`
}

func (p *replayPrinter) emit(l ReplayLine, text string) error {
	if p.o.output == FormatJSONL {
		l.APIVersion, l.Sidecar = xds.APIVersion, p.label
		return Emit(p.app.Stdout, p.o.output, l)
	}
	if text == "" {
		return nil
	}
	_, err := io.WriteString(p.app.Stdout, text+"\n")
	return err
}

func (p *replayPrinter) begin(plan *replay.Plan, addr string) error {
	n := len(plan.Steps)
	text := fmt.Sprintf("serving %s of %s on %s", plural(n, "push", "pushes"), p.label, addr)
	if plan.Start > 0 {
		text += fmt.Sprintf(", after what it held at #%d", plan.Start)
	}
	if err := p.emit(ReplayLine{Event: "listening", Address: addr, Pushes: &n}, text); err != nil {
		return err
	}
	if p.o.envoy == "" {
		p.snippet(plan, addr)
	}
	return nil
}

// short is a name that fits everywhere.
func (p *replayPrinter) short() string { return fmt.Sprintf("%d", os.Getpid()) }

func (p *replayPrinter) started(e *replay.Envoy, in *replay.Namespace) error {
	l := ReplayLine{Event: "envoy", Address: e.Admin(), Log: e.Log()}
	text := "envoy: http://" + e.Admin()
	if in != nil {
		l.Namespace = in.Name()
		text = fmt.Sprintf("envoy in namespace %s; enter it with: ip netns exec %s curl http://10.0.0.1/\nenvoy: ip netns exec %s curl http://%s", in.Name(), in.Name(), in.Name(), e.Admin())
	}
	return p.emit(l, text)
}

// snippet is what an Envoy's bootstrap needs to come here.
func (p *replayPrinter) snippet(plan *replay.Plan, addr string) {
	if p.o.output == FormatJSONL {
		return
	}
	kind := "GRPC"
	if plan.Delta() {
		kind = "DELTA_GRPC"
	}
	p.app.Note("waiting for a client; an Envoy needs this in its bootstrap:\n%s", replay.Snippet(addr, kind))
}

func (p *replayPrinter) line(l replay.Line) error {
	out := ReplayLine{Event: string(l.Kind), Type: l.Type, Answer: string(l.Reply), Recorded: string(l.Recorded), Latency: l.Latency.Seconds(),
		Message: l.Message, Altered: l.Altered, Names: l.Names}
	push := "base"
	if l.Step != nil {
		out.Push = pushText(l.Step.Number())
		push = out.Push
	}
	switch l.Kind {
	case replay.Pushed, replay.Base:
		out.Resources, out.Removed = &l.Resources, &l.Removed
		return p.emit(out, p.push(push, l))
	case replay.Compared:
		return p.comparison(out, l)
	}
	return p.emit(out, p.fact(push, l))
}

func (p *replayPrinter) push(push string, l replay.Line) string {
	if l.Step == nil && l.Type == xds.SecretType && l.Reply != replay.NACK {
		return "" // made up here
	}
	p.pushes++
	counts := fmt.Sprintf("%-5s %-4s", fmt.Sprintf("+%d", l.Resources), fmt.Sprintf("-%d", l.Removed))
	text := fmt.Sprintf("%s %-4s %s ", p.color.Bold(fmt.Sprintf("%-5s", push)), xds.ShortType(l.Type), counts)
	switch l.Reply {
	case replay.Unasked:
		return text + p.color.Dim("not sent: this client did not ask for it")
	case replay.None:
		text += p.color.Yellow("no answer")
	case replay.ACK:
		text += p.color.Green("ACK") + " " + latency(l.Latency)
	case replay.NACK:
		text += p.color.Red("NACK") + " " + latency(l.Latency)
	}
	if l.Recorded != "" && l.Step != nil {
		text += p.color.Dim("  recorded: " + recordedText(l))
	}
	if l.Altered {
		text += "  altered"
	}
	if l.Reply == replay.NACK {
		text += "\n      " + l.Message
	}
	return text
}

func recordedText(l replay.Line) string {
	if l.Recorded == replay.None {
		return "no answer"
	}
	return strings.ToUpper(string(l.Recorded)) + " " + latency(l.Step.Latency)
}

// fact is a line that is neither a push nor a comparison.
func (p *replayPrinter) fact(push string, l replay.Line) string {
	switch l.Kind {
	case replay.Rejects:
		p.other++
		return "      ! nack: " + push + " is rejected here and was not when it was recorded"
	case replay.Vanished:
		p.other++
		return "      ! vanished: " + push + " was rejected when it was recorded: " + l.Message
	case replay.Silent:
		p.other++
		return "      ! silent: " + push + " is not answered here and was when it was recorded"
	case replay.Lacks:
		return "      ! this client lacks " + strings.Join(l.Names, ", ") + "; --drop-unknown-filters leaves them out"
	case replay.Drops:
		return "      left out, as this client lacks them: " + strings.Join(l.Names, ", ")
	case replay.Waits:
		return "      this client waits for what was not recorded: " + shortList(l.Names, 10)
	case replay.Again:
		return "again from the beginning"
	}
	return ""
}

func (p *replayPrinter) comparison(out ReplayLine, l replay.Line) error {
	p.compared++
	equal := len(l.Differences) == 0 && l.Err == nil
	out.Equal = &equal
	if equal {
		return p.emit(out, p.color.Dim(fmt.Sprintf("      = its config_dump is the recorded state at %s", out.Push)))
	}
	p.odd++
	var b strings.Builder
	if l.Err != nil {
		out.Message = l.Err.Error()
		fmt.Fprintf(&b, "      ! its state at %s cannot be compared: %v", out.Push, l.Err)
	} else {
		fmt.Fprintf(&b, "      ! its config_dump is not the recorded state at %s:", out.Push)
	}
	for _, d := range l.Differences {
		out.Differences = append(out.Differences, ReplayDifference(d))
		fmt.Fprintf(&b, "\n        %s %s %s %s", xds.ShortType(d.Type), d.Name, d.Op, shortList(d.Fields, 5))
	}
	return p.emit(out, b.String())
}

// stop tells where the replay stands.
func (p *replayPrinter) stop(next *replay.Step, hits []xds.Event) error {
	out := ReplayLine{Event: string(replay.Stops), Push: pushText(next.Number()), Type: next.Type, Events: next.Events}
	var b strings.Builder
	fmt.Fprintf(&b, "stopped before %s %s (Enter: send it; c: go on; q: end)", out.Push, xds.ShortType(next.Type))
	for _, e := range hits {
		fmt.Fprintf(&b, "\n      ! %s %s: %s", e.Severity, e.Kind, e.Summary)
	}
	return p.emit(out, b.String())
}

func (p *replayPrinter) end(b *replay.Bodies) error {
	for _, n := range b.Missing() {
		p.app.Warn("%s could not be served: its body was not recorded", n)
	}
	out := ReplayLine{Event: "end", Pushes: &p.pushes, Names: b.Dropped()}
	text := fmt.Sprintf("%s, %d not answered as recorded", plural(p.pushes, "push", "pushes"), p.other)
	if p.compared > 0 {
		text += fmt.Sprintf("; %s compared, %d not as recorded", plural(p.compared, "state", "states"), p.odd)
	}
	if len(out.Names) > 0 {
		text += "\nleft out: " + strings.Join(out.Names, ", ")
	}
	return p.emit(out, text)
}
