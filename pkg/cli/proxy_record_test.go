package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/state"
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

// TestProxyStoreComesLate: what passes before the store can be opened is recorded
// once it can, behind a gap.
func TestProxyStoreComesLate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	w, err := store.OpenWriter(store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	upstream, streams := replayServer(t)
	p := startTestProxy(t, proxyOptions{upstream: upstream, store: dir})
	p.await("XP040")
	lines := readSession(t, "13-istio-filters")
	play(t, p.said("listen"), streams, lines)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	p.await("recording works again")
	awaitTrue(t, "the records", func() bool { return countKind(t, dir, xds.KindPush) == countPlayed(lines) })
	if status, body := p.get("/healthz"); status != 200 || body != "ok\n" {
		t.Errorf("health: %d %q", status, body)
	}
	p.stop()
	_, _, recs := storedRecords(t, dir)
	if recs[0].Kind != xds.KindGap || !strings.HasPrefix(recs[0].Gap.Reason, "recorder was not running: ") {
		t.Errorf("begins with %v %+v", recs[0].Kind, recs[0].Gap)
	}
}

// TestProxyStoreTakenAway: a store whose directory is removed under the proxy is
// begun again, with a gap, and the streams that are open still belong to whom they
// belonged.
func TestProxyStoreTakenAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	upstream, streams := replayServer(t)
	p := startTestProxy(t, proxyOptions{upstream: upstream, store: dir})
	lines := readSession(t, "13-istio-filters")
	half := len(lines) / 2
	rest := lines[half:]
	lines = append(slices.Clone(lines[:half]), played{Event: "do", do: func() {
		awaitTrue(t, "the records", func() bool { return countKind(t, dir, xds.KindPush) == countPlayed(lines[:half]) })
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		p.await("the store was taken away")
		awaitTrue(t, "a new store", func() bool { return strings.Count(p.errs.String(), `"message":"recording"`) == 2 })
	}})
	play(t, p.said("listen"), streams, append(lines, rest...))
	awaitTrue(t, "the records", func() bool { return countKind(t, dir, xds.KindPush) == countPlayed(rest) })
	p.stop()
	r, id, recs := storedRecords(t, dir)
	if ids, err := r.Sidecars(); err != nil || len(ids) != 1 || id.Name() == "?" {
		t.Errorf("sidecars %v, %v", ids, err)
	}
	if recs[0].Kind != xds.KindGap || recs[0].Gap.Reason != "the store was taken away" {
		t.Errorf("begins with %v %+v", recs[0].Kind, recs[0].Gap)
	}
	if last := recs[len(recs)-1]; last.Kind != xds.KindClose {
		t.Errorf("ends with %v", last.Kind)
	}
	if rep, err := store.Verify(dir); err != nil || !rep.OK() {
		t.Errorf("verify: %v, %+v", err, rep.Problems)
	}
}

// TestBasesForget: who has been gone for long is neither carried on nor kept.
func TestBasesForget(t *testing.T) {
	h := &history{fold: state.New(nil), newest: time.Unix(0, 0).Add(3 * baseAge)}
	gone, there := xds.Sidecar{Node: "gone"}, xds.Sidecar{Node: "there"}
	for i, id := range []xds.Sidecar{gone, there} {
		stream := uint64(i + 1)
		h.fold.Apply(xds.Record{Seq: stream, Kind: xds.KindOpen, Stream: stream, Sidecar: id, Open: &xds.Open{}, Time: time.Unix(0, 0)})
		h.fold.Apply(xds.Record{Seq: stream + 2, Kind: xds.KindRequest, Stream: stream, Sidecar: id, Request: &xds.Request{Type: xds.ListenerType}, Time: time.Unix(0, 0)})
	}
	h.fold.Apply(xds.Record{Seq: 5, Kind: xds.KindClose, Stream: 1, Sidecar: gone, Close: &xds.Close{}, Time: time.Unix(0, 0)})
	for _, b := range h.bases() {
		if b.Sidecar == gone {
			t.Error("who is gone is carried on")
		}
	}
	if all := h.fold.Sidecars(); !slices.Equal(all, []xds.Sidecar{there}) {
		t.Errorf("kept: %v", all)
	}
}

// TestHealth: what is small enough to fit on a full disk is no recovery, nor is one
// write between two that fail.
func TestHealth(t *testing.T) {
	var h health
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	body := func(n int) []xds.Body { return []xds.Body{{Bytes: make([]byte, n)}} }
	for i, step := range []struct {
		size int
		err  error
		at   int
		well bool
	}{{10, nil, 0, true}, {1000, errNoName, 1, false}, {10, nil, 2, false}, {1000, errNoName, 3, false}, {1000, nil, 3, false}, {10, nil, 4, true},
		{1000, errNoName, 5, false}, {10, nil, 14, false}, {10, nil, 15, true}} {
		h.appended(1, body(step.size), step.err, at(step.at))
		if got := h.well(at(step.at)); got != step.well {
			t.Errorf("step %d: well %v", i, got)
		}
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
