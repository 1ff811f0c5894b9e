package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// FindingLine is one line of `check -o jsonl`.
type FindingLine struct {
	APIVersion string `json:"apiVersion"`
	judge.Finding
}

func printCheck(app *App, f Format, r CheckResult) error {
	switch f {
	case FormatSARIF:
		return Emit(app.Stdout, FormatJSON, sarifOf(r, buildVersion(app.Version).Version))
	case FormatJUnit:
		return writeJUnit(app.Stdout, r)
	case FormatJSON, FormatYAML:
		return Emit(app.Stdout, f, r)
	case FormatJSONL:
		for _, x := range r.Findings {
			if err := Emit(app.Stdout, f, FindingLine{APIVersion: xds.APIVersion, Finding: x}); err != nil {
				return err
			}
		}
		return nil
	}
	p := checkPrinter{w: app.Stdout, color: app.Palette(), width: app.textWidth(), short: f == FormatShort, many: len(r.Checked) > 1}
	return p.print(r)
}

// checkPrinter writes findings for people.
type checkPrinter struct {
	w           io.Writer
	color       Palette
	width       int
	short, many bool
}

func (p checkPrinter) print(r CheckResult) error {
	var b strings.Builder
	for _, f := range r.Findings {
		p.finding(&b, f)
	}
	if !p.short {
		p.end(&b, r)
	}
	_, err := io.WriteString(p.w, b.String())
	return err
}

// finding prints one; a Builder takes everything.
func (p checkPrinter) finding(b *strings.Builder, f judge.Finding) {
	where := ""
	if p.many {
		where = f.Sidecar + " "
	}
	if p.short {
		fmt.Fprintf(b, "%s%s %s: %s\n", where, f.Severity, f.Rule, f.Summary)
		return
	}
	sev := p.color.Severity(f.Severity) + strings.Repeat(" ", max(0, 8-len(f.Severity)))
	fmt.Fprintf(b, "%s  %s\n", sev, where+p.color.Bold(f.Rule))
	_ = wrap(b, f.Summary, checkIndent, p.width)
	if o := ownerText(f.Owner); o != "" {
		_ = wrap(b, "owner: "+o, checkIndent, p.width)
	}
	for _, u := range f.Uncertain {
		_ = wrap(b, "uncertain: "+u, checkIndent, p.width)
	}
	for _, m := range f.Remedies {
		_ = wrapTo(b, m.Title, checkIndent+"- ", checkIndent+"  ", p.width)
	}
}

const checkIndent = "          "

// end says what was looked at: nothing found is only worth something with that.
func (p checkPrinter) end(b *strings.Builder, r CheckResult) {
	who := r.Checked[0].Sidecar + " at " + r.Checked[0].At
	if p.many {
		who = plural(len(r.Checked), "sidecar", "sidecars")
	}
	failing := 0
	for _, f := range r.Findings {
		if r.fails(f) {
			failing++
		}
	}
	said := "nothing found"
	if len(r.Findings) > 0 {
		said = fmt.Sprintf("%s, %d at least %s", plural(len(r.Findings), "finding", "findings"), failing, r.failOn)
	}
	fmt.Fprintf(b, "%s: %s (%s)\n", who, said, plural(len(r.Rules), "rule", "rules"))
}
