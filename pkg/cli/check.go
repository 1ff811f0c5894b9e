package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

type checkOptions struct {
	source   sourceFlags
	which    whichFlags
	at       string
	rules    string
	expect   string
	failOn   string
	exitCode bool
	output   Format
}

// The formats of check for CI systems.
const (
	FormatSARIF Format = "sarif"
	FormatJUnit Format = "junit"
)

// CheckResult is what `check -o json` prints.
type CheckResult struct {
	APIVersion string          `json:"apiVersion"`
	Checked    []CheckedAt     `json:"checked"`
	Rules      []string        `json:"rules"` // that were on
	Findings   []judge.Finding `json:"findings"`

	rules  []judge.StateRule
	failOn xds.Severity
	source string
}

// CheckedAt is a sidecar that was checked, and at which revision.
type CheckedAt struct {
	Sidecar string `json:"sidecar"`
	At      string `json:"at"`
}

func newCheck(app *App) *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [SIDECAR]",
		Short: "Say what is wrong with what a sidecar holds, whenever it came; for CI",
		Long: `Looks at what takes traffic at one moment, and at nothing before: ports that a service
took as a whole, names that lead nowhere, rejected configuration that a restart
brings to light. Without SIDECAR, all sidecars are checked. Exits with 1 when
something at least as severe as --fail-on is found.

Rules, with the severity of what they find:
` + rulesHelp() + `
--rules FILE turns them on or off, or gives them another severity:
  rules:
    empty-cluster: high
    server-first-stall: off

--expect FILE holds destinations that matter, as JSON lines or as a YAML list; one
that does not end where it should is a finding:
  - destination: 10.10.13.110:3306
    signal: server-first
    verdict: passthrough`,
		Example: `  xdsproxy check web-1.shop --at HEAD~1
  xdsproxy check --file config_dump.json --fail-on high
  xdsproxy check --file session.jsonl.gz --expect expect.yaml -o junit
  xdsproxy check --rules rules.yaml -o sarif > check.sarif`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runCheck(cmd.Context(), app, o, args) },
	}
	o.source.bind(app, cmd)
	o.which.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&o.at, "at", "HEAD", "revision")
	f.StringVar(&o.rules, "rules", "", "read which rules are on from `FILE`")
	f.StringVar(&o.expect, "expect", "", "read destinations and where they should end from `FILE`, - for standard input")
	f.Var(newChoice(&o.failOn, string(xds.Medium), severityWords()...), "fail-on", "exit with 1 when something is found that is at least this severe")
	f.BoolVar(&o.exitCode, "exit-code", true, "with =false, exit with 0 whatever is found")
	bindOutput(cmd, &o.output, FormatTable, FormatShort, FormatJSON, FormatJSONL, FormatYAML, FormatSARIF, FormatJUnit)
	return cmd
}

func rulesHelp() string {
	var b strings.Builder
	for _, r := range judge.StateRules() {
		state := string(r.Severity)
		if !r.On {
			state += ", off"
		}
		_ = wrapTo(&b, fmt.Sprintf("%s (%s): %s", r.Name, state, r.Finds), "  ", "      ", defaultTextWidth) // a Builder takes everything
	}
	return b.String()
}

func runCheck(ctx context.Context, app *App, o checkOptions, args []string) error {
	rev, err := query.ParseRevision(o.at)
	if err != nil {
		return revisionFailure(err)
	}
	rules, expectRule, err := readRules(o.rules)
	if err != nil {
		return err
	}
	expect, err := readExpectations(app, o.expect)
	if err != nil {
		return err
	}
	src, err := o.source.open(ctx, app)
	if err != nil {
		return err
	}
	defer src.close()
	ids, err := src.several(args)
	if err != nil {
		return src.end(err)
	}
	c := &checker{src: src, which: o.which.which(), rules: rules, expectRule: expectRule, expect: expect}
	if err := c.know(); err != nil {
		return src.end(err)
	}
	out := CheckResult{APIVersion: xds.APIVersion, Rules: []string{}, Findings: []judge.Finding{}, rules: rules, failOn: xds.Severity(o.failOn), source: src.name}
	if len(expect) > 0 {
		out.rules = append(slices.Clone(rules), expectRule)
	}
	for _, r := range out.rules {
		if r.On {
			out.Rules = append(out.Rules, r.Name)
		}
	}
	if err := c.all(ctx, ids, rev, &out); err != nil {
		return src.end(err)
	}
	if err := printCheck(app, o.output, out); err != nil {
		return src.end(err)
	}
	if o.exitCode && slices.ContainsFunc(out.Findings, out.fails) {
		return src.end(ErrFound)
	}
	return src.end(nil)
}

// fails reports whether a finding is bad enough for exit status 1.
func (r CheckResult) fails(f judge.Finding) bool { return f.Severity.Rank() >= r.failOn.Rank() }

// checker checks sidecars of one source.
type checker struct {
	src        *source
	which      query.Which
	rules      []judge.StateRule
	expectRule judge.StateRule
	expect     []expectation
}

// all checks each sidecar. One of many that has no such revision is left out,
// with a warning: they did not start together.
func (c *checker) all(ctx context.Context, ids []xds.Sidecar, rev query.Revision, out *CheckResult) error {
	if len(ids) > 1 {
		ids = slices.DeleteFunc(slices.Clone(ids), xds.Sidecar.IsZero)
	}
	var last error
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, err := c.src.read.At(id, rev)
		var none *query.NoRevisionError
		switch {
		case errors.As(err, &none) && len(ids) > 1:
			last = revisionFailure(err)
			c.src.app.Warn("%s: %v; it is not checked", c.src.label(id), last)
			continue
		case errors.As(err, &none):
			return revisionFailure(err)
		case err != nil:
			if err := c.src.partial(err); err != nil {
				return err
			}
		}
		out.Checked = append(out.Checked, CheckedAt{Sidecar: c.src.label(id), At: p.Revision.String()})
		out.Findings = append(out.Findings, c.one(p)...)
	}
	if len(out.Checked) == 0 && last != nil {
		return last
	}
	if len(out.Checked) == 0 {
		return sidecarFailure(&query.SidecarError{}, c.src.name)
	}
	judge.SortFindings(out.Findings)
	return nil
}

// one checks a sidecar at a point.
func (c *checker) one(p query.Point) []judge.Finding {
	r := c.src.read
	view := r.View(p, c.which)
	found := judge.CheckState(judge.State{
		Sidecar: p.Sidecar, Display: c.src.label(p.Sidecar), Node: judge.NodeOf(p.Sidecar, r.Node(p.View.Node)),
		Snapshot: p.Snapshot(c.which), Accepted: p.View.Accepted, Rejected: p.View.Rejected,
		Cache: r.Cache(), View: view, Refs: r.Engine().Refs,
	}, c.rules)
	found = append(found, c.unmet(p, view)...)
	for i := range found {
		found[i].At, found[i].Uncertain = p.Revision.String(), p.Uncertain()
	}
	return found
}
