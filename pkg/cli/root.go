package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Main runs the command line args (without the program's name) and returns the
// exit status.
func Main(ctx context.Context, app *App, args []string) int {
	started := false
	root := newRoot(app, &started)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !started {
		err = usageError(cmd, err, args)
	}
	var e *Error
	if errors.As(err, &e) && e.Code == CodeUsage {
		err = explained(e, "usage: "+cmd.UseLine(), cmd.CommandPath()+" --help")
	}
	return report(app.Stderr, err, wantsJSON(args))
}

func newRoot(app *App, started *bool) *cobra.Command {
	root := &cobra.Command{
		Use:   "xdsproxy",
		Short: "Records what a control plane pushes to an Envoy, and says what it did to traffic",
		Long: `xdsproxy sits between an Envoy and its control plane, changes nothing, records
every push, and says what each push did to traffic: which destinations now end
somewhere else, where they went before, whose object did it, and how to get out.

Read commands take --file (a transcript or an Envoy config_dump) or --store.`,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRun:  func(*cobra.Command, []string) { *started = true },
	}
	root.SetIn(app.Stdin)
	root.SetOut(app.Stdout)
	root.SetErr(app.Stderr)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped 80"))
	root.PersistentFlags().Var(newChoice(&app.color, "auto", "auto", "always", "never"), "color", "colour: auto, always or never")
	root.PersistentFlags().BoolVarP(&app.quiet, "quiet", "q", false, "print no notes on stderr, only warnings and errors")
	for _, c := range commands() {
		root.AddCommand(c(app))
	}
	root.AddCommand(topics()...)
	narrow(root)
	return group(root)
}

// narrow wraps what the help of a command and of those below it says in prose, for
// a terminal of 80 columns. Indented lines stand as they are.
func narrow(cmd *cobra.Command) {
	paragraphs := strings.Split(cmd.Long, "\n\n")
	for i, p := range paragraphs {
		if strings.Contains("\n"+p, "\n ") {
			continue
		}
		var b strings.Builder
		if wrap(&b, p, "", defaultTextWidth) == nil {
			paragraphs[i] = strings.TrimSuffix(b.String(), "\n")
		}
	}
	cmd.Long = strings.Join(paragraphs, "\n\n")
	for _, c := range cmd.Commands() {
		narrow(c)
	}
}

// group makes cmd, which only holds subcommands, print its help when called
// alone and refuse unknown words as usage errors.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			return fmt.Errorf("unknown command %q for %q; did you mean %s?", args[0], c.CommandPath(), strings.Join(near, " or "))
		}
		return fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	return cmd
}

// usageError gives an error of flag or argument parsing its form.
func usageError(cmd *cobra.Command, err error, args []string) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	if word := unknownCommand(cmd, args); word != "" {
		err = cmd.Args(cmd, []string{word})
	}
	try := cmd.CommandPath() + " --help"
	return &Error{Code: CodeUsage, Message: err.Error(), Why: "usage: " + cmd.UseLine(), Try: try, Err: err}
}

// unknownCommand finds the word that was meant as a subcommand of cmd but is none:
// its flags are then unknown too, which is not what has to be said.
func unknownCommand(cmd *cobra.Command, args []string) string {
	if !cmd.HasSubCommands() {
		return ""
	}
	depth := strings.Count(cmd.CommandPath(), " ")
	for _, a := range args {
		switch {
		case strings.HasPrefix(a, "-"):
			return ""
		case depth == 0:
			return a
		}
		depth--
	}
	return ""
}

// wantsJSON looks for -o json or jsonl in args; flags may not have been parsed
// when an error must be printed.
func wantsJSON(args []string) bool {
	for i, a := range args {
		v, ok := "", false
		switch {
		case a == "--":
			return false
		case a == "-o" || a == "--output":
			ok = i+1 < len(args)
			if ok {
				v = args[i+1]
			}
		case strings.HasPrefix(a, "--output="):
			v, ok = strings.TrimPrefix(a, "--output="), true
		case strings.HasPrefix(a, "-o"):
			v, ok = strings.TrimPrefix(strings.TrimPrefix(a, "-o"), "="), true
		}
		if ok && slices.Contains([]string{"json", "jsonl"}, v) {
			return true
		}
	}
	return false
}
