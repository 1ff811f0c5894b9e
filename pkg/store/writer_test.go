package store

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func TestSecondWriterIsRefused(t *testing.T) {
	dir := newStore(t)
	w := mustOpen(t, Config{Dir: dir})
	if _, err := OpenWriter(Config{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Fatalf("got %v, want ErrLocked", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, Config{Dir: dir})
}

// A reader that looks whether there is a writer holds the lock for a moment.
func TestReadersDoNotKeepAWriterOut(t *testing.T) {
	dir := newStore(t)
	if err := mustOpen(t, Config{Dir: dir}).Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, lockFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	released := make(chan error, 1)
	time.AfterFunc(30*time.Millisecond, func() { released <- f.Close() })
	mustOpen(t, Config{Dir: dir})
	if err := <-released; err != nil {
		t.Fatal(err)
	}
}

func TestKeyAndModes(t *testing.T) {
	dir := newStore(t)
	w := mustOpen(t, Config{Dir: dir})
	r, bodies := push(web, 1, 100)
	mustAppend(t, w, []xds.Record{r}, bodies...)
	key := string(w.Key())
	if len(key) != 32 || key == string(make([]byte, 32)) {
		t.Fatalf("key %x", key)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if again := mustOpen(t, Config{Dir: dir}); string(again.Key()) != key {
		t.Error("the key changed")
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if info, _ := e.Info(); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v", info.Mode())
	}
}

func TestNumbersGoOn(t *testing.T) {
	dir := newStore(t)
	for start := range uint64(3) {
		w := mustOpen(t, Config{Dir: dir})
		seq, stream := w.Last()
		if seq != 3*start || stream != 10*start {
			t.Fatalf("start %d: last %d, stream %d", start, seq, stream)
		}
		pushes, err := w.LastPushes()
		if err != nil || pushes[web] != start {
			t.Fatalf("start %d: pushes %v, %v", start, pushes, err)
		}
		r, bodies := push(web, start+1, 500)
		base := baseOf(start + 1)
		r.Stream = 10 * (start + 1)
		recs := []xds.Record{{Kind: xds.KindGap, Gap: &xds.Gap{Reason: "start"}}, r, base, {Kind: xds.KindOpen, Open: &xds.Open{}}}
		mustAppend(t, w, recs, bodies...)
		for i, want := range []uint64{1, 2, 2, 3} {
			if recs[i].Seq != 3*start+want {
				t.Errorf("record %d has number %d", i, recs[i].Seq)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	names, _ := segmentNames(osFiles{}, dir)
	st, err := Stat(dir)
	if err != nil || len(names) != 3 || st.Segments != 3 || st.Writers != 3 || st.LastSeq != 9 || st.Records["base"] != 3 || st.Sidecars != 1 || st.Writing {
		t.Errorf("stat %+v, %v", st, err)
	}
}

func TestNothingHappensAfterClose(t *testing.T) {
	w := mustOpen(t, Config{Dir: newStore(t)})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, bodies := push(web, 1, 10)
	if err := w.Append([]xds.Record{r}, bodies); err == nil {
		t.Error("append after close")
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// fillStore writes pushes in segments of the given size, with bases.
func fillStore(t testing.TB, dir string, pushes uint64, segment int64) {
	t.Helper()
	n := uint64(0)
	w := mustOpen(t, Config{Dir: dir, SegmentBytes: segment, Bases: func() []xds.Record { return []xds.Record{baseOf(n)} }})
	for n < pushes {
		r, bodies := push(web, n+1, 300+int(n%7)*400)
		mustAppend(t, w, []xds.Record{r}, bodies...)
		n++
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// Deleting the oldest segments one by one leaves the others whole, with a base to
// start from.
func TestOldSegmentsCanBeDeleted(t *testing.T) {
	dir := newStore(t)
	fillStore(t, dir, 60, 8000)
	names, _ := segmentNames(osFiles{}, dir)
	if len(names) < 5 {
		t.Fatalf("only %d segments", len(names))
	}
	old := mustRead(t, dir)
	for _, name := range names[:len(names)-1] {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		mustVerify(t, dir)
		r := mustRead(t, dir)
		recs := everything(t, r, 1)
		first := recs[0].Seq
		if recs[len(recs)-1].Seq != 60 || first == 1 || len(recs) != int(60-first+1) {
			t.Fatalf("%d records from %d", len(recs), first)
		}
		base, ok, err := r.Base(web, first-1)
		if !ok || err != nil || base.Base.Push != first-1 || base.Seq != first-1 {
			t.Fatalf("first %d: base %d %+v, %v, %v", first, base.Seq, base.Base, ok, err)
		}
		refs(&base, func(d xds.Digest) {
			if _, ok, err := r.Body(d); !ok || err != nil {
				t.Errorf("body %s of the base: %v, %v", d, ok, err)
			}
		})
		if again := everything(t, r, 2); again[0].Kind != xds.KindGap || again[0].Seq != first-1 {
			t.Errorf("the deleted records are no gap: %+v", again[0])
		}
	}
	if err := old.Refresh(); err != nil {
		t.Fatal(err)
	}
	if recs := everything(t, old, 1); recs[len(recs)-1].Seq != 60 || len(recs) > 59 {
		t.Errorf("the open reader has %d records", len(recs))
	}
}

// Segments that are deleted while someone reads become a gap.
func TestDeletedWhileReading(t *testing.T) {
	dir := newStore(t)
	fillStore(t, dir, 60, 8000)
	names, _ := segmentNames(osFiles{}, dir)
	first, _, _ := segmentName(names[4])
	r := mustRead(t, dir)
	var got []xds.Record
	for rec, err := range r.Records(web, 1) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, rec); len(got) != 2 {
			continue
		}
		for _, name := range names[:4] {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Refresh(); err != nil {
			t.Fatal(err)
		}
	}
	gaps := 0
	for i, rec := range got[1:] {
		if rec.Kind == xds.KindGap {
			gaps++
			if rec.Seq != first-1 || rec.Gap.Lost != rec.Seq-got[i].Seq {
				t.Errorf("gap %d after %d: %+v", rec.Seq, got[i].Seq, rec.Gap)
			}
		} else if rec.Seq != got[i].Seq+1 {
			t.Errorf("record %d after %d", rec.Seq, got[i].Seq)
		}
	}
	if gaps != 1 || got[len(got)-1].Seq != 60 {
		t.Errorf("%d gaps, last %d", gaps, got[len(got)-1].Seq)
	}
}

// A body is stored once in a segment, and again in the next that names it.
func TestSegmentsAreSelfContained(t *testing.T) {
	dir := newStore(t)
	w := mustOpen(t, Config{Dir: dir, SegmentBytes: 3000})
	r, bodies := push(web, 1, 700)
	if w.Has(bodies[0].Digest) {
		t.Error("an empty store has a body")
	}
	mustAppend(t, w, []xds.Record{r}, bodies...)
	for range 12 {
		if !w.Has(bodies[0].Digest) {
			t.Fatal("a body is gone")
		}
		mustAppend(t, w, []xds.Record{r})
		mustAppend(t, w, []xds.Record{r}, bodies...)
	}
	_ = w.Close()
	rep := mustVerify(t, dir)
	if rep.Segments < 2 || rep.Bodies != 3*rep.Segments {
		t.Errorf("%+v", rep)
	}
}

func TestBodiesThatNobodyHas(t *testing.T) {
	dir := newStore(t)
	w := mustOpen(t, Config{Dir: dir})
	r, bodies := push(web, 1, 700)
	r.Push.Resources[1].State = xds.EntryTooLarge
	mustAppend(t, w, []xds.Record{r}, bodies[0]) // 1 is too large, 2 is missing
	base := baseOf(1)
	mustAppend(t, w, []xds.Record{base})
	_ = w.Close()
	if b, ok, err := mustRead(t, dir).Body(bodies[2].Digest); ok || b != nil || err != nil {
		t.Errorf("%q, %v, %v", b, ok, err)
	}
}

// A large push goes into several frames and is still all or nothing.
func TestLargePush(t *testing.T) {
	dir := newStore(t)
	w := mustOpen(t, Config{Dir: dir})
	var p xds.Push
	var bodies []xds.Body
	for i := range 400 {
		b := xds.NewBody(bytesOf(string(rune('a'+i%26))+time.Duration(i).String(), 10_000))
		bodies = append(bodies, b)
		p.Resources = append(p.Resources, xds.Entry{Name: b.Digest.Hex(), Digest: b.Digest})
	}
	mustAppend(t, w, []xds.Record{{Kind: xds.KindPush, Push: &p}}, bodies...)
	_ = w.Close()
	r := mustRead(t, dir)
	if n := len(r.x.segs()[0].frames); n < 4 {
		t.Errorf("%d frames", n)
	}
	for _, b := range bodies {
		if got, ok, err := r.Body(b.Digest); !ok || err != nil || string(got) != string(b.Bytes) {
			t.Fatalf("body %s: %v, %v", b.Digest, ok, err)
		}
	}
	cutTail(t, dir, 1)
	if r := mustRead(t, dir); r.Last() != 0 || r.x.different() != 0 {
		t.Error("part of a push is there")
	}
	w = mustOpen(t, Config{Dir: dir})
	if len(w.Recovered()) != 1 || w.Has(bodies[0].Digest) {
		t.Errorf("recovered %v", w.Recovered())
	}
}

// cutTail takes n bytes off the last segment.
func cutTail(t *testing.T, dir string, n int64) {
	t.Helper()
	names, _ := segmentNames(osFiles{}, dir)
	path := filepath.Join(dir, names[len(names)-1])
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()-n)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestTornTailIsCut(t *testing.T) {
	dir := newStore(t)
	fillStore(t, dir, 10, 1<<20)
	cutTail(t, dir, 5)
	r := mustRead(t, dir)
	if p := r.Problems(); len(p) != 1 || !p[0].Torn || r.Last() != 9 {
		t.Fatalf("problems %v, last %d", p, r.Last())
	}
	if rep, _ := Verify(dir); len(rep.Torn) != 1 || !rep.OK() {
		t.Errorf("verify says %+v", rep)
	}
	w := mustOpen(t, Config{Dir: dir})
	if rec := w.Recovered(); len(rec) != 1 || !rec[0].Torn {
		t.Fatalf("recovered %v", rec)
	}
	p, bodies := push(web, 10, 10)
	recs := []xds.Record{p}
	mustAppend(t, w, recs, bodies...)
	if recs[0].Seq != 10 {
		t.Errorf("number %d", recs[0].Seq)
	}
}

func TestNewerVersion(t *testing.T) {
	dir := newStore(t)
	t.Cleanup(func() { _ = os.RemoveAll(dir); _ = os.Mkdir(dir, 0o700) })
	fillStore(t, dir, 3, 1<<20)
	names, _ := segmentNames(osFiles{}, dir)
	path := filepath.Join(dir, names[0])
	b, _ := os.ReadFile(path)
	binary.LittleEndian.PutUint32(b[8:], 7)
	binary.LittleEndian.PutUint32(b[60:], crc(b[:60]))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, open := range map[string]func() error{
		"writer": func() error { _, err := OpenWriter(Config{Dir: dir}); return err },
		"reader": func() error { _, err := OpenReader(dir); return err },
		"verify": func() error { _, err := Verify(dir); return err },
		"stat":   func() error { _, err := Stat(dir); return err },
	} {
		var newer *NewerVersionError
		if err := open(); !errors.As(err, &newer) || newer.Found != 7 || newer.Supported != Version || newer.File != names[0] {
			t.Errorf("%s: %v", what, err)
		}
	}
	if after, _ := os.ReadFile(path); string(after) != string(b) {
		t.Error("the segment was changed")
	}
}
