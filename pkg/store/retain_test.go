package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// bounded writes pushes, a minute apart, and syncs each.
func bounded(t *testing.T, cfg Config, pushes int) (*crashDisk, *Writer) {
	t.Helper()
	disk, now := newCrashDisk(), day
	cfg.Dir, cfg.disk, cfg.Now = "/s", disk, func() time.Time { return now }
	w := mustOpen(t, cfg)
	for n := range pushes {
		now = now.Add(time.Minute)
		r, bodies := push(web, uint64(n)+1, 400)
		mustAppend(t, w, []xds.Record{r}, bodies...)
		if err := w.Sync(); err != nil {
			t.Fatal(err)
		}
		w.Retain()
	}
	return disk, w
}

func TestRetainBytes(t *testing.T) {
	disk, _ := bounded(t, Config{SegmentBytes: 4000, RetainBytes: 20_000}, 100)
	all, err := list(disk, "/s")
	var bytes int64
	for _, s := range all {
		bytes += s.Bytes
	}
	if err != nil || bytes > 20_000 || bytes < 10_000 || all[0].First < 50 {
		t.Errorf("%d bytes from record %d, %v", bytes, all[0].First, err)
	}
}

func TestRetainAge(t *testing.T) {
	disk, w := bounded(t, Config{RetainAge: 16 * time.Minute}, 100)
	all, err := list(disk, "/s")
	if err != nil || len(all) < 6 || all[0].First < 80 || all[0].First > 84 {
		t.Errorf("%d segments from record %d, %v", len(all), all[0].First, err)
	}
	if n := len(w.index.segs()); n != len(all) {
		t.Errorf("the writer knows of %d segments, there are %d", n, len(all))
	}
}

// The newest segment could be lost in a power cut: nothing is deleted for it yet.
func TestRetainWaitsForTheDisk(t *testing.T) {
	disk := newCrashDisk()
	w := mustOpen(t, Config{Dir: "/s", disk: disk, SegmentBytes: 2000, RetainBytes: 4000, SyncEvery: time.Hour})
	for n := range uint64(20) {
		r, bodies := push(web, n+1, 400)
		mustAppend(t, w, []xds.Record{r}, bodies...)
	}
	if all, _ := list(disk, "/s"); all[0].First != 1 {
		t.Errorf("deleted up to record %d", all[0].First)
	}
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
	w.Retain()
	if all, _ := list(disk, "/s"); all[0].First == 1 {
		t.Error("nothing was deleted")
	}
}

func TestPruneBesideAWriter(t *testing.T) {
	disk, w := bounded(t, Config{SegmentBytes: 4000}, 40)
	before, _ := list(disk, "/s")
	try, err := prune(disk, "/s", Limits{KeepBytes: 9000}, day, true)
	if after, _ := list(disk, "/s"); err != nil || len(after) != len(before) || len(try.Removed) == 0 {
		t.Fatalf("a try removed %d of %d, %v", len(before)-len(after), len(before), err)
	}
	done, err := prune(disk, "/s", Limits{KeepBytes: 9000}, day, false)
	if err != nil || len(done.Removed) != len(try.Removed) || len(done.Kept) == 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	r, bodies := push(web, 41, 400)
	mustAppend(t, w, []xds.Record{r}, bodies...)
	rd, err := OpenReaderWith("/s", ReaderConfig{disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close() //nolint:errcheck // only read
	if recs := everything(t, rd, 1); recs[0].Seq != done.Kept[0].First || recs[len(recs)-1].Seq != 41 {
		t.Errorf("records %d to %d", recs[0].Seq, recs[len(recs)-1].Seq)
	}
	if one, err := prune(disk, "/s", Limits{KeepBytes: 1}, day, false); err != nil || len(one.Kept) != 1 {
		t.Errorf("%d segments are left, %v", len(one.Kept), err)
	}
}

// Recording stops while too little is free, and begins again with some more.
func TestLowSpace(t *testing.T) {
	disk := newCrashDisk()
	w := mustOpen(t, Config{Dir: "/s", disk: disk, MinFree: 8 << 20})
	try := func(free int64) error {
		disk.mu.Lock()
		disk.free = free
		disk.mu.Unlock()
		w.space.written = spaceStep
		r, bodies := push(web, 1, 400)
		return w.Append([]xds.Record{r}, bodies)
	}
	for i, x := range []struct {
		free int64
		ok   bool
	}{{9 << 20, true}, {7 << 20, false}, {8<<20 + 1, false}, {10 << 20, true}, {8<<20 + 1, true}} {
		if err := try(x.free); (err == nil) != x.ok || err != nil && !errors.Is(err, ErrLowSpace) {
			t.Errorf("step %d, %d bytes free: %v", i, x.free, err)
		}
	}
}
