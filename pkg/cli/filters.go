package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/filter"
)

// takeFilter separates the words of a filter from the other arguments of a
// command: what begins with a key and a colon, "not", and the word behind it.
func takeFilter(args []string) (rest []string, f filter.Filter, err error) {
	var words []string
	for i := 0; i < len(args); i++ {
		if !filter.Looks(args[i]) {
			rest = append(rest, args[i])
			continue
		}
		words = append(words, args[i])
		if args[i] == "not" && i+1 < len(args) {
			i++
			words = append(words, args[i])
		}
	}
	f, err = parseFilter(strings.Join(words, " "))
	return rest, f, err
}

// parseFilter makes a wrong filter a usage error.
func parseFilter(text string) (filter.Filter, error) {
	f, err := filter.Parse(text)
	var se *filter.SyntaxError
	if errors.As(err, &se) {
		return f, Fail(CodeUsage, "help filters explains the language", se.Try, "cannot read the filter: %s", se.What)
	}
	return f, err
}

// filterArgs lets a command take at most n arguments beside a filter.
func filterArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		rest, _, err := takeFilter(args)
		if err == nil && len(rest) > n {
			err = fmt.Errorf("accepts at most %d arg(s) and a filter, received %q", n, rest)
		}
		return err
	}
}
