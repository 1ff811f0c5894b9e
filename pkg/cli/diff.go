package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

type diffOptions struct {
	source   sourceFlags
	which    whichFlags
	types    []string
	exitCode bool
	output   Format
}

// DiffResult is what `diff -o json` prints.
type DiffResult struct {
	APIVersion string       `json:"apiVersion"`
	Sidecar    string       `json:"sidecar,omitempty"` // none where two are compared
	From       string       `json:"from"`
	To         string       `json:"to"`
	Changes    []xds.Change `json:"changes"`
	Shifts     []xds.Shift  `json:"shifts"`
	Uncertain  []string     `json:"uncertain,omitempty"`
}

func newDiff(app *App) *cobra.Command {
	var o diffOptions
	cmd := &cobra.Command{
		Use:   "diff [SIDECAR] A..B | diff SIDE SIDE",
		Short: "Say what differs between two moments, sidecars or files: where traffic goes, and which resources",
		Long: `Compares what a sidecar held at two revisions: first where traffic goes, then which
resources differ. One revision alone means what that push did: 41 is 41~1..41.

Two sides compare two sidecars, or two histories: each is [PATH:][SIDECAR][:REVISION],
where PATH is a store, a transcript or an Envoy config_dump; HEAD without a revision.

Exits with 1 when anything differs.`,
		Example: `  xdsproxy diff web-1.shop 40..42
  xdsproxy diff web-1.shop:41 web-2.shop
  xdsproxy diff before.jsonl.gz config_dump.json
  xdsproxy diff web-1.shop @{10m}..HEAD
  xdsproxy diff HEAD~3..HEAD --file session.jsonl.gz -o json`,
		Args: cobra.RangeArgs(0, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return runDiff(cmd.Context(), app, o, args) },
	}
	o.source.bind(app, cmd)
	o.which.bind(cmd)
	cmd.Flags().StringSliceVar(&o.types, "type", nil, "only changes of these types: lds, cds, rds, eds, ... or a type URL")
	cmd.Flags().BoolVar(&o.exitCode, "exit-code", true, "with =false, exit with 0 when something differs")
	bindOutput(cmd, &o.output, FormatTable, FormatWide, FormatShort, FormatJSON, FormatJSONL, FormatYAML)
	return cmd
}

func runDiff(ctx context.Context, app *App, o diffOptions, args []string) error {
	if twoSides(args) {
		d, err := diffSides(ctx, app, o, args)
		if err != nil {
			return err
		}
		return o.report(app, d)
	}
	sidecar, text, err := sidecarAndRevision(args, "HEAD")
	if err != nil {
		return err
	}
	r, err := query.ParseRange(text)
	if err != nil {
		return revisionFailure(err)
	}
	src, err := o.source.open(ctx, app)
	if err != nil {
		return err
	}
	defer src.close()
	id, err := src.sidecar(sidecar)
	if err != nil {
		return src.end(err)
	}
	d, err := src.diff(id, r, o)
	if err != nil {
		return src.end(err)
	}
	return src.end(o.report(app, d))
}

// report prints the differences and finds the exit status.
func (o *diffOptions) report(app *App, d DiffResult) error {
	if err := printDiff(app, o.output, d); err != nil {
		return err
	}
	if o.exitCode && (len(d.Changes) > 0 || len(d.Shifts) > 0) {
		return ErrFound
	}
	return nil
}

func (s *source) diff(id xds.Sidecar, r query.Range, o diffOptions) (DiffResult, error) {
	points, err := s.read.AtMany(id, []query.Revision{r.From, r.To})
	if len(points) == 0 {
		return DiffResult{}, err
	}
	if err := s.partial(err); err != nil {
		return DiffResult{}, err
	}
	for _, p := range points {
		if p.Err != nil {
			return DiffResult{}, revisionFailure(p.Err)
		}
	}
	a, b, w := points[0].Point, points[1].Point, o.which.which()
	old := s.read.View(a, w)
	out := DiffResult{
		APIVersion: xds.APIVersion, Sidecar: s.label(id), From: a.Revision.String(), To: b.Revision.String(),
		Changes: s.read.Differ().Changes(a.Snapshot(w), b.Snapshot(w)),
		Shifts:  s.read.Engine().Compare(old, s.read.View(b, w)),
	}
	out.Uncertain = b.Uncertain()
	out.Changes = listed(ofTypes(out.Changes, o.types))
	if out.Shifts == nil {
		out.Shifts = []xds.Shift{}
	}
	return out, nil
}
