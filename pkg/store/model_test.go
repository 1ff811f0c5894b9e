package store

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// model is a store beside a plain list of what it must hold.
type model struct {
	dir    string
	w      *Writer
	r      *Reader
	recs   []xds.Record // recs[i] has number i+1
	bodies map[xds.Digest][]byte
	holds  map[xds.Digest]bool // named by a base: must survive any deletion
	ids    []xds.Sidecar
	undo   func(*rapid.T) // takes the last append back, as a crash would
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "store-model")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // temporary
		m := &model{dir: dir, bodies: map[xds.Digest][]byte{}, holds: map[xds.Digest]bool{}, ids: []xds.Sidecar{{}, web, {Node: "b"}}}
		m.open(t)
		m.reader(t)
		defer func() { _ = m.w.Close(); _ = m.r.Close() }()
		defer m.verify(t)
		t.Repeat(map[string]func(*rapid.T){
			"append": m.append, "reopen": m.reopen, "crash": m.crash, "delete": m.delete, "reader": m.reader, "": m.check,
		})
	})
}

func (m *model) open(t *rapid.T) {
	var err error
	m.w, err = OpenWriter(Config{Dir: m.dir, SegmentBytes: int64(rapid.IntRange(500, 6000).Draw(t, "segment")), Bases: m.base})
	if err != nil {
		t.Fatal(err)
	}
	m.verify(t)
	if seq, _ := m.w.Last(); seq != uint64(len(m.recs)) {
		t.Fatalf("opened at %d, want %d", seq, len(m.recs))
	}
}

// base holds the bodies of the last push.
func (m *model) base() []xds.Record {
	b := &xds.Base{}
	for d := range m.holds {
		b.Types = append(b.Types, xds.BaseType{Type: "t", Resources: []xds.BaseEntry{{Name: d.String(), Digest: d}}})
	}
	return []xds.Record{{Kind: xds.KindBase, Sidecar: web, Base: b}}
}

func (m *model) append(t *rapid.T) {
	var recs []xds.Record
	var bodies []xds.Body
	held := map[xds.Digest]bool{}
	for range rapid.IntRange(1, 4).Draw(t, "records") {
		r := anyRecord().Draw(t, "record")
		r.Sidecar = rapid.SampledFrom(m.ids).Draw(t, "sidecar")
		switch {
		case r.Push != nil:
			clear(held)
			r.Push.Resources = nil
			for i := range rapid.IntRange(0, 5).Draw(t, "resources") {
				b := xds.NewBody(bytesOf(fmt.Sprint("body ", rapid.IntRange(0, 60).Draw(t, "body")), 40+30*i))
				r.Push.Resources = append(r.Push.Resources, xds.Entry{Name: "n", Digest: b.Digest})
				held[b.Digest] = true
				if !m.w.Has(b.Digest) || rapid.Bool().Draw(t, "again") {
					bodies = append(bodies, b)
				}
			}
		case r.Base != nil:
			r.Base.Types, r.Base.Node = nil, xds.Digest{}
		case r.Request != nil:
			r.Request.Node = xds.Digest{}
		case r.Answer != nil:
			r.Answer.Node = xds.Digest{}
		}
		recs = append(recs, r)
	}
	m.commit(t, recs, bodies, held)
}

func (m *model) commit(t *rapid.T, recs []xds.Record, bodies []xds.Body, held map[xds.Digest]bool) {
	old, good, before, holds := m.w.cur, int64(0), len(m.recs), m.holds
	if old != nil {
		good = old.seg.good
	}
	if err := m.w.Append(recs, bodies); err != nil {
		t.Fatal(err)
	}
	for _, b := range bodies {
		m.bodies[b.Digest] = b.Bytes
	}
	for _, r := range recs {
		if r.Kind != xds.KindBase {
			m.recs = append(m.recs, r)
		}
		if r.Seq != uint64(len(m.recs)) {
			t.Fatalf("record %d got number %d", len(m.recs), r.Seq)
		}
	}
	if len(held) > 0 {
		m.holds = held
	}
	name, end := m.w.cur.seg.name, m.w.cur.seg.good
	if m.w.cur != old {
		good = 0
	}
	m.undo = func(t *rapid.T) {
		at := rapid.Int64Range(good, end-1).Draw(t, "cut")
		if err := os.Truncate(filepath.Join(m.dir, name), at); err != nil {
			t.Fatal(err)
		}
		m.recs, m.holds = m.recs[:before], holds
	}
}

func (m *model) reopen(t *rapid.T) {
	if err := m.w.Close(); err != nil {
		t.Fatal(err)
	}
	m.undo = nil
	m.open(t)
}

// crash loses the end of the last write, as a machine that goes down does.
func (m *model) crash(t *rapid.T) {
	if m.undo == nil {
		t.Skip("nothing to lose")
	}
	if err := m.w.Close(); err != nil {
		t.Fatal(err)
	}
	m.undo(t)
	m.undo = nil
	m.open(t)
	m.reader(t)
}

func (m *model) delete(t *rapid.T) {
	names, err := segmentNames(osFiles{}, m.dir)
	if err != nil || len(names) < 2 {
		t.Skip("too few segments")
	}
	for _, name := range names[:rapid.IntRange(1, len(names)-1).Draw(t, "deleted")] {
		if err := os.Remove(filepath.Join(m.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	m.undo = nil
	m.reader(t)
	m.verify(t)
}

// reader reads with a fresh Reader from now on.
func (m *model) reader(t *rapid.T) {
	if m.r != nil {
		_ = m.r.Close()
	}
	var err error
	if m.r, err = OpenReaderWith(m.dir, ReaderConfig{CacheBytes: 5000}); err != nil {
		t.Fatal(err)
	}
}

// check runs after each step: a reader shows the list, from where the oldest
// segment starts, and has every body that it names.
func (m *model) check(t *rapid.T) {
	if err := m.r.Refresh(); err != nil {
		t.Fatal(err)
	}
	if p := m.r.Problems(); len(p) != 0 {
		t.Fatal(p)
	}
	first := uint64(len(m.recs)) + 1
	if len(m.r.x.segs()) > 0 {
		first = m.r.x.segs()[0].first
	}
	want := m.recs[first-1:]
	for _, id := range m.ids {
		m.checkOne(t, id, want)
	}
}

func (m *model) verify(t *rapid.T) {
	rep, err := Verify(m.dir)
	if err != nil || !rep.OK() || len(rep.Torn) > 0 {
		t.Fatal(rep, err)
	}
}

func (m *model) checkOne(t *rapid.T, id xds.Sidecar, want []xds.Record) {
	i := 0
	for got, err := range m.r.Records(id, 1) {
		if err != nil {
			t.Fatal(err)
		}
		for i < len(want) && want[i].Sidecar != id && (want[i].Kind != xds.KindGap || !want[i].Sidecar.IsZero()) {
			i++
		}
		if i == len(want) || got.Seq != want[i].Seq || string(putRecord(nil, &got, nil)) != string(putRecord(nil, &want[i], nil)) {
			t.Fatalf("%s: record %d is not the one expected", id.Name(), got.Seq)
		}
		refs(&got, func(d xds.Digest) {
			if b, ok, err := m.r.Body(d); !ok || err != nil || string(b) != string(m.bodies[d]) {
				t.Fatalf("body %s: %v, %v", d, ok, err)
			}
		})
		i++
	}
	for ; i < len(want); i++ {
		if want[i].Sidecar == id {
			t.Fatalf("%s: record %d is missing", id.Name(), want[i].Seq)
		}
	}
}
