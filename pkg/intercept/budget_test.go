package intercept

import (
	"encoding/binary"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// budgeted is an observer that may hold max bytes.
func budgeted(tb testing.TB, tap Tap, max int64) (*Observer, *Stats) {
	tb.Helper()
	stats := &Stats{}
	o, err := NewObserver(ObserverConfig{Tap: tap, Stats: stats, MaxBytes: max})
	if err != nil {
		tb.Fatal(err)
	}
	return o, stats
}

// TestScratchIsGivenBack: large resources that span reads cost what one of them
// costs, not all of them until their message ends.
func TestScratchIsGivenBack(t *testing.T) {
	tap := &memory{}
	o, stats := budgeted(t, tap, 1<<20)
	h := openConn(t, o, adsDelta)
	var msg []byte // one resource twenty times: one body
	one := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), anyOf(xds.ClusterType, "c", 300<<10))
	for range 20 {
		msg = protowire.AppendBytes(protowire.AppendTag(msg, 2, protowire.BytesType), one)
	}
	h.respond(msg)
	if high := stats.assemblyHighest.Load(); high > 700<<10 {
		t.Errorf("%d bytes held for resources of 300 KiB", high)
	}
	for i, c := range ofKind(tap.seen, xds.SawResponse)[0].Msg.Chunks {
		if c.State == xds.ChunkBodyless {
			t.Fatalf("resource %d lost its body", i)
		}
	}
}

// TestDetachedGivesBack: who is not read any further holds nothing while its
// connection lasts.
func TestDetachedGivesBack(t *testing.T) {
	tap := &memory{}
	o, stats := budgeted(t, tap, 1<<20)
	h := openConn(t, o, adsSotW)
	msg := anyOf(xds.ClusterType, "c", 100<<10)
	head := protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.BytesType), uint64(len(msg)))
	b := append(binary.BigEndian.AppendUint32([]byte{0}, 1<<20), head...)
	_ = h.down.WriteData(1, false, append(b, msg[:50<<10]...))
	h.down.flush()
	if stats.AssemblyBytes() == 0 {
		t.Fatal("nothing is held for a message under way")
	}
	_ = h.down.WriteContinuation(1, true, nil)
	h.down.flush()
	if stats.Detached.Load() != 1 || stats.AssemblyBytes() != 0 {
		t.Errorf("detached %d, %d bytes held", stats.Detached.Load(), stats.AssemblyBytes())
	}
	h.Close()
}

// TestParkedIsBounded: a server that speaks on streams which no client has opened
// cannot make the observer hold more than its budget.
func TestParkedIsBounded(t *testing.T) {
	tap := &memory{deaf: true}
	o, stats := budgeted(t, tap, 1<<20)
	h := connect(o)
	for stream := uint32(1); stream < 40; stream += 2 {
		h.down.message(stream, 0, deltaResponse(1, 200<<10))
	}
	if n := stats.AssemblyBytes(); n < 200<<10 || n > 1<<20 {
		t.Errorf("%d bytes held", n)
	}
	h.up.headers(1, false, requestHead(adsDelta)...)
	h.up.headers(39, false, requestHead(adsDelta)...)
	rs := ofKind(tap.seen, xds.SawResponse)
	if len(rs) != 2 || rs[0].Msg.Chunks[0].State != xds.ChunkRaw || rs[1].Msg.Chunks[0].State != xds.ChunkBodyless {
		t.Errorf("saw %v", tap.kinds())
	}
	h.Close()
	if n := stats.AssemblyBytes(); n != 0 {
		t.Errorf("%d bytes held at the end", n)
	}
}

// TestNestedWrappers: a resource inside a thousand others is opaque.
func TestNestedWrappers(t *testing.T) {
	wrap := func(b []byte, depth int) []byte {
		for range depth {
			res := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), b)
			b = protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), xds.ResourceWrapper)
			b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), res)
		}
		return b
	}
	for depth, want := range map[int]string{0: "c", 1: "c", 2: "c", 1000: ""} {
		if name, _ := labelsOf(shapeAny, wrap(anyOf(xds.ClusterType, "c", 1), depth)); name != want {
			t.Errorf("%d wrappers: name %q, want %q", depth, name, want)
		}
	}
	l := newLabeler(shapeAny, 1<<40)
	l.feed(wrap(nil, 1000))
	deepest := 0
	for x := l; x != nil; x = x.sub {
		deepest++
	}
	if deepest > maxWrapped+1 {
		t.Errorf("%d readers, one inside another", deepest)
	}
}
