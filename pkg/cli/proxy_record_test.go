package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/store"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// TestProxyWithoutStore: a store that cannot be written is said, and traffic flows.
func TestProxyWithoutStore(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	locked := filepath.Join(dir, "locked")
	w, err := store.OpenWriter(store.Config{Dir: locked})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	lines := readSession(t, "13-istio-filters")
	for store, says := range map[string]string{file: "XP014", locked: "XP040"} {
		upstream, streams := replayServer(t)
		p := startTestProxy(t, proxyOptions{upstream: upstream, store: store})
		p.await("forwarding without recording into " + store + " [" + says)
		play(t, p.said("listen"), streams, lines)
		if status, body := p.get("/healthz"); status != 200 || !strings.HasPrefix(body, "degraded: nothing is recorded") {
			t.Errorf("health: %d %q", status, body)
		}
		p.stop()
	}
}

// TestProxyRecorderPanics: what fails while a store is opened costs the recording,
// not a connection.
func TestProxyRecorderPanics(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	w, err := store.OpenWriter(store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append([]xds.Record{{Kind: xds.KindGap, Gap: &xds.Gap{Reason: "x"}}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	upstream, streams := replayServer(t)
	p := startTestProxyAt(t, proxyOptions{upstream: upstream, store: dir}, func() time.Time { panic("planted-secret") })
	p.await("the recorder failed; forwarding goes on")
	play(t, p.said("listen"), streams, readSession(t, "13-istio-filters"))
	if status, body := p.get("/healthz"); status != 200 || !strings.HasPrefix(body, "degraded: nothing is recorded") {
		t.Errorf("health: %d %q", status, body)
	}
	p.stop()
	if strings.Contains(p.errs.String(), "planted-secret") {
		t.Error("the log says what the panic said")
	}
}

// TestCondition tells when something turns, not each time it is said.
func TestCondition(t *testing.T) {
	var c condition
	for i, step := range []struct {
		say   string
		turns bool
	}{{"", false}, {"a", true}, {"b", false}, {"", true}, {"", false}, {"c", true}} {
		if got := c.set(step.say); got != step.turns || c.get() != step.say {
			t.Errorf("step %d: turned %v", i, got)
		}
	}
}
