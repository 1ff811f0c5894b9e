package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func printResolve(app *App, f Format, a ResolveAnswer) error {
	if machine(f) {
		return Emit(app.Stdout, f, a)
	}
	p := resolvePrinter{w: app.Stdout, color: app.Palette(), width: app.textWidth(), format: f}
	if a.Before == nil {
		return p.side("", ResolveSide{At: a.At, Verdicts: a.Verdicts, Uncertain: a.Uncertain}, a)
	}
	if err := p.side("before: ", *a.Before, a); err != nil {
		return err
	}
	return p.side("after: ", *a.After, a)
}

type resolvePrinter struct {
	w      io.Writer
	color  Palette
	width  int
	format Format
}

func (p resolvePrinter) side(word string, s ResolveSide, a ResolveAnswer) error {
	if p.format != FormatShort {
		if _, err := fmt.Fprintf(p.w, "%s%s at %s of %s\n", word, p.color.Bold(a.Destination), s.At, a.Sidecar); err != nil {
			return err
		}
	}
	for i := 0; i < len(s.Verdicts); {
		n := i + 1
		for n < len(s.Verdicts) && equalEnd(s.Verdicts[i], s.Verdicts[n]) {
			n++
		}
		if err := p.verdict(s.Verdicts[i:n]); err != nil {
			return err
		}
		i = n
	}
	for _, u := range s.Uncertain {
		if err := wrap(p.w, "uncertain: "+u, "  ", p.width); err != nil {
			return err
		}
	}
	return nil
}

// equalEnd reports whether two verdicts differ in their classes only.
func equalEnd(a, b xds.Verdict) bool {
	return a.Same(b) && a.Reason == b.Reason && slices.Equal(a.Path, b.Path)
}

// verdict prints what several classes of signals have in common.
func (p resolvePrinter) verdict(vs []xds.Verdict) error {
	v := vs[0]
	var classes []string
	for _, x := range vs {
		classes = append(classes, classText(x.Class))
	}
	text := p.paint(v)
	if len(v.Endpoints) > 0 {
		text += " -> " + endpointsText(v.Endpoints, p.format == FormatWide)
	}
	if err := wrapTo(p.w, strings.Join(classes, ", ")+": "+text, "  ", "      ", p.width); err != nil {
		return err
	}
	if p.format == FormatShort || len(v.Path) == 0 {
		return nil
	}
	return wrapTo(p.w, "via "+strings.Join(v.Path, " > "), "      ", "        ", p.width)
}

func (p resolvePrinter) paint(v xds.Verdict) string {
	text := verdictText(v)
	switch {
	case v.Kind == xds.Unknown || v.Kind == xds.Pending:
		return p.color.Yellow(text)
	case v.Usable():
		return p.color.Green(text)
	}
	return p.color.Red(text)
}

// endpointsText lists endpoints; the first three where there are many.
func endpointsText(eps []xds.Endpoint, all bool) string {
	var out []string
	for _, e := range eps {
		s := e.Address
		if e.Health != "" && e.Health != "healthy" {
			s += " (" + e.Health + ")"
		}
		out = append(out, s)
	}
	if all {
		return strings.Join(out, ", ")
	}
	return strings.ReplaceAll(shortList(out, 3), ",", ", ")
}
