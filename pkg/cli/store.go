package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/store"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

type storeOptions struct {
	store  string
	output Format
}

func newStore(app *App) *cobra.Command {
	cmd := &cobra.Command{Use: "store", Short: "Look at a store as a whole"}
	cmd.AddCommand(newStoreStat(app), newStoreVerify(app), newStorePrune(app))
	return group(cmd)
}

func (o *storeOptions) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.store, "store", "", "the store in `DIR` (default: $XDSPROXY_STORE, /var/lib/xdsproxy, $XDG_STATE_HOME/xdsproxy)")
	bindOutput(cmd, &o.output, FormatTable, FormatJSON, FormatYAML)
}

// dir finds the store in the order of the read commands.
func (o *storeOptions) dir(app *App) (string, error) {
	dir := cmpString(o.store, app.Getenv("XDSPROXY_STORE"))
	if dir != "" {
		return dir, cmp.Or(statFailure(dir), emptyFailure(dir))
	}
	for _, dir := range usualStores(app) {
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			return dir, nil
		}
	}
	return "", Fail(CodeNoSource, "--store was not given, XDSPROXY_STORE is not set, and there is no store at "+
		strings.Join(usualStores(app), " or "), "--store DIR of a running `xdsproxy proxy`", "no store to look at")
}

// emptyFailure tells a directory without anything of a store from a whole one.
func emptyFailure(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if _, missing := os.Stat(filepath.Join(dir, "LOCK")); err == nil && len(files) == 0 && missing != nil {
		return Fail(CodeNoSource, "it holds no segments", "--store DIR of `xdsproxy proxy` or `xdsproxy import`", "%s is not a store", dir)
	}
	return nil
}

// noDirectory refuses arguments: the directory is a flag everywhere.
func noDirectory(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return Usagef(cmd.CommandPath()+" --store "+args[0], "%s takes no argument: the directory goes after --store", cmd.CommandPath())
}

// StoreStat is what `store stat -o json` prints.
type StoreStat struct {
	APIVersion string `json:"apiVersion"`
	Store      string `json:"store"`
	store.Stats
}

func newStoreStat(app *App) *cobra.Command {
	var o storeOptions
	cmd := &cobra.Command{
		Use:     "stat",
		Short:   "Count what a store holds",
		Example: "  xdsproxy store stat\n  xdsproxy store stat --store ./history -o json",
		Args:    noDirectory,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runStoreStat(cmd.Context(), app, o) },
	}
	o.bind(cmd)
	return cmd
}

func runStoreStat(_ context.Context, app *App, o storeOptions) error {
	dir, err := o.dir(app)
	if err != nil {
		return err
	}
	st, err := store.Stat(dir)
	if err != nil {
		return readFailure(dir, err)
	}
	if machine(o.output) {
		return Emit(app.Stdout, o.output, StoreStat{xds.APIVersion, dir, st})
	}
	_, err = statTable(dir, st).WriteTo(app.Stdout)
	return err
}

func statTable(dir string, st store.Stats) *Table {
	t := &Table{}
	writing := ""
	if st.Writing {
		writing = ", one is at work"
	}
	t.Row("STORE", dir)
	t.Row("segments", fmt.Sprint(st.Segments))
	t.Row("writers", fmt.Sprint(st.Writers)+writing)
	t.Row("sidecars", fmt.Sprint(st.Sidecars))
	if st.LastSeq > 0 {
		t.Row("records", fmt.Sprintf("%d to %d", st.FirstSeq, st.LastSeq))
		t.Row("time", st.First.Format(time.RFC3339)+" to "+st.Last.Format(time.RFC3339))
	}
	for _, k := range []xds.Kind{xds.KindOpen, xds.KindRequest, xds.KindPush, xds.KindAnswer, xds.KindClose, xds.KindGap, xds.KindBase} {
		t.Row("  "+k.String(), fmt.Sprint(st.Records[k.String()]))
	}
	t.Row("bodies", fmt.Sprint(st.Bodies))
	t.Row("bytes pushed", fmt.Sprint(st.PushBytes))
	t.Row("bytes kept", fmt.Sprint(st.RawBytes))
	t.Row("bytes on disk", fmt.Sprint(st.DiskBytes))
	if st.Damaged > 0 {
		t.Row("damaged", fmt.Sprintf("%d places: xdsproxy store verify --store %s", st.Damaged, dir))
	}
	return t
}

// StoreReport is what `store verify -o json` prints.
type StoreReport struct {
	APIVersion string `json:"apiVersion"`
	Store      string `json:"store"`
	OK         bool   `json:"ok"`
	store.Report
}

func newStoreVerify(app *App) *cobra.Command {
	var o storeOptions
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check every byte of a store and name what is lost",
		Long: `Checks every checksum of a store, that each resource has the bytes that its digest
says, that each segment holds what its records name, and that no record is missing.
Names what is lost by file and offset. Changes nothing and may run beside a proxy.

Exits with 65 when something is damaged or missing. A write that was cut off at the
end, because its process was killed, is told and is no damage: the next writer cuts it.`,
		Example: "  xdsproxy store verify\n  xdsproxy store verify --store ./history -o json",
		Args:    noDirectory,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runStoreVerify(cmd.Context(), app, o) },
	}
	o.bind(cmd)
	return cmd
}

func runStoreVerify(_ context.Context, app *App, o storeOptions) error {
	dir, err := o.dir(app)
	if err != nil {
		return err
	}
	r, err := store.Verify(dir)
	if err != nil {
		return readFailure(dir, err)
	}
	if machine(o.output) {
		err = Emit(app.Stdout, o.output, StoreReport{xds.APIVersion, dir, r.OK(), r})
	} else {
		err = printVerify(app, dir, r)
	}
	if err != nil || r.OK() {
		return err
	}
	return Fail(CodeStoreDamaged, r.Problems[0].String(), "go on using it: every command reads the rest, and shows a gap where records are lost",
		"the store %s is damaged at %d places", dir, len(r.Problems))
}

func printVerify(app *App, dir string, r store.Report) error {
	t := &Table{Flex: 3}
	if len(r.Problems)+len(r.Torn) > 0 {
		t.Row("FILE", "OFFSET", "BYTES", "WHAT")
	}
	for _, p := range slices.Concat(r.Problems, r.Torn) {
		t.Row(p.File, fmt.Sprint(p.Offset), fmt.Sprint(p.Length), p.What)
	}
	if _, err := t.WriteTo(app.Stdout); err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	for range r.Torn {
		app.Note("the last write never finished; nothing that was there is lost, and the next writer cuts it")
	}
	if !r.OK() {
		return nil
	}
	_, err := fmt.Fprintf(app.Stdout, "%s is whole: %d segments, %d records, %d bodies, %d bytes\n", dir, r.Segments, r.Records, r.Bodies, r.Bytes)
	return err
}
