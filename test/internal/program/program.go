// Package program is what tests of the built program share: building it, reading
// what it says, and finding the tools they need.
package program

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Build puts xdsproxy into a directory of its own and returns its path, and what
// removes it again. It is for TestMain, two folders below the module.
func Build() (binary string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "xdsproxy-test-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	binary = filepath.Join(dir, "xdsproxy")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/xdsproxy").CombinedOutput(); err != nil {
		remove()
		return "", nil, fmt.Errorf("building xdsproxy: %w\n%s", err, out)
	}
	return binary, remove, nil
}

// Main builds the program, runs the tests with it and returns the exit status.
func Main(m *testing.M, binary *string) int {
	built, remove, err := Build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	*binary = built
	return m.Run()
}

// Envoy returns a real Envoy, or skips loudly; with CI=true its absence fails.
func Envoy(t *testing.T) string {
	t.Helper()
	out, _ := exec.Command("../../hack/find-envoy").Output() // nothing found is told below
	bin := strings.TrimSpace(string(out))
	if bin == "" {
		Missing(t, "a real Envoy (set ENVOY_BIN, or run hack/get-envoy)")
	}
	return bin
}

// Missing skips for a user and fails in CI: a check that silently does not run is no
// check.
func Missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("needed and not here: %s", what)
	}
	t.Skipf("SKIPPED: needs %s", what)
}

// Output collects what a process says while the test reads it.
type Output struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
