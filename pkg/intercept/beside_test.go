package intercept

import (
	"bytes"
	"compress/gzip"
	"slices"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// stalled is an observer that inflates nothing until it is let.
func stalled(t *testing.T, tap Tap, max int64) (*Observer, *Stats, func()) {
	t.Helper()
	o, stats := budgeted(t, tap, max)
	begun, let := make(chan struct{}), make(chan struct{})
	o.in.inflater.add(func() { close(begun); <-let })
	<-begun
	return o, stats, func() {
		close(let)
		o.Wait()
	}
}

func zipped(msg []byte) []byte {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write(msg)
	_ = w.Close()
	return z.Bytes()
}

// TestInflatedBeside: a compressed message does not keep the forwarding, and what
// came after it on its stream, the end too, is told after it.
func TestInflatedBeside(t *testing.T) {
	tap := &memory{}
	o, stats, let := stalled(t, tap, 0)
	h := openConn(t, o, adsSotW, "grpc-encoding", "gzip")
	h.down.message(1, 1, zipped(sotwResponse("a", "b")))
	h.down.message(1, 0, sotwResponse("c"))
	h.down.message(1, 1, zipped(sotwResponse("d", "e", "f")))
	h.down.message(1, 0, []byte{0x0a, 0x7f})
	h.Ended(h.Conn.Down)
	h.Close()
	if k := tap.kinds(); !slices.Equal(k, []xds.SightingKind{xds.SawOpen}) {
		t.Errorf("saw %v before anything was inflated", k)
	}
	let()
	want := []xds.SightingKind{xds.SawOpen, xds.SawResponse, xds.SawResponse, xds.SawResponse, xds.SawGap, xds.SawClose}
	if k := tap.kinds(); !slices.Equal(k, want) {
		t.Fatalf("saw %v, want %v", k, want)
	}
	for i, n := range []int{2, 1, 3} {
		if got := len(tap.seen[1+i].Msg.Chunks); got != n {
			t.Errorf("message %d has %d resources, want %d", i, got, n)
		}
	}
	if n := stats.AssemblyBytes(); n != 0 {
		t.Errorf("%d bytes still held", n)
	}
}

// TestInflatedBounded: what waits for a message is bounded, and what waits to be
// inflated; the rest is a gap in its place.
func TestInflatedBounded(t *testing.T) {
	tap := &memory{}
	o, stats, let := stalled(t, tap, 0)
	h := openConn(t, o, adsSotW, "grpc-encoding", "gzip")
	h.down.message(1, 1, zipped(sotwResponse("a")))
	for range 2 * maxParked {
		h.down.message(1, 0, sotwResponse("b"))
	}
	many := openConn(t, o, adsSotW, "grpc-encoding", "gzip")
	for range maxInflating + 5 {
		many.down.message(1, 1, zipped(sotwResponse("c")))
	}
	let()
	count := map[uint64]map[xds.SightingKind]int{1: {}, 2: {}}
	for _, s := range tap.seen {
		count[s.Stream][s.Kind]++
	}
	if c := count[1]; c[xds.SawResponse] != maxParked || c[xds.SawGap] != 1 {
		t.Errorf("behind one message: %v", c)
	}
	if c := count[2]; c[xds.SawResponse] != maxInflating-1 || c[xds.SawGap] != 6 {
		t.Errorf("waiting to be inflated: %v", c)
	}
	h.Close()
	many.Close()
	if n := stats.AssemblyBytes(); n != 0 {
		t.Errorf("%d bytes still held", n)
	}
}
