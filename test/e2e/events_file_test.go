package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestEventsFileHasTheLast: what the last pushes before a SIGTERM did is told,
// though the judge had not yet read them.
func TestEventsFileHasTheLast(t *testing.T) {
	lines := session(t, "01-seed-mysql-delta")[:22] // to the answers to the capture
	file := filepath.Join(t.TempDir(), "events.jsonl")
	pl := newPlayer(t)
	p := startProxy(t, filepath.Join(t.TempDir(), "store"), pl.addr, "--events-file", file)
	pl.proxy = p
	await(t, "the judge", func() bool { _, err := os.Stat(file); return err == nil })
	defer pl.end() // after the proxy: the streams are still open at the signal
	for _, l := range lines {
		if err := pl.step("unix://"+p.socket, l); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("xdsproxy proxy: %v\n%s", err, p.log.String())
	}
	told, err := os.ReadFile(file)
	if err != nil || strings.Count(string(told), `"kind":"dead-capture"`) != 1 {
		t.Errorf("%v, %q", err, told)
	}
}
