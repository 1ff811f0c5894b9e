package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func everyCommand(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, sub := range c.Commands() {
		everyCommand(sub, visit)
	}
}

// TestExamplesAreUnderstood parses every example of every help text as the
// command line would.
func TestExamplesAreUnderstood(t *testing.T) {
	n := 0
	everyCommand(newRoot(testApp(nil, nil), new(bool)), func(c *cobra.Command) {
		if c.Runnable() && c.Example == "" && !c.HasSubCommands() && c.Name() != "help" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			line = strings.TrimSpace(line)
			if args, ok := strings.CutPrefix(line, "xdsproxy "); ok {
				n++
				understood(t, line, words(args))
			}
		}
	})
	if n < 20 {
		t.Errorf("only %d examples", n)
	}
}

// words splits as a shell does, as far as the examples need it.
func words(line string) []string {
	line, _, _ = strings.Cut(line, " > ")
	line, _, _ = strings.Cut(line, " | ")
	line = strings.TrimRight(line, " &\\") // a line that goes on is tried as far as it goes
	quoted := rune(0)
	out := strings.FieldsFunc(line, func(r rune) bool {
		switch {
		case r == quoted:
			quoted = 0
		case quoted == 0 && (r == '\'' || r == '"'):
			quoted = r
		}
		return r == ' ' && quoted == 0
	})
	for i := range out {
		out[i] = strings.Trim(out[i], "'\"")
	}
	return out
}

func understood(t *testing.T, line string, args []string) {
	t.Helper()
	root := newRoot(testApp(nil, nil), new(bool)) // flags keep their values
	cmd, rest, err := root.Find(args)
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	if err != nil || cmd == root {
		t.Errorf("%s: %v", line, err)
	}
}

func TestCommandsAreListedOnce(t *testing.T) {
	everyCommand(newRoot(testApp(nil, nil), new(bool)), func(c *cobra.Command) {
		seen := map[string]bool{}
		for _, sub := range c.Commands() {
			for _, name := range append(sub.Aliases, sub.Name()) {
				if seen[name] {
					t.Errorf("%s has %q twice", c.CommandPath(), name)
				}
				seen[name] = true
			}
		}
	})
}

func TestHelpFitsTheScreen(t *testing.T) {
	everyCommand(newRoot(testApp(nil, nil), new(bool)), func(c *cobra.Command) {
		for _, text := range []string{c.Short, c.Long, c.Example} {
			for line := range strings.Lines(text) {
				if n := len(strings.TrimRight(line, "\n")); n > 100 {
					t.Errorf("%s: %d columns: %s", c.CommandPath(), n, line)
				}
			}
		}
	})
}

func TestSidecarsAreCompleted(t *testing.T) {
	for args, want := range map[string]string{
		"log":               "billing-b7db8cc46-99cx5.shop\n",
		"get listener":      "billing-b7db8cc46-99cx5.shop\n",
		"log -n nowhere":    ":4",
		"log billing extra": ":4",
	} {
		r := run(t, "", append(append([]string{"__complete"}, strings.Fields(args)...), "--file", recordings+"11-dns-capture/session.jsonl.gz", "")...)
		if !strings.Contains(r.stdout, want) || strings.Contains(want, ":4") && strings.Contains(r.stdout, "billing") {
			t.Errorf("%s: %q", args, r.stdout)
		}
	}
}
