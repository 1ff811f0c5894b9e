package cli

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

type exportOptions struct {
	source       sourceFlags
	since, until string
	out          string
	dump         bool
	at           string
}

func newExport(app *App) *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export [SIDECAR] [A..B]",
		Short: "Write a history as a transcript (JSON Lines), or a moment of it as a config_dump",
		Long: `Writes a history as a transcript, which every read command takes as --file. A part,
by revisions or times, starts with what the sidecar held before. Without SIDECAR, all
sidecars (a range of pushes needs one).

--config-dump writes what one sidecar held at one moment in the form of Envoy's
/config_dump?include_eds, which istioctl proxy-config and others read with --file.
Secrets stay taken out.`,
		Example: "  xdsproxy export web-1.shop --since 2h -o incident.jsonl.gz\n  xdsproxy export web-1.shop 40..HEAD > part.jsonl\n  xdsproxy export web-1.shop --config-dump --at @{10m} -o dump.json",
		Args:    cobra.MaximumNArgs(2),
		RunE:    func(cmd *cobra.Command, args []string) error { return runExport(cmd.Context(), app, o, args) },
	}
	o.source.bind(app, cmd)
	cmd.Flags().StringVar(&o.since, "since", "", "from then on: 10m, 2h, 1d before now (of a file: before its end), or a time")
	cmd.Flags().StringVar(&o.until, "until", "", "until then")
	cmd.Flags().BoolVar(&o.dump, "config-dump", false, "write an Envoy config_dump instead")
	cmd.Flags().StringVar(&o.at, "at", "HEAD", "revision of the config_dump")
	cmd.Flags().StringVarP(&o.out, "output", "o", "-", "`FILE` to write; .gz and .zst are compressed")
	return cmd
}

func runExport(ctx context.Context, app *App, o exportOptions, args []string) error {
	src, err := o.source.open(ctx, app)
	if err != nil {
		return err
	}
	defer src.close()
	if o.dump {
		return src.end(exportDump(app, src, o, args))
	}
	opts, err := o.options(src, args)
	if err != nil {
		return src.end(err)
	}
	history := &part{Source: src.Source, read: src.read, from: opts.From}
	return src.end(writeOutput(app, o.out, func(w io.Writer) error { return transcript.Write(w, history, opts) }))
}

// options finds the records that the arguments mean.
func (o *exportOptions) options(src *source, args []string) (transcript.Options, error) {
	var opts transcript.Options
	rev := ""
	if len(args) > 0 && (len(args) == 2 || query.IsRevision(args[0])) {
		rev, args = args[len(args)-1], args[:len(args)-1]
	}
	ids, err := src.several(args)
	if err != nil {
		return opts, err
	}
	if len(args) > 0 || src.ns != "" {
		opts.Sidecars = ids
	}
	sp, err := (&spanFlags{since: o.since, until: o.until}).parse(src)
	if err != nil {
		return opts, err
	}
	if !sp.since.IsZero() || !sp.until.IsZero() {
		opts.From, opts.To, err = src.read.Between(ids, sp.since, sp.until)
		if err != nil || rev == "" {
			return opts, err
		}
	}
	if rev == "" {
		return opts, nil
	}
	id, err := src.sidecar(args)
	if err != nil {
		return opts, err
	}
	opts.Sidecars = []xds.Sidecar{id}
	r, err := query.ParseRange(rev)
	if err != nil {
		return opts, revisionFailure(err)
	}
	opts.From, opts.To, err = src.read.Sequence(id, r)
	return opts, revisionFailure(err)
}

// writeOutput writes a file, or standard output for "-", and compresses it as its
// name says. A file that could not be written whole is removed.
func writeOutput(app *App, path string, write func(io.Writer) error) error {
	if path == "-" {
		return write(app.Stdout)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return Fail(CodeWrite, err.Error(), "-o with another FILE, or - for standard output", "cannot write %s", path)
	}
	w, err := packer(f, path)
	if err == nil {
		err = errors.Join(write(w), w.Close())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(path) // the first error is the one to tell
		return Fail(CodeWrite, err.Error(), "-o with another FILE, or - for standard output", "cannot write %s", path)
	}
	return nil
}

func packer(w io.Writer, path string) (io.WriteCloser, error) {
	switch {
	case strings.HasSuffix(path, ".gz"):
		return gzip.NewWriter(w), nil
	case strings.HasSuffix(path, ".zst"):
		return zstd.NewWriter(w)
	}
	return nopCloser{w}, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
