package store

import (
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// FuzzSegment reads any bytes as a segment: no panic, and what is served has the
// digest that it is served under or is refused by Verify's rule.
func FuzzSegment(f *testing.F) {
	_, _, real := recordedSegment(f)
	f.Add(real)
	f.Add(real[:headerSize])
	f.Add(real[:len(real)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := scanBytes(b)
		if err != nil {
			return
		}
		end := int64(0)
		for _, fr := range s.frames {
			if fr.off < end || fr.end() > int64(len(b)) {
				t.Fatalf("frame %d..%d", fr.off, fr.end())
			}
			end = fr.end()
		}
		x := indexOf(t, s)
		for _, fr := range s.frames {
			_, _ = x.records(s, fr)
		}
		for n, d := range s.bodies.digests {
			if b, err := x.body(s, uint32(n)); err == nil && xds.DigestOf(b) != d {
				t.Fatalf("body %d is not %s", n, d)
			}
		}
	})
}

// indexOf is an index of one segment that was read already.
func indexOf(t testing.TB, s *segment) *index {
	x, err := newIndex(osFiles{}, "", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.zstd.Close)
	x.known.segs = []*segment{s}
	return x
}

// FuzzFrame gives a frame with any content the right checksums: the decoders
// behind them must hold by themselves.
func FuzzFrame(f *testing.F) {
	_, _, real := recordedSegment(f)
	s, err := scanBytes(real)
	if err != nil {
		f.Fatal(err)
	}
	for _, fr := range s.frames[:10] {
		var p parsed
		if err := p.parse(real[fr.off:], s.header.sum); err != nil {
			f.Fatal(err)
		}
		f.Add(real[fr.off+frameHeader:fr.off+int64(p.data())], real[fr.off+int64(p.data()):fr.end()], p.flags)
	}
	f.Fuzz(func(t *testing.T, head, data []byte, flags byte) {
		h := (&header{First: 1}).encode()
		b := append(append(make([]byte, frameHeader), head...), data...)
		sealFrame(b, crc(h[:headerSize-4]), len(head), flags)
		s, err := scanBytes(append(h, b...))
		if err != nil || len(s.frames) == 0 {
			return
		}
		x := indexOf(t, s)
		for n := range s.bodies.digests {
			_, _ = x.assemble(s, uint32(n), nil)
		}
		recs, err := x.records(s, s.frames[0])
		if err != nil {
			return
		}
		for i := range recs {
			again, err := getRecord(putRecord(nil, &recs[i], nil), nil)
			if err != nil || !again.Time.Equal(recs[i].Time) {
				t.Fatalf("a record does not survive: %v", err)
			}
		}
	})
}
