// Package faults breaks what the built program stands on, one fault a test: the
// disk, the store, the control plane, the client, the machine. What must hold
// through all of them is that both ends get the bytes that the other sent.
//
// Start with session (two ends of a forwarded connection that keep digests of
// their bytes) and proxy (the program under test). docs/reliability.md lists each
// fault with what is promised.
package faults

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/xdsproxy/xdsproxy/test/internal/program"
)

// binary is the xdsproxy under test, built once.
var binary string

var (
	prebuilt = flag.String("xdsproxy", "", "the program to test (default: built from this tree)")
	kills    = flag.Int("kills", 20, "how often TestKilled kills the proxy")
	restarts = flag.Int("restarts", 3, "how often TestReconnectionStorm restarts the proxy")
	soak     = flag.Duration("soak", 45*time.Second, "how long TestSoak runs after it has warmed up")
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(frozenVar); addr != "" {
		os.Exit(frozenClient(addr))
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	flag.Parse()
	if binary = *prebuilt; binary != "" {
		return m.Run()
	}
	built, remove, err := program.Build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	binary = built
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// needRoot skips for a user; as CI runs as root or not, it says so there too.
func needRoot(t *testing.T, what string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skipf("SKIPPED: needs root to %s", what)
	}
}

// needTool skips for a user and fails in CI: a check that silently does not run
// is no check.
func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("CI") == "true" && os.Getuid() == 0 {
		t.Fatalf("needed and not here: %s", name)
	}
	t.Skipf("SKIPPED: needs %s", name)
}
