package sourcetest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/query/sourcetest"
	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/store"
	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

var (
	_ query.Source   = (*record.Memory)(nil)
	_ query.Source   = (*transcript.Source)(nil)
	_ query.Source   = (*store.Reader)(nil)
	_ query.Follower = (*store.Reader)(nil)
)

// sessions are recordings of different kinds: Delta, state of the world, NACKs,
// reconnects, two pods, many single-type streams, streams of nobody.
var sessions = []string{
	"01-seed-mysql-delta", "02-seed-mysql-sotw", "07-nack", "08-reconnect", "11-dns-capture", "32-gcp-ads-sotw-ttl", "34-gcp-mux-delta", "50-istio-1.4-v2",
}

func TestSourcesKeepTheirPromises(t *testing.T) {
	for _, name := range sessions {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fill(t, dir, name)
			r, err := store.OpenReader(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = r.Close() }()
			t.Run("store", func(t *testing.T) { sourcetest.Check(t, r) })
			mem := read(t, name)
			t.Run("transcript", func(t *testing.T) { sourcetest.Check(t, mem) })
			t.Run("same", func(t *testing.T) { sourcetest.Same(t, mem, r) })
		})
	}
}

func open(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Open(filepath.Join("../../../test/recordings", name, "session.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// read reads a session into memory, with the key that fill uses.
func read(t *testing.T, name string) *transcript.Source {
	t.Helper()
	src, err := transcript.Read(open(t, name), name, transcript.Config{Key: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// log writes to a store and folds along, for the bases of small segments.
type log struct {
	w    *store.Writer
	fold *state.Fold
}

func (l *log) Append(recs []xds.Record, bodies []xds.Body) error {
	if err := l.w.Append(recs, bodies); err != nil {
		return err
	}
	for _, r := range recs {
		l.fold.Apply(r)
	}
	return nil
}

func (l *log) Has(d xds.Digest) bool { return l.w.Has(d) }

func (l *log) bases() []xds.Record {
	var out []xds.Record
	for _, id := range l.fold.Sidecars() {
		if b, ok := l.fold.Base(id); ok {
			out = append(out, b)
		}
	}
	return out
}

// fill records a session into a store of many small segments.
func fill(t *testing.T, dir, name string) {
	t.Helper()
	l := &log{fold: state.New(nil)}
	var err error
	if l.w, err = store.OpenWriter(store.Config{Dir: dir, SegmentBytes: 1 << 12, Bases: l.bases}); err != nil {
		t.Fatal(err)
	}
	rec, err := record.New(record.Config{Log: l, Key: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	for s, err := range transcript.Sightings(open(t, name), name, func(string) {}) {
		if err != nil {
			t.Fatal(err)
		}
		if err := rec.Sight(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.w.Close(); err != nil {
		t.Fatal(err)
	}
}
