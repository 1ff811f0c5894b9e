package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/query"
)

type showOptions struct {
	source sourceFlags
	output Format
}

func newShow(app *App) *cobra.Command {
	var o showOptions
	cmd := &cobra.Command{
		Use:   "show [SIDECAR] REVISION",
		Short: "Show one push: its header, its answer, its resources",
		Long: `Shows the push that a revision ends with. Resources are marked against what had
been pushed before: + new, ~ changed, = the same bytes again, - removed. -o json
and -o yaml print them decoded.`,
		Example: "  xdsproxy show web-1.shop 41\n  xdsproxy show HEAD -o yaml --file session.jsonl.gz",
		Args:    cobra.MaximumNArgs(2),
		RunE:    func(cmd *cobra.Command, args []string) error { return runShow(cmd.Context(), app, o, args) },
	}
	o.source.bind(app, cmd)
	bindOutput(cmd, &o.output, FormatTable, FormatWide, FormatShort, FormatJSON, FormatJSONL, FormatYAML)
	return cmd
}

func runShow(ctx context.Context, app *App, o showOptions, args []string) error {
	sidecar, text, err := sidecarAndRevision(args, "HEAD")
	if err != nil {
		return err
	}
	rev, err := query.ParseRevision(text)
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
	d, err := src.read.Push(id, rev)
	if errors.Is(err, context.Canceled) {
		return err
	}
	if err != nil {
		return src.end(revisionFailure(err))
	}
	return src.end(printShow(app, src, o.output, showOf(src, d)))
}

// sidecarAndRevision tells the two apart: the last word is a revision when it
// looks like one.
func sidecarAndRevision(args []string, def string) (sidecar []string, rev string, err error) {
	switch {
	case len(args) == 0:
		return nil, def, nil
	case len(args) == 2:
		return args[:1], args[1], nil
	case query.IsRevision(args[0]):
		return nil, args[0], nil
	}
	return args, def, nil
}
