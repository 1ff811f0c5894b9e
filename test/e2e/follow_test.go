package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/xdsproxy/xdsproxy/test/internal/program"
)

// follow runs `xdsproxy log -f` on a store that is being written; the func it
// returns ends it and gives the lines that it printed.
func follow(t *testing.T, store string) func() []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, "log", "-f", "-o", "jsonl", "--store", store)
	var out program.Output
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() []string {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		return strings.Fields(strings.ReplaceAll(strings.TrimSpace(out.String()), " ", ""))
	}
}
