package cli

import (
	"fmt"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// BisectResult is what `bisect -o json` prints.
type BisectResult struct {
	APIVersion string   `json:"apiVersion"`
	Sidecar    string   `json:"sidecar"`
	Good       string   `json:"good"`
	Bad        string   `json:"bad"`
	First      string   `json:"first"`   // the first bad push
	Skipped    []string `json:"skipped"` // pushes before it that may be it as well
	Tests      int      `json:"tests"`
	Push       *LogLine `json:"push"`
}

// tell prints the first bad push as log does.
func (b *bisecter) tell(found query.Bisection) error {
	if found.None || found.Before {
		return b.nothing(found)
	}
	line, err := b.line(found.First)
	if err != nil {
		return err
	}
	p := newLogPrinter(b.app, b.src, logOptions{output: b.o.output, patch: true})
	out := BisectResult{
		APIVersion: xds.APIVersion, Sidecar: b.src.label(b.id), Good: pushText(b.good), Bad: pushText(b.bad),
		First: pushText(found.First), Tests: found.Tests, Skipped: []string{},
	}
	for _, n := range found.Skipped {
		out.Skipped = append(out.Skipped, pushText(n))
	}
	if machine(b.o.output) {
		if line != nil {
			l := p.json(line)
			out.Push = &l
		}
		return Emit(b.app.Stdout, b.o.output, out)
	}
	if _, err := fmt.Fprintln(b.app.Stdout, b.sentence(out)); err != nil || line == nil {
		return err
	}
	return p.print(line)
}

func (b *bisecter) sentence(r BisectResult) string {
	s := fmt.Sprintf("first bad push: %s (%s of %d)", r.First, plural(r.Tests, "test", "tests"), b.bad-b.good)
	if len(r.Skipped) > 0 {
		s += "; or one of those that were skipped: " + strings.Join(r.Skipped, ", ")
	}
	return s
}

// line is the push with its events, nil where the log does not hold it.
func (b *bisecter) line(push uint64) (*query.Line, error) {
	for l, err := range b.src.read.Lines(b.ctx, query.WalkOptions{Sidecars: []xds.Sidecar{b.id}, Display: b.src.label}) {
		if err := b.src.partial(err); err != nil {
			return nil, err
		}
		if l != nil && l.IsPush() && l.Push.Number == push {
			return l, nil
		}
	}
	return nil, nil
}
