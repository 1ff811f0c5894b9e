package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/configdump"
	"github.com/xdsproxy/xdsproxy/pkg/filter"
	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// sourceFlags say which history a read command reads.
type sourceFlags struct {
	file, store, bootstrap, namespace string
}

func (f *sourceFlags) bind(app *App, cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.file, "file", "", "read a transcript or an Envoy config_dump (plain, gzip, zstd; - for standard input)")
	fl.StringVar(&f.store, "store", "", "read the store in `DIR` (default: $XDSPROXY_STORE, /var/lib/xdsproxy, $XDG_STATE_HOME/xdsproxy)")
	fl.StringVar(&f.bootstrap, "bootstrap", "", "bootstrap (JSON) or config_dump `FILE` that names the static clusters")
	fl.StringVarP(&f.namespace, "namespace", "n", "", "namespace of the sidecar")
	cmd.ValidArgsFunction = f.complete(app)
}

// source is an opened history and what was said about it.
type source struct {
	query.Source
	read     *query.Reader
	app      *App
	name     string // for messages
	live     bool   // grows: a store
	ns       string
	sidecars []xds.Sidecar
	labels   map[xds.Sidecar]string
	broken   error              // what ended reading early
	env      traffic.Env        // what no push tells
	dumps    []*configdump.Dump // what was read, none: it was no config_dump
	closer   func() error
}

// open finds the source in the order that doc.go's conventions promise: --file,
// --store, the environment, the usual places.
func (f *sourceFlags) open(ctx context.Context, app *App) (*source, error) {
	if f.file != "" && f.store != "" {
		return nil, Usagef("one of them", "--file and --store exclude each other")
	}
	s, err := f.find(app)
	if err != nil {
		return nil, err
	}
	s.app, s.ns = app, f.namespace
	if err := f.addBootstrap(s); err != nil {
		s.close()
		return nil, err
	}
	if s.sidecars, err = s.Sidecars(); err != nil {
		s.close()
		return nil, s.failure(err)
	}
	s.labels = query.Labels(s.sidecars)
	s.Source = interruptible(ctx, s.Source)
	cfg := query.Config{Source: s.Source, Env: s.env}
	if s.live {
		cfg.Now = app.Now
	}
	s.read = query.New(cfg)
	return s, nil
}

func (f *sourceFlags) find(app *App) (*source, error) {
	if f.file != "" {
		return openFile(app, f.file)
	}
	if f.store != "" {
		return openStore(app, f.store)
	}
	if dir := app.Getenv("XDSPROXY_STORE"); dir != "" {
		return openStore(app, dir)
	}
	for _, dir := range usualStores(app) {
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			return openStore(app, dir)
		}
	}
	return nil, Fail(CodeNoSource, "neither --file nor --store was given, XDSPROXY_STORE is not set, and there is no store at "+
		strings.Join(usualStores(app), " or "), "--file session.jsonl.gz, or --store DIR of a running `xdsproxy proxy`", "nothing to read")
}

func usualStores(app *App) []string {
	dirs := []string{"/var/lib/xdsproxy"}
	if d := app.Getenv("XDG_STATE_HOME"); d != "" {
		return append(dirs, filepath.Join(d, "xdsproxy"))
	}
	if h := app.Getenv("HOME"); h != "" {
		dirs = append(dirs, filepath.Join(h, ".local", "state", "xdsproxy"))
	}
	return dirs
}

func (s *source) close() {
	if s.closer != nil {
		_ = s.closer() // only read
	}
}

// label is a sidecar's name on display.
func (s *source) label(id xds.Sidecar) string {
	if l, ok := s.labels[id]; ok {
		return l
	}
	return id.Name()
}

// find resolves a sidecar argument, "" for the only one.
func (s *source) find(arg string) (xds.Sidecar, error) {
	id, err := query.FindSidecar(s.sidecars, arg, s.ns)
	if err != nil {
		return id, sidecarFailure(err, s.name)
	}
	return id, nil
}

// sidecar resolves the sidecar argument of a command (none: the only one) and
// tells what was chosen where the user did not say it in full.
func (s *source) sidecar(args []string) (xds.Sidecar, error) {
	arg := ""
	if len(args) > 0 {
		arg = args[0]
	}
	id, err := s.find(arg)
	if err == nil && arg != s.label(id) {
		s.app.Note("sidecar %s", s.label(id))
	}
	return id, err
}

// several resolves the sidecar argument of a command that works on all of them
// when none is named.
func (s *source) several(args []string) ([]xds.Sidecar, error) {
	if len(args) > 0 {
		id, err := s.sidecar(args)
		return []xds.Sidecar{id}, err
	}
	ids := query.InNamespace(s.sidecars, s.ns)
	if s.ns != "" && len(ids) == 0 {
		return nil, sidecarFailure(&query.SidecarError{}, s.name)
	}
	return ids, nil
}

// looksLikeRevision reports whether a word was meant as a moment or a range, also
// in a form that xdsproxy does not have: 4-9, 4:9, #4-#9.
func looksLikeRevision(s string) bool {
	return query.IsRevision(s) || s != "" && strings.Trim(s, "0123456789#-:.~@^") == ""
}

func sidecarFailure(err error, where string) error {
	var e *query.SidecarError
	if !errors.As(err, &e) {
		return err
	}
	near := strings.Join(e.Near, ", ")
	switch {
	case e.Total == 0:
		return Fail(CodeNoSidecar, "nothing was recorded of any sidecar, or of none in that namespace", "xdsproxy ps lists what there is", "no sidecar in %s", where)
	case e.Many && e.Arg == "":
		return Fail(CodeWhichSidecar, "there are "+near, "name one of them, or use -n NAMESPACE", "which of %d sidecars in %s?", e.Total, where)
	case e.Many:
		return Fail(CodeWhichSidecar, "it may be "+near, "name it in full, or use -n NAMESPACE", "which sidecar is %q in %s?", e.Arg, where)
	}
	if looksLikeRevision(e.Arg) {
		return Fail(CodeNoSidecar, "it looks like a revision or a range: those are 41, HEAD~2, @{10m} or A..B, and go to show, diff, export and --at; this names a sidecar",
			"xdsproxy diff [SIDECAR] A..B, or name a sidecar ("+near+")", "no sidecar %q in %s", e.Arg, where)
	}
	if key, _, ok := strings.Cut(e.Arg, ":"); ok && !strings.ContainsAny(key, "~./") {
		return Fail(CodeNoSidecar, "if it was meant as a filter: its key is one of "+filter.Keys()+"; the nearest sidecars are "+near,
			"xdsproxy help filters", "no sidecar %q in %s", e.Arg, where)
	}
	return Fail(CodeNoSidecar, "the nearest are "+near, "xdsproxy ps lists them all", "no sidecar %q in %s", e.Arg, where)
}

// broke notes that the history broke off; nil is nothing.
func (s *source) broke(err error) {
	if err != nil && s.broken == nil {
		s.broken = err
	}
}

// partial notes that the history broke off, so that what stands before can be used;
// an interruption is returned: nobody waits for that.
func (s *source) partial(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	s.broke(err)
	return nil
}

// end is how a command ends: with its own error, or with that of a history that
// broke off, after all that stands before was used.
func (s *source) end(err error) error {
	s.broke(s.read.BodyError())
	if s.broken == nil {
		return err
	}
	if err != nil && !errors.Is(err, ErrFound) {
		s.app.Warn("%v", s.broken)
		return err
	}
	return s.failure(s.broken)
}

// statFailure names what is in the way of a directory or file.
func statFailure(path string) error {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return openFailure(path, err)
	}
	return nil
}
