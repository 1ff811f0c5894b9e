package store

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func anyTime() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.IntRange(0, 9).Draw(t, "zero") == 0 {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(-1<<33, 1<<33).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
	})
}

// anyRecord sets every field that a record of its kind can have.
func anyRecord() *rapid.Generator[xds.Record] {
	return rapid.Custom(func(t *rapid.T) xds.Record {
		r := xds.Record{
			Time: anyTime().Draw(t, "time"), Took: rapid.Make[time.Duration]().Draw(t, "took"),
			Kind: xds.Kind(rapid.IntRange(1, 7).Draw(t, "kind")), Stream: rapid.Uint64().Draw(t, "stream"),
			Sidecar: rapid.Make[xds.Sidecar]().Draw(t, "sidecar"), Extra: rapid.Make[[]byte]().Draw(t, "extra"),
		}
		switch r.Kind {
		case xds.KindOpen:
			r.Open = &xds.Open{}
			*r.Open = rapid.Make[xds.Open]().Draw(t, "open")
		case xds.KindRequest:
			x := rapid.Make[xds.Request]().Draw(t, "request")
			r.Request = &x
		case xds.KindPush:
			x := rapid.Make[xds.Push]().Draw(t, "push")
			r.Push = &x
		case xds.KindAnswer:
			x := rapid.Make[xds.Answer]().Draw(t, "answer")
			r.Answer = &x
		case xds.KindClose:
			x := rapid.Make[xds.Close]().Draw(t, "close")
			r.Close = &x
		case xds.KindGap:
			x := rapid.Make[xds.Gap]().Draw(t, "gap")
			r.Gap = &x
		case xds.KindBase:
			x := rapid.Make[xds.Base]().Draw(t, "base")
			r.Base = &x
		}
		return r
	})
}

func TestRecordsSurviveTheCodec(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyRecord().Draw(t, "record")
		b := putRecord(nil, &want, nil)
		got, err := getRecord(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
		if again := putRecord(nil, &got, nil); string(again) != string(b) {
			t.Fatal("encoding again gives other bytes")
		}
	})
}

func TestUnknownFieldsAreSkipped(t *testing.T) {
	want, _ := push(web, 3, 50)
	b := putRecord(nil, &want, nil)
	b = putString(b, 500, "from a later version")
	b = protowire.AppendFixed32(protowire.AppendTag(b, 501, protowire.Fixed32Type), 7)
	got, err := getRecord(putFixed(b, 502, 9), nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
}

func TestBrokenRecordsAreErrors(t *testing.T) {
	r, _ := push(web, 3, 50)
	b := putRecord(nil, &r, nil)
	if _, err := getRecord(b[:len(b)-1], nil); err == nil {
		t.Error("a cut record was read")
	}
	if _, err := getRecord(putUint(nil, 6, 1), nil); err == nil {
		t.Error("a sidecar that is a number was read")
	}
	short := putMessage(nil, kindField+protowire.Number(xds.KindRequest), func(b []byte) []byte { return putString(b, 4, "short") })
	if _, err := getRecord(short, nil); err == nil {
		t.Error("a digest of 5 bytes was read")
	}
}

func TestHeadsSurviveTheCodec(t *testing.T) {
	h := head{prev: 7, raw: 500, everyone: true, bodies: []xds.Digest{xds.DigestOf([]byte("a")), xds.DigestOf([]byte("b"))}, firstBody: 7, absent: []xds.Digest{xds.DigestOf([]byte("c"))}}
	first := func(xds.Sidecar) bool { return true }
	p, _ := push(web, 3, 10)
	base := baseOf(4)
	for _, r := range []xds.Record{p, base, {Kind: xds.KindOpen, Stream: 9, Open: &xds.Open{}}} {
		h.note(&r, 8, first)
	}
	var got head
	if err := got.decode(h.encode(nil)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(h, got, cmp.AllowUnexported(head{}, sidecarRef{}, baseRef{})); d != "" {
		t.Fatal(d)
	}
}

// Every recording gives the same history from a store as from memory.
func TestRecordingsSurviveTheStore(t *testing.T) {
	for _, name := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newStore(t)
			w := mustOpen(t, Config{Dir: dir, SegmentBytes: 100_000})
			var m record.Memory
			importTranscript(t, name, &m, w)
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			compare(t, &m, mustRead(t, dir))
		})
	}
}

func compare(t *testing.T, m *record.Memory, r *Reader) {
	want, _ := m.Sidecars()
	got, err := r.Sidecars()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	seen := map[xds.Digest]bool{}
	for _, id := range want {
		var a, b []xds.Record
		for rec := range m.Records(id, 1) {
			a = append(a, rec)
			refs(&rec, func(d xds.Digest) {
				if !seen[d] {
					seen[d] = true
					compareBody(t, m, r, d)
				}
			})
		}
		for rec, err := range r.Records(id, 1) {
			if err != nil {
				t.Fatal(err)
			}
			b = append(b, rec)
		}
		same(t, a, b)
	}
}

// same compares the encodings: cmp takes seconds for the large recordings.
func same(t testing.TB, want, got []xds.Record) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range want {
		if want[i].Seq != got[i].Seq || !bytes.Equal(putRecord(nil, &want[i], nil), putRecord(nil, &got[i], nil)) {
			t.Fatal(cmp.Diff(want[i], got[i], cmpopts.EquateEmpty()))
		}
	}
}

func compareBody(t *testing.T, m *record.Memory, r *Reader, d xds.Digest) {
	want, ok, _ := m.Body(d)
	got, there, err := r.Body(d)
	if err != nil || ok != there || string(want) != string(got) {
		t.Fatalf("body %s: there %v, want %v, %v", d, there, ok, err)
	}
}
