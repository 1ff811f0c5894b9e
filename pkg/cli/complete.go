package cli

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/query"
)

// complete offers the sidecars of the source as the first argument of a command.
// Nothing is said about what goes wrong: the user is still typing.
func (f *sourceFlags) complete(app *App) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		silent := *app
		silent.Stderr = io.Discard
		src, err := f.open(cmd.Context(), &silent)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer src.close()
		var out []cobra.Completion
		for _, id := range query.InNamespace(src.sidecars, src.ns) {
			if !id.IsZero() {
				out = append(out, src.label(id))
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}
