package store

import (
	"fmt"
	"slices"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// smallHistory is a segment of 20 pushes and their answers, a few of which are
// differences from others in every way there is, and a later segment.
func smallHistory(t testing.TB) (disk *crashDisk, recs []xds.Record) {
	t.Helper()
	disk = newCrashDisk()
	var list []xds.Entry
	bases := func() []xds.Record {
		b := xds.BaseType{Type: xds.ClusterType}
		for _, e := range list {
			b.Resources = append(b.Resources, xds.BaseEntry{Name: e.Name, Digest: e.Digest, Held: xds.HeldOffered, Stream: 1})
		}
		return []xds.Record{{Time: day, Kind: xds.KindBase, Sidecar: web, Base: &xds.Base{Types: []xds.BaseType{b}}}}
	}
	w := mustOpen(t, Config{Dir: "/s", disk: disk, Bases: bases})
	for n := range 23 {
		if n == 20 { // another start, another segment
			_ = w.Close()
			w = mustOpen(t, Config{Dir: "/s", disk: disk, Bases: bases})
		}
		list = slices.Clone(list)
		name := fmt.Sprint("outbound|80||", n%4)
		b := xds.NewBody([]byte(fmt.Sprintf("cluster %s of version %d with a name, a timeout and the like", name, n)))
		e := xds.Entry{Name: name, Digest: b.Digest, Size: len(b.Bytes)}
		if i := slices.IndexFunc(list, func(e xds.Entry) bool { return e.Name == name }); i >= 0 {
			list[i] = e
		} else {
			list = append(list, e)
		}
		p := &xds.Push{Number: uint64(n + 1), Type: xds.ClusterType, Resources: list, Nonce: fmt.Sprint(n)}
		a := &xds.Answer{Request: xds.Request{Type: xds.ClusterType, Names: []string{"a", "b"}, Nonce: fmt.Sprint(n)}, Push: p.Number}
		batch := []xds.Record{{Time: day, Kind: xds.KindPush, Stream: 1, Sidecar: web, Push: p}, {Time: day, Kind: xds.KindAnswer, Stream: 1, Sidecar: web, Answer: a}}
		mustAppend(t, w, batch, b)
		recs = append(recs, batch...)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return disk, recs
}

// Every byte of a segment of 20 pushes is damaged in turn, and the segment is cut
// before it: nothing is served that was not written, nobody panics, what is missing
// is told, and the later segment is read in full.
func TestEveryByteOfTwentyPushes(t *testing.T) {
	disk, recs := smallHistory(t)
	names, _ := segmentNames(disk, "/s")
	if len(names) != 2 {
		t.Fatal(names)
	}
	orig := disk.names["/s/"+names[0]].data
	later, _, _ := segmentName(names[1])
	t.Logf("%d bytes", len(orig))
	for half := range 2 {
		t.Run(fmt.Sprint(half), func(t *testing.T) {
			t.Parallel()
			h := &hurt{orig: orig, name: names[0], other: names[1], rest: disk.names["/s/"+names[1]].data, recs: recs, later: later}
			for i := range recs {
				h.bytes = append(h.bytes, string(putRecord(nil, &recs[i], nil)))
			}
			for n := half; n < len(orig); n += 2 {
				b := slices.Clone(orig)
				b[n] ^= 1 << (n / 2 % 8)
				h.check(t, fmt.Sprint("flip at ", n), b)
				h.check(t, fmt.Sprint("cut at ", n), orig[:n])
			}
		})
	}
}

// hurt is a store whose first segment is damaged.
type hurt struct {
	orig, rest  []byte
	name, other string
	recs        []xds.Record
	bytes       []string // of recs
	later       uint64   // where the second segment starts
}

func (h *hurt) check(t *testing.T, what string, b []byte) {
	t.Helper()
	disk := newCrashDisk()
	disk.names["/s/"+h.name], disk.names["/s/"+h.other] = &node{data: b}, &node{data: h.rest}
	r, err := OpenReaderWith("/s", ReaderConfig{disk: disk})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer r.Close() //nolint:errcheck // only read
	all := everythingOf(r)
	if len(r.Problems()) == 0 && !slices.ContainsFunc(all, func(r xds.Record) bool { return lostGap(&r) }) {
		t.Fatalf("%s: nothing is told", what)
	}
	next := uint64(1)
	for _, rec := range all {
		if lostGap(&rec) {
			next = rec.Seq + 1
			continue
		}
		want := h.recs[rec.Seq-1]
		if rec.Seq != next || string(putRecord(nil, ptr(withBodies(rec, want)), nil)) != h.bytes[rec.Seq-1] {
			t.Fatalf("%s: record %d in the place of %d is not what was written", what, rec.Seq, next)
		}
		h.bodies(t, what, r, rec)
		next++
	}
	if next != uint64(len(h.recs))+1 {
		t.Fatalf("%s: the history ends before %d", what, next)
	}
}

// bodies are what their digest says, or lost, and never lost in the later segment.
func (h *hurt) bodies(t *testing.T, what string, r *Reader, rec xds.Record) {
	refs(&rec, func(d xds.Digest) {
		b, ok, err := r.Body(d)
		if err != nil || ok && xds.DigestOf(b) != d || !ok && rec.Seq >= h.later {
			t.Fatalf("%s: body %s of record %d: %v, %v", what, d, rec.Seq, ok, err)
		}
	})
}

func ptr(r xds.Record) *xds.Record { return &r }

func everythingOf(r *Reader) (out []xds.Record) {
	r.cursor(xds.Sidecar{}, 1, true).drain(func(rec xds.Record, _ error) bool {
		out = append(out, rec)
		return true
	})
	return out
}

// Verify says which push is lost with a frame, and which are lost with it because
// they build on it; and what resources have lost their bodies.
func TestVerifyNamesWhatIsLost(t *testing.T) {
	disk, _ := smallHistory(t)
	names, _ := segmentNames(disk, "/s")
	r, err := OpenReaderWith("/s", ReaderConfig{disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	f, ok := r.x.segs()[0].frameWith(11) // push 6
	_ = r.Close()
	if !ok {
		t.Fatal("record 11 is not there")
	}
	disk.names["/s/"+names[0]].data[f.end()-1] ^= 1
	rep, err := verify(disk, "/s")
	if err != nil || rep.OK() {
		t.Fatal(rep, err)
	}
	told := fmt.Sprint(rep.Problems)
	for _, want := range []string{"records 11 to 12 are missing", "push 7 is damaged", "web-1.shop"} {
		if !contains(told, want) {
			t.Errorf("%q is not in %s", want, told)
		}
	}
}

// A damaged copy of a body does not hide an older one that is good.
func TestOlderCopyOfABody(t *testing.T) {
	disk, recs := smallHistory(t)
	names, _ := segmentNames(disk, "/s")
	d := recs[39-1].Push.Resources[3].Digest // of push 20, which the second segment starts with too
	r, err := OpenReaderWith("/s", ReaderConfig{disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // only read
	s, n, ok := r.x.find(d)
	if !ok || s.name != names[1] {
		t.Fatalf("the newest copy is in %v", s)
	}
	f, _ := s.frameOf(n)
	disk.names["/s/"+names[1]].data[f.end()-1] ^= 1
	b, ok, err := r.Body(d)
	if !ok || err != nil || xds.DigestOf(b) != d || len(r.Problems()) != 1 {
		t.Errorf("%v, %v, problems %v", ok, err, r.Problems())
	}
}
