// Package replay replays the recordings to a real Envoy with the built program.
package replay

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// binary is the xdsproxy under test, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "xdsproxy-replay-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "xdsproxy")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/xdsproxy").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building xdsproxy: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// envoy returns a real Envoy, or skips loudly; with CI=true its absence fails.
func envoy(t *testing.T) string {
	t.Helper()
	out, _ := exec.Command("../../hack/find-envoy").Output()
	if bin := strings.TrimSpace(string(out)); bin != "" {
		return bin
	}
	missing(t, "a real Envoy (set ENVOY_BIN, or run hack/get-envoy)")
	return ""
}

// missing skips for a user and fails in CI: a check that silently does not run is no
// check.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("needed and not here: %s", what)
	}
	t.Skipf("SKIPPED: needs %s", what)
}
