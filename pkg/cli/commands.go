package cli

import "github.com/spf13/cobra"

// commands lists the constructors of all commands, in the order of the help.
func commands() []func(*App) *cobra.Command {
	return []func(*App) *cobra.Command{
		newProxy,
		newDemo,
		newEvents,
		newGet,
		newPs,
		newLog,
		newGrep,
		newBlame,
		newBisect,
		newDiff,
		newShow,
		newResolve,
		newCheck,
		newDoctor,
		newStore,
		newReplay,
		newExport,
		newImport,
		newCompletion,
		newVersion,
	}
}
