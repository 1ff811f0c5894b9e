package store

import (
	"bytes"
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
	z, err := newDecoder()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(z.Close)
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
			if data, err := readData(bytes.NewReader(b), fr, z); err == nil {
				_, _ = decodeRecords(fr, data)
			}
		}
	})
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
		f.Add(real[fr.off+frameHeader:fr.dataOff()], real[fr.dataOff():fr.end()], fr.flags)
	}
	z, err := newDecoder()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(z.Close)
	f.Fuzz(func(t *testing.T, head, data []byte, flags byte) {
		b := append(append(make([]byte, frameHeader), head...), data...)
		sealFrame(b, 1, len(head), flags)
		fr, err := parseFrame(b, 1)
		if err != nil {
			return
		}
		got, err := readData(bytes.NewReader(b), fr, z)
		if err != nil {
			return
		}
		seg := &segment{}
		seg.locate(fr, func(_ xds.Digest, at bodyLoc) { _ = got[at.start : at.start+at.size] })
		recs, err := decodeRecords(fr, got)
		if err != nil {
			return
		}
		for i := range recs {
			again, err := getRecord(putRecord(nil, &recs[i]))
			if err != nil || !again.Time.Equal(recs[i].Time) {
				t.Fatalf("a record does not survive: %v", err)
			}
		}
	})
}
