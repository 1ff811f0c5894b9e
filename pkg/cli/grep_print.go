package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// GrepMatch is what `grep -o jsonl` prints for each version.
type GrepMatch struct {
	APIVersion string        `json:"apiVersion"`
	Sidecar    string        `json:"sidecar"`
	Type       string        `json:"type"`
	Name       string        `json:"name"`
	Digest     string        `json:"digest"`
	First      string        `json:"first"` // the push that brought it
	Since      time.Time     `json:"since"`
	End        string        `json:"end,omitempty"` // the push that replaced or removed it
	Removed    bool          `json:"removed,omitempty"`
	Found      []query.Found `json:"found"`
}

// GrepList is what `grep -o json` and `-o yaml` print.
type GrepList struct {
	APIVersion string      `json:"apiVersion"`
	Versions   []GrepMatch `json:"versions"`
}

// maxFound is how many lines of a version are shown without -o wide.
const maxFound = 5

func printGrep(app *App, f Format, src *source, found []grepMatch) error {
	if machine(f) {
		return emitGrep(app, f, src, found)
	}
	p := grepPrinter{color: app.Palette(), width: app.textWidth(), format: f}
	for _, m := range found {
		p.match(src, m)
	}
	_, err := io.WriteString(app.Stdout, p.b.String())
	return err
}

func emitGrep(app *App, f Format, src *source, found []grepMatch) error {
	list := GrepList{APIVersion: xds.APIVersion, Versions: []GrepMatch{}}
	for _, m := range found {
		out := GrepMatch{
			APIVersion: xds.APIVersion, Sidecar: src.label(m.Sidecar), Type: m.Type, Name: m.Name, Digest: m.Digest.String(),
			First: pushText(m.First), Since: m.Since.UTC(), Removed: m.Removed, Found: m.found,
		}
		if m.End > 0 {
			out.End = pushText(m.End)
		}
		if f == FormatJSONL {
			if err := Emit(app.Stdout, f, out); err != nil {
				return err
			}
		}
		list.Versions = append(list.Versions, out)
	}
	if f == FormatJSONL {
		return nil
	}
	return Emit(app.Stdout, f, list)
}

type grepPrinter struct {
	b       strings.Builder
	color   Palette
	width   int
	format  Format
	sidecar xds.Sidecar
}

func (p *grepPrinter) match(src *source, m grepMatch) {
	if m.Sidecar != p.sidecar {
		p.sidecar = m.Sidecar
		p.b.WriteString(p.color.Dim(src.label(m.Sidecar)) + "\n")
	}
	line := fmt.Sprintf("%s %-12s %-4s %s", p.color.Bold(fmt.Sprintf("%-11s", stretch(m.Version))), clock(m.Since), xds.ShortType(m.Type), m.Name)
	p.b.WriteString(line + "\n")
	if p.format == FormatShort {
		return
	}
	shown := m.found
	if p.format != FormatWide && len(shown) > maxFound {
		shown = shown[:maxFound]
	}
	for _, f := range shown {
		_ = wrapTo(&p.b, f.Path+valueOf(f.Line), "    ", "      ", p.width) // a Builder takes everything
	}
	if n := len(m.found) - len(shown); n > 0 {
		fmt.Fprintf(&p.b, "    and %d more (-o wide)\n", n)
	}
}

// valueOf is ": value" of a line "field: value", "" where the line stands alone.
func valueOf(line string) string {
	_, v, ok := strings.Cut(line, ": ")
	if !ok {
		return line
	}
	return ": " + v
}

// stretch says from which push a version was offered, and which one ended it:
// #6..#10, or #6..HEAD.
func stretch(v query.Version) string {
	if v.End == 0 {
		return pushText(v.First) + "..HEAD"
	}
	return pushText(v.First) + ".." + pushText(v.End-1)
}

// clock is a time of day, nothing where it is not known.
func clock(t time.Time) string {
	if t.IsZero() {
		return "earlier"
	}
	return t.UTC().Format("15:04:05.000")
}
