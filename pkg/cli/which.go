package cli

import (
	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/query"
)

// whichFlags choose between the three snapshots of a sidecar.
type whichFlags struct{ offered, accepted bool }

func (f *whichFlags) bind(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.offered, "offered", false, "use what was pushed, instead of what takes traffic")
	cmd.Flags().BoolVar(&f.accepted, "accepted", false, "use what was acknowledged, instead of what takes traffic")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if f.offered && f.accepted {
			return Usagef("one of them", "--offered and --accepted exclude each other")
		}
		return nil
	}
}

func (f whichFlags) which() query.Which {
	switch {
	case f.offered:
		return query.Offered
	case f.accepted:
		return query.Accepted
	}
	return query.Active
}
