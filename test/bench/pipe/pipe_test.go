package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

var binary string // xdsproxy, built once

// TestMain lets the test program play the roles of a measurement.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "role-") {
		exit(role(os.Args[1], os.Args[2:]))
	}
	dir, err := os.MkdirTemp("", "xdsproxy-pipe-")
	if err != nil {
		exit(err)
	}
	binary = filepath.Join(dir, "xdsproxy")
	if out, err := exec.Command("go", "build", "-o", binary, "../../../cmd/xdsproxy").CombinedOutput(); err != nil {
		exit(fmt.Errorf("building xdsproxy: %w: %s", err, out))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

func testBench(t *testing.T) *bench {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &bench{report: &report{}, dir: t.TempDir(), self: self, xdsproxy: binary, quick: true, rounds: 1}
}

func testWorld(t *testing.T, b *bench) *world {
	t.Helper()
	w, err := b.world(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

// TestEveryModeForwards pushes through every mode that is measured: what arrives
// must be what was sent, or its figures say nothing.
func TestEveryModeForwards(t *testing.T) {
	w := testWorld(t, testBench(t))
	names := []string{"direct", "splice", "copy", "off", "on", "judge", "split", "grpc-ref", "grpc-decode", "split tls", "copy tls"}
	if _, err := exec.LookPath("haproxy"); err == nil {
		names = append(names, "haproxy")
	}
	for _, name := range names {
		var more []string
		if strings.HasSuffix(name, " tls") {
			more = []string{"-upstream", w.server.at.TLS, "-ca", w.cert, "-cert", w.cert, "-key", w.key}
		}
		m, err := w.add(t.Context(), name, more...)
		if err != nil {
			t.Fatal(err)
		}
		if more != nil {
			m.ca = w.cert
		}
		if err := w.checked(m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// checked pushes three times, a tenth of it new each time, and compares digests.
func (w *world) checked(m *mode) error {
	name := id(m, "checked")
	if _, err := m.open(w.client, command{ID: name, Payload: "700000", Churn: .1, Digest: true}); err != nil {
		return err
	}
	r, err := w.client.tell(command{Op: "push", ID: name, Count: 3})
	if err != nil {
		return err
	}
	if r.Count != 3 || r.Bytes < 3*690_000 {
		return fmt.Errorf("%d messages, %d bytes have arrived", r.Count, r.Bytes)
	}
	_, err = w.client.tell(command{Op: "digest", ID: name})
	return err
}

// TestWhatIsRecorded: the store behind a measured mode holds what was pushed.
func TestWhatIsRecorded(t *testing.T) {
	w := testWorld(t, testBench(t))
	m, err := w.add(t.Context(), "on")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.checked(m); err != nil {
		t.Fatal(err)
	}
	if err := m.proxy.stop(); err != nil { // what waits is written
		t.Fatal(err)
	}
	k, err := keptIn(m.store)
	if err != nil {
		t.Fatal(err)
	}
	if k.pushes != 3 || k.bodyless != 0 || k.gaps != 0 {
		t.Errorf("recorded: %+v; 3 pushes were sent", k)
	}
}

// TestChurnChangesOnlyWhatItSays: a share of the resources, and no length.
func TestChurnChangesOnlyWhatItSays(t *testing.T) {
	rec, err := large()
	if err != nil {
		t.Fatal(err)
	}
	all, err := rec.multiply(typeOf("1"), 5000, largeNames)
	if err != nil {
		t.Fatal(err)
	}
	p := newPayload(typeOf("1"), all)
	before := resourcesOf(p.buf)
	p.churn(.01)
	after := resourcesOf(p.buf)
	changed := 0
	seen := map[string]bool{}
	for i := range before {
		if len(before[i]) != len(after[i]) || clusterName(before[i]) != clusterName(after[i]) {
			t.Fatalf("resource %d is another one", i)
		}
		seen[clusterName(after[i])] = true
		if string(before[i]) != string(after[i]) {
			changed++
		}
	}
	if changed != 50 || len(seen) != 5000 {
		t.Errorf("%d of %d different resources have changed, want 50 of 5000", changed, len(seen))
	}
}
