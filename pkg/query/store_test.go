package query

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/store"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stored puts a history into a store of small segments.
func stored(t *testing.T, src Source, id xds.Sidecar) string {
	t.Helper()
	dir := t.TempDir()
	appendTo(t, dir, src, id, 0, ^uint64(0))
	return dir
}

// appendTo appends the records from..to.
func appendTo(t *testing.T, dir string, src Source, id xds.Sidecar, from, to uint64) {
	t.Helper()
	fold := state.New(nil)
	w, err := store.OpenWriter(store.Config{Dir: dir, SegmentBytes: 1 << 12, Bases: func() []xds.Record {
		if b, ok := fold.Base(id); ok {
			return []xds.Record{b}
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	for rec := range src.Records(id, 0) {
		if rec.Seq >= from && rec.Seq <= to {
			if err := w.Append([]xds.Record{rec}, bodiesOf(t, src, rec)); err != nil {
				t.Fatal(err)
			}
		}
		fold.Apply(rec)
	}
}

func bodiesOf(t *testing.T, src Source, rec xds.Record) []xds.Body {
	t.Helper()
	var ds []xds.Digest
	switch rec.Kind {
	case xds.KindRequest:
		ds = append(ds, rec.Request.Node)
	case xds.KindAnswer:
		ds = append(ds, rec.Answer.Node)
	case xds.KindPush:
		for _, e := range rec.Push.Resources {
			ds = append(ds, e.Digest)
		}
	}
	var out []xds.Body
	for _, d := range ds {
		if b, ok, err := src.Body(d); err != nil {
			t.Fatal(err)
		} else if ok {
			out = append(out, xds.Body{Digest: d, Bytes: b})
		}
	}
	return out
}

func openStore(t *testing.T, dir string) *store.Reader {
	t.Helper()
	r, err := store.OpenReaderWith(dir, store.ReaderConfig{Poll: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// TestStoreAnswersAsItsFileDoes: starting at a base gives what starting at the
// beginning gives.
func TestStoreAnswersAsItsFileDoes(t *testing.T) {
	for _, name := range []string{"01-seed-mysql-delta", "02-seed-mysql-sotw", "07-nack", "08-reconnect"} {
		src := recording(t, name)
		id := only1(t, src)
		file, st := New(Config{Source: src}), New(Config{Source: openStore(t, stored(t, src, id))})
		end, err := file.End(id)
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint64(10) {
			for _, rev := range []Revision{AtPush(i), {Back: i}, AtTime(end.Add(-time.Duration(i) * 5 * time.Second))} {
				a, errA := file.At(id, rev)
				b, errB := st.At(id, rev)
				if (errA == nil) != (errB == nil) || a.Push != b.Push || differ(a.View, b.View) {
					t.Errorf("%s at %s: file #%d %v, store #%d %v", name, rev, a.Push, errA, b.Push, errB)
				}
			}
		}
	}
}

// TestDeletedSegmentsAreOutOfReach: what retention took away is told, the rest
// stays readable.
func TestDeletedSegmentsAreOutOfReach(t *testing.T) {
	src := recording(t, "01-seed-mysql-delta")
	id := only1(t, src)
	dir := stored(t, src, id)
	segments, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	segments = slices.DeleteFunc(segments, func(s string) bool { st, err := os.Stat(s); return err != nil || st.Size() < 200 })
	for _, s := range segments[:len(segments)-1] {
		if err := os.Remove(s); err != nil {
			t.Fatal(err)
		}
	}
	file, st := New(Config{Source: src}), New(Config{Source: openStore(t, dir)})
	_, err = st.At(id, AtPush(1))
	var no *NoRevisionError
	if !errors.As(err, &no) || no.First < 2 {
		t.Fatalf("push 1 with the last of %d segments: %v", len(segments), err)
	}
	for n := no.First; n <= no.Last; n++ {
		a, errA := file.At(id, AtPush(n))
		b, errB := st.At(id, AtPush(n))
		if errA != nil || errB != nil || differ(a.View, b.View) {
			t.Errorf("push %d: %v, %v", n, errA, errB)
		}
	}
}

// told collects the events of a walk.
func told(t *testing.T, r *Reader, o WalkOptions) []xds.Event {
	t.Helper()
	var out []xds.Event
	for e, err := range r.Walk(t.Context(), o) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Events...)
	}
	return out
}

func TestWalkTellsTheSameOfAStore(t *testing.T) {
	for _, name := range []string{"01-seed-mysql-delta", "07-nack", "08-reconnect", "11-dns-capture"} {
		src := recording(t, name)
		ids, err := src.Sidecars()
		if err != nil {
			t.Fatal(err)
		}
		id := ids[0]
		a := told(t, New(Config{Source: src}), WalkOptions{Sidecars: ids[:1]})
		b := told(t, New(Config{Source: openStore(t, stored(t, src, id))}), WalkOptions{})
		if d := cmp.Diff(a, b); d != "" || len(a) == 0 && name != "08-reconnect" {
			t.Errorf("%s: %d events of the file, %d of the store\n%s", name, len(a), len(b), d)
		}
	}
}

// TestWalkFollowsAWriter: what is told while a store grows is what its file tells.
func TestWalkFollowsAWriter(t *testing.T) {
	src := recording(t, "01-seed-mysql-delta")
	id := only1(t, src)
	want := told(t, New(Config{Source: src}), WalkOptions{})
	dir := t.TempDir()
	appendTo(t, dir, src, id, 0, 20)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := New(Config{Source: openStore(t, dir), Now: time.Now})
	done := make(chan struct{})
	var got []xds.Event
	var idle int
	go func() {
		defer close(done)
		for e, err := range r.Walk(ctx, WalkOptions{Follow: true, OnIdle: func(uint64, time.Time) { idle++ }}) {
			if err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				return
			}
			if got = append(got, e.Events...); len(got) >= len(want) {
				return
			}
		}
	}()
	appendTo(t, dir, src, id, 21, ^uint64(0))
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("the events did not come")
	}
	cancel()
	<-done
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("file - followed +:\n%s", d)
	}
}

// TestWalkFinishes: what is written right before a follower has to end is told,
// and what was open then.
func TestWalkFinishes(t *testing.T) {
	src := recording(t, "01-seed-mysql-delta")
	id := only1(t, src)
	want := told(t, New(Config{Source: src}), WalkOptions{})
	dir := t.TempDir()
	appendTo(t, dir, src, id, 0, 20)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	then := time.Date(2026, 11, 22, 19, 28, 7, 0, time.UTC) // of record 20
	r := New(Config{Source: openStore(t, dir), Now: func() time.Time { return then }})
	write := func(uint64, time.Time) {
		if ctx.Err() == nil {
			appendTo(t, dir, src, id, 21, ^uint64(0))
		}
		cancel()
	}
	var got []xds.Event
	for e, err := range r.Walk(ctx, WalkOptions{Follow: true, Finish: true, OnIdle: write}) {
		if err != nil {
			t.Error(err)
		}
		got = append(got, e.Events...)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("file - finished +:\n%s", d)
	}
}

func TestWalkCannotFollowAFile(t *testing.T) {
	src := recording(t, "01-seed-mysql-delta")
	for _, err := range New(Config{Source: src}).Walk(t.Context(), WalkOptions{Follow: true}) {
		if err != nil && !errors.Is(err, ErrCannotFollow) {
			t.Error(err)
		}
	}
}

// twice is a history and the same again two hours later, as the life of another
// stream whose pushes go on counting.
func twice(t *testing.T, src Source, id xds.Sidecar) *record.Memory {
	t.Helper()
	out := new(record.Memory)
	for _, later := range []time.Duration{0, 2 * time.Hour} {
		for rec := range src.Records(id, 0) {
			bodies := bodiesOf(t, src, rec)
			if later > 0 {
				rec = shifted(rec, later)
			}
			if err := out.Append([]xds.Record{rec}, bodies); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

func shifted(rec xds.Record, by time.Duration) xds.Record {
	const pushes, streams = 1000, 1000
	rec.Time = rec.Time.Add(by)
	rec.Stream += streams
	if rec.Push != nil {
		p := *rec.Push
		p.Number += pushes
		rec.Push = &p
	}
	if rec.Answer != nil && rec.Answer.Push > 0 {
		a := *rec.Answer
		a.Push += pushes
		rec.Answer = &a
	}
	return rec
}

// TestWalkSinceStartsLate: it begins at a base, and tells what a walk from the
// beginning tells.
func TestWalkSinceStartsLate(t *testing.T) {
	first := recording(t, "01-seed-mysql-delta")
	id := only1(t, first)
	src := twice(t, first, id)
	r := New(Config{Source: openStore(t, stored(t, src, id))})
	end, err := r.End(id)
	if err != nil {
		t.Fatal(err)
	}
	since := end.Add(-time.Hour)
	n, all := 0, 0
	late := told(t, r, WalkOptions{Since: since, OnRecord: func(xds.Record) { n++ }})
	whole := told(t, r, WalkOptions{OnRecord: func(xds.Record) { all++ }})
	whole = slices.DeleteFunc(whole, func(e xds.Event) bool { return e.Time.Before(since) })
	late = slices.DeleteFunc(late, func(e xds.Event) bool { return e.Time.Before(since) })
	if d := cmp.Diff(whole, late); d != "" || len(whole) == 0 {
		t.Errorf("whole - late +:\n%s", d)
	}
	if n >= all*3/4 {
		t.Errorf("read %d of %d records", n, all)
	}
}
