package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/diff"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// BlameResult is what `blame -o json` prints.
type BlameResult struct {
	APIVersion string       `json:"apiVersion"`
	Sidecar    string       `json:"sidecar"`
	At         string       `json:"at"`
	Type       string       `json:"type"`
	Name       string       `json:"name"`
	Fields     []BlameField `json:"fields"`
}

// BlameField is one value of the resource.
type BlameField struct {
	Path  string     `json:"path"`
	Value string     `json:"value"`
	Push  string     `json:"push"` // #0: before the history that can be read
	Time  time.Time  `json:"time"`
	Owner *xds.Owner `json:"owner"`

	steps []string
}

// maxApart is how many values that came with one push are shown one by one.
const maxApart = 4

func printBlame(app *App, f Format, r BlameResult) error {
	if machine(f) {
		return Emit(app.Stdout, f, r)
	}
	p := blamePrinter{color: app.Palette(), width: app.textWidth(), all: f == FormatWide}
	fmt.Fprintf(&p.b, "%s %s at %s of %s\n", xds.ShortType(r.Type), r.Name, r.At, r.Sidecar)
	p.part(r.Fields, 0)
	_, err := io.WriteString(app.Stdout, p.b.String())
	return err
}

type blamePrinter struct {
	b     strings.Builder
	color Palette
	width int
	all   bool
	last  string // the heading that the next field stands under
}

// part prints fields that share their first steps: as one where they came with one
// push and are many, else part by part.
func (p *blamePrinter) part(fs []BlameField, depth int) {
	if len(fs) == 1 {
		p.line(fs[0], ": "+fs[0].Value)
		return
	}
	if depth > 0 && !p.all && len(fs) > maxApart && alike(fs) && !keyed(fs, depth) {
		f := fs[0]
		f.Path = diff.JoinSteps(f.steps[:depth])
		p.line(f, fmt.Sprintf(" (%d values)", len(fs)))
		return
	}
	for len(fs) > 0 {
		n := 1
		for n < len(fs) && step(fs[n], depth) == step(fs[0], depth) {
			n++
		}
		p.part(fs[:n], depth+1)
		fs = fs[n:]
	}
}

func step(f BlameField, depth int) string {
	if depth < len(f.steps) {
		return f.steps[depth]
	}
	return "\x00" + f.Value // the path ends here: each value is apart
}

func alike(fs []BlameField) bool {
	for _, f := range fs {
		if f.Push != fs[0].Push {
			return false
		}
	}
	return true
}

// keyed reports whether the next steps are keys of a list or map: filter_chains is
// never one part, a chain may be.
func keyed(fs []BlameField, depth int) bool {
	return strings.HasPrefix(step(fs[0], depth), "[")
}

// line prints a field or a part, under a heading that names push and owner.
func (p *blamePrinter) line(f BlameField, rest string) {
	if heading := p.heading(f); heading != p.last {
		p.last = heading
		p.b.WriteString(heading + "\n")
	}
	_ = wrapTo(&p.b, f.Path+rest, "    ", "      ", p.width) // a Builder takes everything
}

func (p *blamePrinter) heading(f BlameField) string {
	when := p.color.Bold(f.Push) + " " + f.Time.Format("2006-01-02 15:04:05.000")
	if f.Time.IsZero() {
		when = p.color.Bold("earlier") + ": before the history begins"
	}
	if f.Owner == nil {
		return when
	}
	return when + "  " + ownerText(f.Owner)
}
