package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// ShowPush is what `show -o json` prints.
type ShowPush struct {
	APIVersion string         `json:"apiVersion"`
	Sidecar    string         `json:"sidecar"`
	Push       string         `json:"push"`
	Time       time.Time      `json:"time"`
	Type       string         `json:"type"`
	Delta      bool           `json:"delta"`
	Version    string         `json:"version"`
	Nonce      string         `json:"nonce"`
	Size       int            `json:"size"`
	Took       string         `json:"took,omitempty"`
	Omitted    string         `json:"omitted,omitempty"`
	Answers    []ShowAnswer   `json:"answers"`
	Resources  []ShowResource `json:"resources"`
	Removed    []string       `json:"removed"`
}

// ShowAnswer is an answer to a push.
type ShowAnswer struct {
	Kind    string    `json:"kind"` // ack or nack
	Time    time.Time `json:"time"`
	Latency string    `json:"latency"`
	Message string    `json:"message,omitempty"`
	Repeat  uint64    `json:"repeat,omitempty"`
}

// ShowResource is a resource of a push. Op is against what had been pushed before.
type ShowResource struct {
	Name     string          `json:"name"`
	Op       string          `json:"op"` // add, change, same
	Version  string          `json:"version,omitempty"`
	Size     int             `json:"size"`
	Digest   string          `json:"digest,omitempty"`
	Missing  string          `json:"missing,omitempty"` // why Resource is not there
	Resource json.RawMessage `json:"resource,omitempty"`
}

func showOf(src *source, d query.PushDetail) ShowPush {
	rec, p := d.Record, d.Record.Push
	out := ShowPush{
		APIVersion: xds.APIVersion, Sidecar: src.label(rec.Sidecar), Push: pushText(p.Number), Time: rec.Time.UTC(), Type: p.Type,
		Delta: p.Delta, Version: p.Version, Nonce: p.Nonce, Size: p.Size, Omitted: p.Omitted,
		Answers: []ShowAnswer{}, Resources: []ShowResource{}, Removed: goneOf(d),
	}
	if rec.Took > 0 {
		out.Took = rec.Took.String()
	}
	for _, a := range d.Answers {
		sa := ShowAnswer{Kind: "ack", Time: a.Time.UTC(), Latency: a.Time.Sub(rec.Time).String(), Repeat: a.Answer.Repeat}
		if a.Answer.NACK() {
			sa.Kind, sa.Message = "nack", a.Answer.Error.Message
		}
		out.Answers = append(out.Answers, sa)
	}
	for _, e := range p.Resources {
		out.Resources = append(out.Resources, src.showResource(d, e))
	}
	return out
}

func pushText(n uint64) string { return fmt.Sprintf("#%d", n) }

// goneOf lists what the push took away: by name, or in the state of the world by
// leaving it out.
func goneOf(d query.PushDetail) []string {
	out := []string{}
	for name := range d.Before.All(d.Record.Push.Type) {
		if _, ok := d.After.Lookup(d.Record.Push.Type, name); !ok {
			out = append(out, name)
		}
	}
	return out
}

func (s *source) showResource(d query.PushDetail, e xds.Entry) ShowResource {
	r := ShowResource{Name: e.Name, Op: "add", Version: e.Version, Size: e.Size}
	if !e.Digest.IsZero() {
		r.Digest = e.Digest.String()
	}
	if old, ok := d.Before.Lookup(d.Record.Push.Type, e.Name); ok {
		r.Op = "change"
		if old == e.Digest {
			r.Op = "same"
		}
	}
	switch e.State {
	case xds.EntryEmpty:
		r.Missing = "empty: a heartbeat, or it does not exist"
	case xds.EntryBodyless:
		r.Missing = "its body was not recorded"
	case xds.EntryTooLarge:
		r.Missing = "it was too large to record"
	default:
		r.Resource, r.Missing = s.decoded(e.Digest)
	}
	return r
}

// decoded is a resource as JSON, or why there is none.
func (s *source) decoded(d xds.Digest) (json.RawMessage, string) {
	m, err := s.read.Cache().Message(d)
	if err != nil {
		return nil, err.Error()
	}
	b, err := messageJSON(m)
	if err != nil {
		return nil, err.Error()
	}
	return b, ""
}

func printShow(app *App, _ *source, f Format, p ShowPush) error {
	if machine(f) {
		return Emit(app.Stdout, f, p)
	}
	if err := showHeader(app, f, p); err != nil || f == FormatShort {
		return err
	}
	t := &Table{Width: app.Width(), Flex: 1, Right: []int{2}}
	color := app.Palette()
	for _, r := range p.Resources {
		t.Row(opSign(color, r.Op), r.Name, size(r.Size), dash(r.Digest), wideOnly(f, r.Version), missingNote(r))
	}
	for _, n := range p.Removed {
		t.Row(color.Red("-"), n, "", "", "", "")
	}
	_, err := t.WriteTo(app.Stdout)
	return err
}

func wideOnly(f Format, s string) string {
	if f == FormatWide {
		return s
	}
	return ""
}

func missingNote(r ShowResource) string {
	if r.Missing == "" {
		return ""
	}
	return "(" + r.Missing + ")"
}

func showHeader(app *App, f Format, p ShowPush) error {
	color := app.Palette()
	proto := "state of the world"
	if p.Delta {
		proto = "Delta"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s to %s, %s\n", color.Bold(p.Push), xds.ShortType(p.Type), p.Sidecar, p.Time.Format("2006-01-02 15:04:05.000"))
	fmt.Fprintf(&b, "%s, %s, version %s\n", proto, size(p.Size), dash(p.Version))
	if f == FormatWide {
		fmt.Fprintf(&b, "nonce %s\n", dash(p.Nonce))
	}
	if p.Omitted != "" {
		fmt.Fprintf(&b, "content not kept: %s\n", p.Omitted)
	}
	if _, err := io.WriteString(app.Stdout, b.String()); err != nil {
		return err
	}
	if len(p.Answers) == 0 {
		_, err := fmt.Fprintln(app.Stdout, color.Yellow("not answered"))
		return err
	}
	for _, a := range p.Answers {
		if err := wrap(app.Stdout, answerLine(color, a), "", app.textWidth()); err != nil {
			return err
		}
	}
	return nil
}

func answerLine(color Palette, a ShowAnswer) string {
	d, _ := time.ParseDuration(a.Latency) // we made it
	text := color.Green("ACK") + " after " + latency(d)
	if a.Kind == "nack" {
		text = color.Red("NACK") + " after " + latency(d) + ": " + a.Message
	}
	if a.Repeat > 0 {
		text += fmt.Sprintf(" (and %d times more)", a.Repeat)
	}
	return text
}

func opSign(c Palette, op string) string {
	switch op {
	case "add":
		return c.Green("+")
	case "remove":
		return c.Red("-")
	case "change":
		return c.Yellow("~")
	}
	return "="
}

// size is a number of bytes as people say it.
func size(n int) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000*1000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
