package store

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// memFile is a segment in memory.
type memFile struct{ *bytes.Reader }

func (memFile) Close() error                       { return nil }
func (m memFile) Size() (int64, error)             { return m.Reader.Size(), nil }
func (memFile) Truncate(int64) error               { return fs.ErrPermission }
func (memFile) Sync() error                        { return nil }
func (memFile) WriteAt([]byte, int64) (int, error) { return 0, fs.ErrPermission }

// scanBytes reads a segment from memory as the last one of a store without a writer.
func scanBytes(b []byte) (*segment, error) {
	s := &segment{name: "test", file: memFile{bytes.NewReader(b)}}
	return s, s.read(false, func(*parsed) {})
}

// capped is a Log that ends after a number of pushes.
type capped struct {
	record.Log
	left int
}

func (c *capped) Append(recs []xds.Record, bodies []xds.Body) error {
	for i := range recs {
		if recs[i].Kind == xds.KindPush {
			c.left--
		}
	}
	if c.left < 0 {
		return io.ErrShortWrite
	}
	return c.Log.Append(recs, bodies)
}

// recordedSegment is a segment of 20 pushes, the 16 of a recording and some more,
// alone in its store.
func recordedSegment(t testing.TB) (dir, name string, content []byte) {
	t.Helper()
	var m record.Memory
	importTranscript(t, "01-seed-mysql-delta", &m)
	ids, _ := m.Sidecars()
	dir = filepath.Join(t.TempDir(), "store")
	w := mustOpen(t, Config{Dir: dir})
	copyPushes(t, w, &m, ids, 20)
	for n := range uint64(4) {
		r, bodies := push(ids[0], 17+n, 400)
		mustAppend(t, w, []xds.Record{r}, bodies...)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	names, _ := segmentNames(osFiles{}, dir)
	content, err := os.ReadFile(filepath.Join(dir, names[0]))
	if err != nil {
		t.Fatal(err)
	}
	return dir, names[0], content
}

func copyPushes(t testing.TB, w *Writer, m *record.Memory, ids []xds.Sidecar, pushes int) {
	t.Helper()
	l := &capped{Log: w, left: pushes}
	for _, id := range ids {
		for rec := range m.Records(id, 1) {
			var bodies []xds.Body
			refs(&rec, func(d xds.Digest) {
				if b, ok, _ := m.Body(d); ok && !w.Has(d) {
					bodies = append(bodies, xds.Body{Digest: d, Bytes: b})
				}
			})
			if l.Append([]xds.Record{rec}, bodies) != nil {
				return
			}
		}
	}
}

// expectFrames checks that s holds exactly the frames of want that keep admits,
// byte for byte.
func expectFrames(t *testing.T, at int, s *segment, b, orig []byte, want []frame, keep func(frame) bool) {
	t.Helper()
	i := 0
	for _, f := range want {
		if !keep(f) {
			continue
		}
		if i == len(s.frames) {
			t.Fatalf("at %d: the frame at %d is lost", at, f.off)
		}
		got := s.frames[i]
		if got.off != f.off || got.end() != f.end() || !bytes.Equal(b[got.off:got.end()], orig[f.off:f.end()]) {
			t.Fatalf("at %d: frame %d..%d, want %d..%d", at, got.off, got.end(), f.off, f.end())
		}
		i++
	}
	if i < len(s.frames) {
		t.Fatalf("at %d: an invented frame at %d", at, s.frames[i].off)
	}
}

// groupEnds gives for each frame where the group that it belongs to ends.
func groupEnds(frames []frame) map[int64]int64 {
	ends, end := map[int64]int64{}, int64(0)
	for _, f := range slices.Backward(frames) {
		if !f.more {
			end = f.end()
		}
		ends[f.off] = end
	}
	return ends
}

// A segment that is cut anywhere holds what stood before the cut, no more, no less.
func TestEveryTruncation(t *testing.T) {
	_, _, orig := recordedSegment(t)
	whole, err := scanBytes(orig)
	if err != nil || len(whole.problems) > 0 || whole.tail != nil || len(whole.frames) < 20 {
		t.Fatalf("%d frames, %v, %v, %v", len(whole.frames), whole.problems, whole.tail, err)
	}
	t.Logf("%d bytes, %d frames", len(orig), len(whole.frames))
	ends := groupEnds(whole.frames)
	for n := range orig {
		s, err := scanBytes(orig[:n])
		if err != nil {
			t.Fatal(err)
		}
		expectFrames(t, n, s, orig[:n], orig, whole.frames, func(f frame) bool { return ends[f.off] <= int64(n) })
		if torn := s.tail != nil; torn == (n >= headerSize && s.good == int64(n)) {
			t.Fatalf("cut at %d: tail %v", n, s.tail)
		}
	}
}

// A bit flipped anywhere costs the frame that it is in, or all where it is in the
// header, and is named. With its last frame the last group goes.
func TestEveryFlip(t *testing.T) {
	_, _, orig := recordedSegment(t)
	whole, err := scanBytes(orig)
	if err != nil {
		t.Fatal(err)
	}
	ends := groupEnds(whole.frames)
	last := whole.frames[len(whole.frames)-1]
	for n := range orig {
		b := bytes.Clone(orig)
		b[n] ^= 1 << (n % 8)
		s, err := scanBytes(b)
		if err != nil {
			t.Fatalf("flip at %d: %v", n, err)
		}
		at := int64(n)
		expectFrames(t, n, s, b, orig, whole.frames, func(f frame) bool {
			if at >= last.off && ends[f.off] == last.end() {
				return false // the last group is not whole, and may be a write that never finished
			}
			return n >= headerSize && (at < f.off || at >= f.end())
		})
		all := s.problems
		if s.tail != nil {
			all = append(all, s.tail)
		}
		if len(all) != 1 || at < all[0].Offset || at >= all[0].Offset+all[0].Length {
			t.Fatalf("flip at %d: %v", n, all)
		}
	}
}

// Frames of one segment are none in another.
func TestForeignFrames(t *testing.T) {
	_, _, a := recordedSegment(t)
	_, _, b := recordedSegment(t)
	s, err := scanBytes(append(bytes.Clone(a[:headerSize]), b[headerSize:]...))
	if err != nil || len(s.frames) != 0 || s.tail == nil {
		t.Errorf("%d frames, %v, %v", len(s.frames), s.tail, err)
	}
}

// What a reader makes of damage in the middle of a store: a gap, everything
// before and behind it, and the place.
func TestReadingAcrossDamage(t *testing.T) {
	dir, name, orig := recordedSegment(t)
	w := mustOpen(t, Config{Dir: dir})
	r, bodies := push(web, 1, 100)
	mustAppend(t, w, []xds.Record{r}, bodies...)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	before := everything(t, mustRead(t, dir), 1)
	step := max(1, len(orig)/150)
	for n := 0; n < len(orig); n += step {
		b := bytes.Clone(orig)
		b[n] ^= 0x10
		overwrite(t, filepath.Join(dir, name), b)
		checkDamaged(t, dir, name, int64(n), before)
	}
	overwrite(t, filepath.Join(dir, name), orig)
	mustVerify(t, dir)
}

func overwrite(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func checkDamaged(t *testing.T, dir, name string, at int64, before []xds.Record) {
	t.Helper()
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // only read
	if p := r.Problems(); len(p) != 1 || p[0].File != name || p[0].Torn || at < p[0].Offset || at >= p[0].Offset+p[0].Length {
		t.Fatalf("flip at %d: problems %v", at, p)
	}
	rep, err := Verify(dir)
	if err != nil || rep.OK() {
		t.Fatalf("flip at %d: verify says %+v, %v", at, rep, err)
	}
	next := uint64(1)
	for _, rec := range everything(t, r, 1) {
		lost := rec.Kind == xds.KindGap && rec.Gap.Lost > 0
		if lost {
			if first := rec.Seq - rec.Gap.Lost + 1; first != next {
				t.Fatalf("flip at %d: the gap begins at %d, not %d", at, first, next)
			}
		}
		if rec.Seq < next || !lost && rec.Seq != next {
			t.Fatalf("flip at %d: record %d, want %d", at, rec.Seq, next)
		}
		next = rec.Seq + 1
		if !lost {
			same(t, before[rec.Seq-1:rec.Seq], []xds.Record{withBodies(rec, before[rec.Seq-1])})
		}
		refs(&rec, func(d xds.Digest) {
			if b, ok, err := r.Body(d); err != nil || ok && xds.DigestOf(b) != d {
				t.Fatalf("flip at %d: body %s is wrong, %v", at, d, err)
			}
		})
	}
	if next != before[len(before)-1].Seq+1 {
		t.Fatalf("flip at %d: the later segment is not read", at)
	}
}

// withBodies gives resources whose body is lost back what was lost with it.
func withBodies(got, want xds.Record) xds.Record {
	if got.Push == nil || len(got.Push.Resources) != len(want.Push.Resources) {
		return got
	}
	p := *got.Push
	p.Resources = slices.Clone(p.Resources)
	for i := range p.Resources {
		if e := &p.Resources[i]; e.State == xds.EntryBodyless && want.Push.Resources[i].State == xds.EntryBody {
			e.State, e.Digest = xds.EntryBody, want.Push.Resources[i].Digest
		}
	}
	got.Push = &p
	return got
}

// Damage that appears after opening becomes a gap too.
func TestDamageUnderAnOpenReader(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	fillStore(t, dir, 20, 1<<20)
	r := mustRead(t, dir)
	s := r.x.segs()[0]
	f := s.frames[slices.IndexFunc(s.frames, func(f frame) bool { return f.prev == 7 && f.numbered == 1 })]
	path := filepath.Join(dir, s.name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[f.end()-3] ^= 1
	overwrite(t, path, b)
	recs := everything(t, r, 1)
	if len(recs) != 20 || len(r.Problems()) != 1 {
		t.Fatalf("%d records, problems %v", len(recs), r.Problems())
	}
	for i, rec := range recs {
		if lost := rec.Kind == xds.KindGap; lost != (i == int(f.last())-1) || rec.Seq != uint64(i)+1 {
			t.Errorf("record %d: %+v", i, rec)
		}
	}
	for _, d := range s.bodies.digests[f.firstBody:f.lastBody()] {
		if _, ok, err := r.Body(d); ok || err != nil {
			t.Errorf("body of the damaged frame: %v, %v", ok, err)
		}
	}
}

// A sidecar whose definition is damaged is still found, in the records.
func TestSidecarWithoutDefinition(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	fillStore(t, dir, 20, 1<<20)
	names, _ := segmentNames(osFiles{}, dir)
	path := filepath.Join(dir, names[0])
	b, _ := os.ReadFile(path)
	b[headerSize+frameHeader] ^= 1 // the head of the base
	overwrite(t, path, b)
	ids, err := mustRead(t, dir).Sidecars()
	if err != nil || len(ids) != 1 || ids[0] != web {
		t.Errorf("%v, %v", ids, err)
	}
}

// A writer does not cut, nor number again, what stands behind damage.
func TestWriterKeepsWhatIsBehindDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	fillStore(t, dir, 20, 1<<20)
	names, _ := segmentNames(osFiles{}, dir)
	path := filepath.Join(dir, names[0])
	s, err := openSegment(osFiles{}, dir, names[0])
	if err != nil {
		t.Fatal(err)
	}
	defer s.file.Close() //nolint:errcheck // only read
	if err := s.read(false, func(*parsed) {}); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(path)
	b[s.frames[5].off+4] ^= 0x40 // its length
	overwrite(t, path, b)
	w := mustOpen(t, Config{Dir: dir})
	if seq, _ := w.Last(); seq != 20 || len(w.Recovered()) != 0 {
		t.Errorf("last %d, recovered %v", seq, w.Recovered())
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(after, b) {
		t.Error("the segment was changed")
	}
}

// A segment with a damaged header is left alone: it may be whole behind that.
func TestWriterKeepsASegmentWithADamagedHeader(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	fillStore(t, dir, 5, 1<<20)
	names, _ := segmentNames(osFiles{}, dir)
	path := filepath.Join(dir, names[0])
	b, _ := os.ReadFile(path)
	b[20] ^= 1
	overwrite(t, path, b)
	w := mustOpen(t, Config{Dir: dir})
	r, bodies := push(web, 1, 10)
	mustAppend(t, w, []xds.Record{r}, bodies...)
	if after, _ := os.ReadFile(path); !bytes.Equal(after, b) || len(w.Recovered()) != 0 {
		t.Error("the segment was changed")
	}
	if rd := mustRead(t, dir); rd.Last() != 1 || len(rd.Problems()) != 1 {
		t.Errorf("last %d, %v", rd.Last(), rd.Problems())
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	dir := newStore(t)
	fillStore(t, dir, 3, 1<<20)
	r, err := OpenReaderWith(dir, ReaderConfig{Poll: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // only read
	n := 0
	ctx, cancel := contextOf(t)
	follow(t, ctx, r, 1, func(xds.Record) bool {
		if n++; n == 3 {
			cancel()
		}
		return false
	})
	if n != 3 {
		t.Errorf("%d records", n)
	}
}

// A segment whose first write fails is taken back, and the one before it goes on:
// also for who saw the new one.
func TestSegmentThatIsTakenBack(t *testing.T) {
	dir := newStore(t)
	w := mustOpen(t, Config{Dir: dir})
	r, bodies := push(web, 1, 100)
	mustAppend(t, w, []xds.Record{r}, bodies...)
	h := header{Writer: w.id, First: 2}
	next := filepath.Join(dir, h.name(0))
	overwrite(t, next, h.encode())
	reader := mustRead(t, dir)
	if err := os.Remove(next); err != nil {
		t.Fatal(err)
	}
	if err := reader.Refresh(); err != nil {
		t.Fatal(err)
	}
	r, bodies = push(web, 2, 100)
	mustAppend(t, w, []xds.Record{r}, bodies...)
	if err := reader.Refresh(); err != nil || reader.Last() != 2 {
		t.Errorf("last %d, %v", reader.Last(), err)
	}
}
