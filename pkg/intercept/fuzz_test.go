package intercept

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// FuzzObserver feeds anything in both directions, cut anywhere: no panic, and
// never more memory than the budget and what was fed.
func FuzzObserver(f *testing.F) {
	for _, path := range wireRecordings(f)[:4] {
		var up, down []byte
		for _, l := range readLines[wireLine](f, path) {
			if l.Dir == "up" && len(up) < 1000 {
				up = append(up, l.Raw[:min(len(l.Raw), 1000)]...)
			}
			if l.Dir == "down" && len(down) < 1000 {
				down = append(down, l.Raw[:min(len(l.Raw), 1000)]...)
			}
		}
		f.Add(up, down, uint16(7))
		f.Add(up, down, uint16(4096))
	}
	f.Fuzz(func(t *testing.T, up, down []byte, step uint16) {
		stats := &Stats{}
		tap := &memory{}
		const budget = 64 << 10
		o, err := NewObserver(ObserverConfig{Tap: tap, Stats: stats, MaxBytes: budget})
		if err != nil {
			t.Fatal(err)
		}
		c := o.Conn("fuzz")
		for len(up)+len(down) > 0 {
			up = feedStep(c.Up, up, int(step)+1)
			down = feedStep(c.Down, down, int(step)+1)
		}
		c.Close()
		if stats.Gaps(GapPanic) != 0 {
			t.Fatalf("panic: %+v", ofKind(tap.seen, xds.SawGap))
		}
		if stats.AssemblyBytes() != 0 || stats.assemblyHighest.Load() > budget {
			t.Fatalf("%d bytes held, %d at most", stats.AssemblyBytes(), stats.assemblyHighest.Load())
		}
	})
}

func feedStep(s *Side, b []byte, step int) []byte {
	n := min(step, len(b))
	s.Begin()
	s.Feed(b[:n])
	return b[n:]
}

// FuzzTokenizer demands that the tokens together are the message, cut anywhere,
// and that cutting changes nothing.
func FuzzTokenizer(f *testing.F) {
	for _, l := range readLines[sessionLine](f, recordings+"/02-seed-mysql-sotw/session.jsonl.gz")[:12] {
		if len(l.Raw) > 0 {
			f.Add(l.Raw[:min(len(l.Raw), 600)], uint8(3))
		}
	}
	f.Add(deltaResponse(3, 10), uint8(1))
	f.Add([]byte{0x0b, 0x10, 0x01, 0x0c}, uint8(1))
	f.Fuzz(func(t *testing.T, msg []byte, step uint8) {
		whole, err := tokensOf(msg, len(msg)+1)
		cut, errCut := tokensOf(msg, int(step)+1)
		if (err == nil) != (errCut == nil) || err == nil && (!bytes.Equal(whole, msg) || !bytes.Equal(cut, msg)) {
			t.Fatalf("%x and %x of %x; %v, %v", whole, cut, msg, err, errCut)
		}
		_, _ = labelsOf(shapeAny, msg)
		_, _ = labelsOf(shapeResource, msg)
	})
}

func tokensOf(msg []byte, step int) ([]byte, error) {
	var t tokenizer
	t.reset(uint64(len(msg)))
	var all []byte
	for len(msg) > 0 {
		b := msg[:min(step, len(msg))]
		msg = msg[len(b):]
		for len(b) > 0 {
			tok, n, err := t.next(b)
			if err != nil {
				return nil, err
			}
			b = b[n:]
			all = append(all, tok.raw...)
		}
	}
	return all, t.end()
}

// TestBudget: a message that does not fit loses bodies first, then itself, and
// the next one is read as if nothing had been.
func TestBudget(t *testing.T) {
	tap := &memory{deaf: true}
	o, err := NewObserver(ObserverConfig{Tap: tap, MaxBytes: 50_000})
	if err != nil {
		t.Fatal(err)
	}
	h := openConn(t, o, adsDelta)
	h.respond(deltaResponse(10, 10_000))
	h.respond(deltaResponse(1000, 10))
	h.respond(deltaResponse(3, 100))
	all := tap.seen[1:]
	if len(all) != 3 || all[1].Kind != xds.SawGap {
		t.Fatalf("saw %v", tap.kinds())
	}
	states := map[xds.ChunkState]int{}
	for i, c := range all[0].Msg.Chunks {
		states[c.State]++
		if c.Name == "" || c.Key != o.in.keyOf(chunkBytes(deltaResponse(10, 10_000), i)) {
			t.Errorf("resource %d: %q", i, c.Name)
		}
	}
	if states[xds.ChunkRaw] != 4 || states[xds.ChunkBodyless] != 6 {
		t.Errorf("states %v", states)
	}
	if c := all[2].Msg.Chunks; len(c) != 3 || c[2].State != xds.ChunkRaw {
		t.Errorf("afterwards: %d resources", len(c))
	}
	if n := o.in.stats.AssemblyBytes(); n != 0 {
		t.Errorf("%d bytes still held", n)
	}
}

// TestStorm: many clients get the same first push at once, and it is held once.
func TestStorm(t *testing.T) {
	q := NewQueue(0, nil)
	stats := &Stats{}
	o, err := NewObserver(ObserverConfig{Tap: q.Tap(func(xds.Key) bool { return false }), Stats: stats})
	if err != nil {
		t.Fatal(err)
	}
	push := deltaResponse(1100, 1180)
	var conns []*handmade
	for range 40 {
		h := openConn(t, o, adsDelta)
		b := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(push))), push...)
		_ = h.down.WriteData(1, false, b)
		conns = append(conns, h)
	}
	for i := 0; i < conns[0].down.buf.Len(); i += 64 << 10 {
		for _, h := range conns {
			h.Down.Feed(h.down.buf.Bytes()[i:min(i+64<<10, h.down.buf.Len())])
		}
	}
	if high := stats.assemblyHighest.Load(); high > 12<<20 || stats.BodiesDropped.Load() != 0 {
		t.Errorf("%d bytes held for %d clients of %d bytes, %d bodies dropped", high, len(conns), len(push), stats.BodiesDropped.Load())
	}
	for _, h := range conns {
		h.Close()
	}
	if n := stats.AssemblyBytes(); n != 0 || len(o.in.flight.bodies) != 0 {
		t.Errorf("%d bytes in %d bodies still held", n, len(o.in.flight.bodies))
	}
}

func chunkBytes(msg []byte, i int) (chunk []byte) {
	n := 0
	_ = eachField(msg, func(num int, c []byte) {
		if num == fieldResources {
			if n == i {
				chunk = bytes.Clone(c)
			}
			n++
		}
	})
	return chunk
}

// TestGreedyLengths: what a peer claims to send costs nothing until it comes.
func TestGreedyLengths(t *testing.T) {
	tap := &memory{}
	o := newTestObserver(t, tap)
	h := openConn(t, o, adsSotW)
	b := binary.BigEndian.AppendUint32([]byte{0}, 1<<32-1)
	b = append(b, 0x12)
	b = append(b, binary.AppendUvarint(nil, 8<<20-1)...)
	_ = h.down.WriteData(1, false, b)
	h.down.flush()
	if n := o.in.stats.AssemblyBytes(); n > 100 {
		t.Errorf("%d bytes held for %d fed", n, len(b))
	}
	h.Close()
}
