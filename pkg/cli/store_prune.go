package cli

import (
	"cmp"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/store"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// StorePruned is what `store prune -o json` prints.
type StorePruned struct {
	APIVersion string `json:"apiVersion"`
	Store      string `json:"store"`
	DryRun     bool   `json:"dryRun"`
	store.Pruned
}

type pruneOptions struct {
	storeOptions
	age   time.Duration
	bytes int64
	dry   bool
}

func newStorePrune(app *App) *cobra.Command {
	var o pruneOptions
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Delete the oldest history of a store",
		Long: `Deletes the oldest segments of a store: those whose newest record is older than
--older-than, and as many as it takes to get down to --keep-bytes. The newest segment
is never deleted. What is left can be read from its start: each segment begins with
what every sidecar held.

May run beside a proxy, which does the same by itself (proxy --retain-age,
--retain-bytes). Who is reading what is deleted goes on behind a gap.`,
		Example: "  xdsproxy store prune --older-than 3d\n  xdsproxy store prune --store ./history --keep-bytes 64MiB --dry-run",
		Args:    noDirectory,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fl := cmd.Flags()
			if !fl.Changed("older-than") && !fl.Changed("keep-bytes") || o.age == 0 && o.bytes == 0 {
				return Usagef("--older-than 7d, or --keep-bytes 256MiB", "how much to keep is not said")
			}
			return runStorePrune(app, o)
		},
	}
	o.bind(cmd)
	cmd.Flags().Var(newAge(&o.age, 0), "older-than", "delete what is older: 7d, 36h; 0: no matter how old")
	cmd.Flags().Var(newLimit(&o.bytes, 0), "keep-bytes", "delete the oldest until no more than that is left")
	cmd.Flags().BoolVar(&o.dry, "dry-run", false, "delete nothing, tell what would be deleted")
	return cmd
}

func runStorePrune(app *App, o pruneOptions) error {
	dir, err := o.dir(app)
	if err != nil {
		return err
	}
	p, err := store.Prune(dir, store.Limits{OlderThan: o.age, KeepBytes: o.bytes}, app.Now(), o.dry)
	if err != nil && len(p.Removed) == 0 {
		return readFailure(dir, err)
	}
	if machine(o.output) {
		return cmp.Or(err, Emit(app.Stdout, o.output, StorePruned{xds.APIVersion, dir, o.dry, p}))
	}
	return cmp.Or(err, printPruned(app, dir, o.dry, p))
}

func printPruned(app *App, dir string, dry bool, p store.Pruned) error {
	t := &Table{}
	if len(p.Removed) > 0 {
		t.Row("DELETED", "BYTES", "RECORDS", "BEGUN")
	}
	var bytes, kept int64
	for _, s := range p.Removed {
		bytes += s.Bytes
		t.Row(s.File, fmt.Sprint(s.Bytes), fmt.Sprintf("%d to %d", s.First, s.Last), s.Created.UTC().Format(time.RFC3339))
	}
	for _, s := range p.Kept {
		kept += s.Bytes
	}
	if _, err := t.WriteTo(app.Stdout); err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	verb := "deleted"
	if dry {
		verb = "would delete"
	}
	_, err := fmt.Fprintf(app.Stdout, "%s: %s %d segments, %d bytes; left: %d segments, %d bytes\n", dir, verb, len(p.Removed), bytes, len(p.Kept), kept)
	if err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	return nil
}
