package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/configdump"
	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/store"
	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

type importOptions struct{ store, opaque string }

func newImport(app *App) *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Put transcripts and config_dumps into a store",
		Long: `Puts transcripts and config_dumps (plain, gzip, zstd; - for standard input) into a
store, one after the other, behind what it holds. Stream and push numbers go on
from there, so files with equal stream numbers do not mix; secrets are taken out as
in a live recording. A config_dump of a sidecar that the store knows is the next moment
of its history, so that several taken over time can be compared. Of a broken transcript, what stands before the broken line is kept.`,
		Example: "  xdsproxy import session.jsonl.gz --store ./history\n  xdsproxy events --store ./history",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runImport(cmd.Context(), app, o, args) },
	}
	cmd.Flags().StringVar(&o.store, "store", "", "the store's `DIR`, made where it is missing (default: $XDSPROXY_STORE)")
	cmd.Flags().Var(newChoice(&o.opaque, string(record.OpaqueBytes), string(record.OpaqueBytes), string(record.OpaqueDigest)), "opaque",
		"what is kept of configuration of unknown types, which cannot be searched for secrets: bytes or digest")
	return cmd
}

func runImport(ctx context.Context, app *App, o importOptions, files []string) (err error) {
	dir := cmpString(o.store, app.Getenv("XDSPROXY_STORE"))
	if dir == "" {
		return Usagef("--store DIR", "no store to import into")
	}
	im := &importer{app: app, opaque: o.opaque, fold: state.New(nil)}
	im.writer, err = store.OpenWriter(store.Config{Dir: dir, Bases: im.bases, Now: app.Now})
	if err != nil {
		return writeFailure(dir, err)
	}
	defer func() { err = errors.Join(err, im.writer.Close()) }()
	if seq, _ := im.writer.Last(); seq > 0 {
		if err := seed(ctx, im.fold, dir, seq); err != nil {
			return fmt.Errorf("reading the end of the store %s: %w", dir, err)
		}
	}
	for _, f := range files {
		if err := im.file(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// writeFailure gives the errors of opening a store for writing their form.
func writeFailure(dir string, err error) error {
	if errors.Is(err, store.ErrLocked) {
		return Fail(CodeStoreLocked, "a store has one writer, for example a running `xdsproxy proxy`", "another --store, or stop the writer", "cannot write to the store %s", dir)
	}
	return readFailure(dir, err)
}

// importer appends histories to a store.
type importer struct {
	app    *App
	opaque string
	writer *store.Writer
	fold   *state.Fold // what new segments start with
	n      struct{ records, pushes int }
}

// Append is the recorder's way to the store.
func (im *importer) Append(recs []xds.Record, bodies []xds.Body) error {
	if err := im.writer.Append(recs, bodies); err != nil {
		return err
	}
	for _, r := range recs {
		im.fold.Apply(r)
		im.n.records++
		if r.Kind == xds.KindPush {
			im.n.pushes++
		}
	}
	return nil
}

// Has reports whether the store holds a body.
func (im *importer) Has(d xds.Digest) bool { return im.writer.Has(d) }

func (im *importer) bases() []xds.Record {
	var out []xds.Record
	for _, id := range im.fold.Sidecars() {
		if b, ok := im.fold.Base(id); ok {
			out = append(out, b)
		}
	}
	return out
}

// file imports one file. A config_dump goes the way of a transcript, which takes
// secrets out.
func (im *importer) file(ctx context.Context, path string) error {
	src, err := openFile(im.app, path)
	if err != nil {
		return err
	}
	if len(src.dumps) > 0 {
		if err := im.join(src); err != nil {
			return err
		}
	}
	in, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.CloseWithError(transcript.Write(w, src, transcript.Options{}))
	}()
	im.n.records, im.n.pushes = 0, 0
	err = im.lines(ctx, in, path)
	_ = in.CloseWithError(context.Canceled) // lets the writer go
	<-done
	if err != nil {
		return fmt.Errorf("importing %s: %w", path, err)
	}
	im.app.Note("%s: %s, %s", path, plural(im.n.records, "record", "records"), plural(im.n.pushes, "push", "pushes"))
	if src.broken != nil {
		return src.failure(src.broken)
	}
	return nil
}

// join puts config_dumps behind what the store knows of their sidecars, whose streams
// end there.
func (im *importer) join(src *source) error {
	if err := src.joinDumps(im.fold); err != nil {
		return err
	}
	ids, err := src.Sidecars()
	for _, id := range ids {
		if err := im.leave(src, id); err != nil {
			return err
		}
	}
	return err
}

// leave ends the streams that a sidecar has in the store, where its dump begins.
func (im *importer) leave(src *source, id xds.Sidecar) error {
	for rec, err := range src.Records(id, 0) {
		if err != nil {
			return err
		}
		view, _ := im.fold.View(id)
		for _, st := range view.Streams {
			if err := im.Append([]xds.Record{configdump.Left(id, st.ID, rec.Time)}, nil); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

func (im *importer) lines(ctx context.Context, in io.Reader, name string) error {
	pushes, err := im.writer.LastPushes()
	if err != nil {
		return fmt.Errorf("reading the last push numbers: %w", err)
	}
	_, stream := im.writer.Last()
	rec, err := record.New(record.Config{Log: im, Key: im.writer.Key(), Opaque: record.Opaque(im.opaque), Pushes: pushes, StreamOffset: stream})
	if err != nil {
		return err
	}
	for s, err := range transcript.Sightings(in, name, func(w string) { im.app.Warn("%s", w) }) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = rec.Sight(s)
		}
		if err != nil {
			return errors.Join(err, rec.Close())
		}
	}
	return rec.Close()
}
