package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

type blameOptions struct {
	source sourceFlags
	at     string
	output Format
}

func newBlame(app *App) *cobra.Command {
	var o blameOptions
	cmd := &cobra.Command{
		Use:   "blame [SIDECAR] TYPE/NAME",
		Short: "Say for each field of a resource which push brought it, and whose object",
		Long: `Says for each field of a resource, as it was pushed last, since which push it is as it
is, and which object it came from. Parts that came with one push are shown as one;
-o wide shows every value.`,
		Example: `  xdsproxy blame web-1.shop lds/0.0.0.0_3306
  xdsproxy blame listener/virtualOutbound --at HEAD~3 --file session.jsonl.gz
  xdsproxy blame 'cds/outbound|3306||mysql.demo' -o wide`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return runBlame(cmd.Context(), app, o, args) },
	}
	o.source.bind(app, cmd)
	cmd.Flags().StringVar(&o.at, "at", "HEAD", "revision")
	bindOutput(cmd, &o.output, FormatTable, FormatWide, FormatJSON, FormatJSONL, FormatYAML)
	return cmd
}

func runBlame(ctx context.Context, app *App, o blameOptions, args []string) error {
	res, ok := typedName(args[len(args)-1])
	if !ok {
		return Usagef("lds/0.0.0.0_3306, or 'cds/outbound|3306||mysql.demo'", "%q is not TYPE/NAME", args[len(args)-1])
	}
	rev, err := query.ParseRevision(o.at)
	if err != nil {
		return revisionFailure(err)
	}
	src, err := o.source.open(ctx, app)
	if err != nil {
		return err
	}
	defer src.close()
	id, err := src.sidecar(args[:len(args)-1])
	if err != nil {
		return src.end(err)
	}
	p, err := src.at(id, rev)
	if err != nil {
		return src.end(err)
	}
	r, err := src.blame(p, res)
	if err != nil {
		return src.end(err)
	}
	return src.end(printBlame(app, o.output, r))
}

// blame asks, and finds the owners.
func (s *source) blame(p query.Point, res xds.Resource) (BlameResult, error) {
	is := func(typ string) bool { return isType(typ, []string{res.Type}) }
	values, err := s.read.Blame(p.Sidecar, is, res.Name, p.Push)
	if err != nil {
		return BlameResult{}, s.blameFailure(res, err)
	}
	v := values[0].By
	out := BlameResult{
		APIVersion: xds.APIVersion, Sidecar: s.label(p.Sidecar), At: p.Revision.String(), Type: v.Type, Name: v.Name, Fields: []BlameField{},
	}
	owners, err := s.ownersOf(p.Sidecar, values)
	if err != nil {
		return out, err
	}
	for _, b := range values {
		out.Fields = append(out.Fields, BlameField{
			Path: b.Path(), Value: b.Value, Push: pushText(b.By.First), Time: b.By.Since.UTC(), Owner: owners.of(b), steps: b.Steps,
		})
	}
	return out, nil
}

func (s *source) blameFailure(res xds.Resource, err error) error {
	var none *query.NoResourceError
	var body *query.BodyError
	switch {
	case errors.As(err, &none):
		why := "it was not pushed by then, or had been removed"
		if len(none.Near) > 0 {
			why += "; there is " + strings.Join(none.Near, ", ")
		}
		return Fail(CodeNoResource, why, "xdsproxy get, or xdsproxy log -L "+res.Type+"/"+res.Name, "no %s %q", strings.ToUpper(res.Type), res.Name)
	case errors.As(err, &body):
		return Fail(CodeNoResource, "its content was not recorded, or is of a type that is not known here", "xdsproxy show "+pushText(body.Version.First)[1:], "%v", err)
	}
	return err
}
