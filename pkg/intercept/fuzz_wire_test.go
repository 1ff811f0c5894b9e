package intercept

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/net/http2"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const fuzzBudget = 64 << 10

// settled waits for what is inflated beside and demands what holds after any
// connection: no panic, nothing held, never more than the budget, and at the tap no
// more than was fed and may be inflated.
func settled(t *testing.T, o *Observer, tap *memory, fed int) {
	t.Helper()
	o.Wait()
	stats := o.in.stats
	if stats.Gaps(GapPanic) != 0 {
		t.Fatalf("panic: %+v", ofKind(tap.sightings(), xds.SawGap))
	}
	if held, high := stats.AssemblyBytes(), stats.assemblyHighest.Load(); held != 0 || high > fuzzBudget {
		t.Fatalf("%d bytes held, %d at most", held, high)
	}
	offered := 0
	for _, s := range tap.sightings() {
		if s.Msg == nil {
			continue
		}
		offered += len(s.Msg.Envelope)
		for _, c := range s.Msg.Chunks {
			offered += len(c.Raw)
		}
	}
	if inflated := int(stats.Responses.Load()+stats.Requests.Load()) * fuzzBudget; offered > fed+inflated {
		t.Fatalf("%d bytes offered of %d fed", offered, fed)
	}
}

func fuzzed(t *testing.T) (*Observer, *memory) {
	t.Helper()
	tap := &memory{}
	o, err := NewObserver(ObserverConfig{Tap: tap, Stats: &Stats{}, MaxBytes: fuzzBudget})
	if err != nil {
		t.Fatal(err)
	}
	return o, tap
}

// feedAll feeds b cut anywhere, and demands that it is what it was: it is forwarded.
func feedAll(t *testing.T, s *Side, b []byte, step int) {
	t.Helper()
	before := bytes.Clone(b)
	for chunk := range slices.Chunk(b, step+1) {
		s.Begin()
		s.Feed(chunk)
	}
	if !bytes.Equal(b, before) {
		t.Fatal("the observer changed what is forwarded")
	}
}

// wireParts takes the header blocks, and what the DATA frames of the server hold,
// out of recorded connections: what real peers compress and frame.
func wireParts(tb testing.TB) (blocks, grpc [][]byte) {
	tb.Helper()
	for _, path := range wireRecordings(tb) {
		streams := map[uint64]*bytes.Buffer{}
		for _, l := range readLines[wireLine](tb, path) {
			if l.Dir != "down" || len(l.Raw) == 0 {
				continue
			}
			if streams[l.Conn] == nil {
				streams[l.Conn] = &bytes.Buffer{}
			}
			if streams[l.Conn].Len() < 1<<20 {
				streams[l.Conn].Write(l.Raw)
			}
		}
		for _, b := range streams {
			h, g := partsOf(b)
			blocks, grpc = append(blocks, h...), append(grpc, g)
		}
	}
	return blocks, grpc
}

func partsOf(b *bytes.Buffer) (blocks [][]byte, data []byte) {
	fr := http2.NewFramer(nil, b)
	fr.SetMaxReadFrameSize(1<<24 - 1)
	for {
		f, err := fr.ReadFrame()
		if err != nil || len(data) > 4096 {
			return blocks, data[:min(len(data), 4096)]
		}
		switch f := f.(type) {
		case *http2.HeadersFrame:
			blocks = append(blocks, bytes.Clone(f.HeaderBlockFragment()))
		case *http2.DataFrame:
			data = append(data, f.Data()...)
		}
	}
}

// FuzzHeaders puts any bytes where a header block stands (HPACK), cut into
// CONTINUATION frames anywhere; a stream that was fine before is read on, or is given
// up with its connection.
func FuzzHeaders(f *testing.F) {
	blocks, _ := wireParts(f)
	for i := range min(len(blocks), 12) {
		f.Add(blocks[i], uint16(20), uint8(i))
	}
	f.Fuzz(func(t *testing.T, block []byte, cut uint16, step uint8) {
		o, tap := fuzzed(t)
		h := openConn(t, o, adsSotW)
		first := min(int(cut), len(block))
		_ = h.up.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: block[:first], EndHeaders: first == len(block)})
		if first < len(block) {
			_ = h.up.WriteContinuation(3, true, block[first:])
		}
		_ = h.down.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndHeaders: true, EndStream: step%2 == 0})
		fed := h.up.buf.Len() + h.down.buf.Len()
		feedAll(t, h.Up, h.up.buf.Bytes(), int(step))
		feedAll(t, h.Down, h.down.buf.Bytes(), int(step))
		h.Close()
		settled(t, o, tap, fed)
	})
}

// FuzzMessages puts any bytes where gRPC messages stand: length prefixes, compressed
// flags, truncated protobuf and varints. There are never more responses than length
// prefixes that are kept.
func FuzzMessages(f *testing.F) {
	_, grpc := wireParts(f)
	for i, g := range grpc {
		f.Add(g, i%2 == 0, uint16(1024), uint8(i))
	}
	f.Add([]byte{1, 0, 0, 0, 2, 0x1f, 0x8b}, true, uint16(3), uint8(0))
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff, 0x12, 0xff, 0xff, 0xff, 0xff, 0x0f}, false, uint16(3), uint8(1))
	f.Fuzz(func(t *testing.T, raw []byte, delta bool, frame uint16, step uint8) {
		o, tap := fuzzed(t)
		path := map[bool]string{true: adsDelta, false: adsSotW}[delta]
		h := openConn(t, o, path, "grpc-encoding", "gzip")
		for chunk := range slices.Chunk(raw, int(frame)+1) {
			_ = h.down.WriteData(1, false, chunk)
			_ = h.up.WriteData(1, false, chunk)
		}
		fed := h.up.buf.Len() + h.down.buf.Len()
		feedAll(t, h.Down, h.down.buf.Bytes(), int(step))
		feedAll(t, h.Up, h.up.buf.Bytes(), int(step))
		h.Close()
		settled(t, o, tap, fed)
		if got, most := len(ofKind(tap.sightings(), xds.SawResponse)), prefixes(raw); got > most {
			t.Fatalf("%d responses in %d messages", got, most)
		}
	})
}

// prefixes counts the messages that are there whole.
func prefixes(raw []byte) (n int) {
	for len(raw) >= 5 {
		size := uint64(binary.BigEndian.Uint32(raw[1:]))
		if raw[0] > 1 || uint64(len(raw)) < 5+size {
			return n
		}
		raw, n = raw[5+size:], n+1
	}
	return n
}
