package store

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// world is a control plane with a few streams beside the history that it should
// leave behind.
type world struct {
	disk     *crashDisk
	w        *Writer
	follower *Reader
	at       *cursor

	recs   []xds.Record // recs[i] has number i+1
	gone   map[uint64]bool
	synced uint64
	pruned uint64 // every number up to here may be missing
	bodies map[xds.Digest][]byte
	lists  map[listKey][]xds.Entry
	step   int
	now    time.Time
}

var worldTypes = []string{xds.ClusterType, xds.ListenerType}

func TestHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &world{disk: newCrashDisk(), gone: map[uint64]bool{}, bodies: map[xds.Digest][]byte{}, lists: map[listKey][]xds.Entry{}, now: day}
		m.open(t)
		defer func() { _ = m.w.Close(); _ = m.follower.Close() }()
		t.Repeat(map[string]func(*rapid.T){"push": m.push, "push again": m.push, "answer": m.answer, "close": m.close, "sync": m.sync,
			"kill": m.kill, "power cut": m.powerCut, "prune": m.prune, "full disk": m.full, "follow": m.follow, "": m.check})
	})
}

func (m *world) open(t *rapid.T) {
	cfg := Config{Dir: "/s", disk: m.disk, SegmentBytes: int64(rapid.IntRange(2000, 20_000).Draw(t, "segment")), SyncEvery: time.Hour,
		Bases: m.bases, Now: func() time.Time { return m.now }}
	if rapid.Bool().Draw(t, "bounded") {
		cfg.RetainBytes = 30_000
	}
	var err error
	if m.w, err = OpenWriter(cfg); err != nil {
		t.Fatal(err)
	}
	last, _ := m.w.Last()
	if last < m.synced || last > uint64(len(m.recs)) {
		t.Fatalf("opened at %d; %d were synced, %d written", last, m.synced, len(m.recs))
	}
	m.recs = m.recs[:last]
	m.lists = map[listKey][]xds.Entry{}
	m.reader(t)
}

func (m *world) reader(t *rapid.T) {
	if m.follower != nil {
		_ = m.follower.Close()
	}
	var err error
	if m.follower, err = OpenReaderWith("/s", ReaderConfig{CacheBytes: 20_000, disk: m.disk}); err != nil {
		t.Fatal(err)
	}
	m.at = m.follower.cursor(xds.Sidecar{}, 1, true)
}

// bases holds what was pushed last, all streams together.
func (m *world) bases() []xds.Record {
	b := &xds.Base{Push: uint64(m.step)}
	for _, k := range slices.SortedFunc(maps.Keys(m.lists), func(a, b listKey) int { return int(a.stream) - int(b.stream) }) {
		bt := xds.BaseType{Type: k.typ}
		for _, e := range m.lists[k] {
			bt.Resources = append(bt.Resources, xds.BaseEntry{Name: e.Name, Digest: e.Digest, Held: xds.HeldOffered, Stream: k.stream})
		}
		b.Types = append(b.Types, bt)
	}
	return []xds.Record{{Time: m.now, Kind: xds.KindBase, Sidecar: web, Base: b}}
}

func (m *world) fresh(name string) xds.Entry {
	m.step++
	b := bytesOf(fmt.Sprintf("%s %d ", name, m.step), 60)
	same := bytesOf(name, 400)
	d := xds.NewBody(append(append(slices.Clone(same[:200]), b...), same[200:]...))
	m.bodies[d.Digest] = d.Bytes
	return xds.Entry{Name: name, Digest: d.Digest, Size: len(d.Bytes)}
}

// push changes a list a little and sends it.
func (m *world) push(t *rapid.T) {
	k := listKey{uint64(rapid.IntRange(1, 3).Draw(t, "stream")), rapid.SampledFrom(worldTypes).Draw(t, "type")}
	list := slices.Clone(m.lists[k])
	for range rapid.IntRange(0, 4).Draw(t, "changes") {
		i := rapid.IntRange(0, 30).Draw(t, "place")
		switch what := rapid.IntRange(0, 5).Draw(t, "what"); {
		case i >= len(list) || what == 0:
			list = slices.Insert(list, min(i, len(list)), m.fresh(fmt.Sprint("resource ", rapid.IntRange(0, 40).Draw(t, "name"))))
		case what == 1:
			list = slices.Delete(list, i, i+1)
		case what == 2:
			j := rapid.IntRange(0, len(list)-1).Draw(t, "other")
			list[i], list[j] = list[j], list[i]
		case what == 3:
			list[i].Version = fmt.Sprint(m.step)
		default:
			list[i] = m.fresh(list[i].Name)
		}
	}
	p := &xds.Push{Number: uint64(len(m.recs) + 1), Type: k.typ, Nonce: fmt.Sprint(len(m.recs)), Resources: list}
	if m.append(t, xds.Record{Kind: xds.KindPush, Stream: k.stream, Push: p}) {
		m.lists[k] = list
	}
}

func (m *world) answer(t *rapid.T) {
	names := []string{"a", "b", fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "names"))}
	a := &xds.Answer{Request: xds.Request{Type: rapid.SampledFrom(worldTypes).Draw(t, "type"), Names: names}}
	m.append(t, xds.Record{Kind: xds.KindAnswer, Stream: uint64(rapid.IntRange(1, 3).Draw(t, "stream")), Answer: a})
}

func (m *world) close(t *rapid.T) {
	n := uint64(rapid.IntRange(1, 3).Draw(t, "stream"))
	if m.append(t, xds.Record{Kind: xds.KindClose, Stream: n, Close: &xds.Close{}}) {
		maps.DeleteFunc(m.lists, func(k listKey, _ []xds.Entry) bool { return k.stream == n })
	}
}

func (m *world) append(t *rapid.T, r xds.Record) bool {
	m.now = m.now.Add(time.Minute)
	r.Time, r.Sidecar = m.now, web
	var bodies []xds.Body
	refs(&r, func(d xds.Digest) {
		if !m.w.Has(d) {
			bodies = append(bodies, xds.Body{Digest: d, Bytes: m.bodies[d]})
		}
	})
	recs := []xds.Record{r}
	err := m.w.Append(recs, bodies)
	if failing := m.disk.fail != nil; failing != (err != nil) {
		t.Fatalf("the disk fails: %v, the append: %v", failing, err)
	}
	if err != nil {
		return false
	}
	m.recs = append(m.recs, recs[0])
	delete(m.gone, uint64(len(m.recs)))
	if recs[0].Seq != uint64(len(m.recs)) {
		t.Fatalf("record %d got number %d", len(m.recs), recs[0].Seq)
	}
	return true
}

// full lets one append fail in the middle.
func (m *world) full(t *rapid.T) {
	m.disk.fail = fmt.Errorf("no space left")
	m.answer(t)
	m.disk.fail = nil
}

func (m *world) sync(t *rapid.T) {
	if err := m.w.Sync(); err != nil {
		t.Fatal(err)
	}
	m.synced = uint64(len(m.recs))
}

// abandon ends a writer as kill -9 does: nothing is synced.
func (m *world) abandon() {
	close(m.w.sync.quit)
	<-m.w.sync.done
	m.w.index.close()
}

// kill ends the writer and keeps the disk: the follower goes on.
func (m *world) kill(t *rapid.T) {
	m.abandon()
	m.disk = m.disk.kill()
	follower, at := m.follower, m.at
	m.follower = nil
	synced := m.synced
	m.synced = uint64(len(m.recs))
	m.open(t)
	m.synced = synced
	_ = m.follower.Close()
	m.follower, m.at = follower, at
}

// powerCut loses what was not synced.
func (m *world) powerCut(t *rapid.T) {
	m.abandon()
	seed := rapid.Uint64().Draw(t, "seed")
	m.disk = m.disk.crash(newRand(seed))
	m.open(t)
	m.synced = uint64(len(m.recs))
	// What is missing in the middle must have been written after the last sync, and
	// stays missing; check sees that a gap tells it.
	r, err := OpenReaderWith("/s", ReaderConfig{disk: m.disk})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // only read
	c := r.cursor(xds.Sidecar{}, 1, true)
	next := c.next
	for _, rec := range append(read(t, c), xds.Record{Seq: uint64(len(m.recs)) + 1}) {
		for ; next < rec.Seq || next == rec.Seq && lostGap(&rec); next++ {
			m.gone[next] = true
		}
		next = rec.Seq + 1
	}
}

func (m *world) prune(t *rapid.T) {
	l := Limits{KeepBytes: int64(rapid.IntRange(0, 60_000).Draw(t, "keep"))}
	if rapid.Bool().Draw(t, "by age") {
		l = Limits{OlderThan: time.Duration(rapid.IntRange(1, 40).Draw(t, "age")) * time.Minute}
	}
	if _, err := prune(m.disk, "/s", l, m.now, false); err != nil {
		t.Fatal(err)
	}
}

func (m *world) follow(t *rapid.T) {
	from := m.at.next
	if err := m.follower.Refresh(); err != nil {
		t.Fatal(err)
	}
	m.same(t, from, read(t, m.at), m.follower)
}

// check reads everything with a fresh reader.
func (m *world) check(t *rapid.T) {
	r, err := OpenReaderWith("/s", ReaderConfig{CacheBytes: 20_000, disk: m.disk})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // only read
	c := r.cursor(xds.Sidecar{}, 1, true)
	first := c.next
	m.pruned = max(m.pruned, first-1)
	m.same(t, first, read(t, c), r)
	rep, err := verify(m.disk, "/s")
	if err != nil || len(m.gone) == 0 && !rep.OK() {
		t.Fatal(rep.Problems, err)
	}
}

// same checks that got is the history from a number on, without holes but for
// those that are told.
func (m *world) same(t *rapid.T, from uint64, got []xds.Record, r *Reader) {
	next := from
	for _, rec := range got {
		if lostGap(&rec) {
			for ; next <= rec.Seq; next++ {
				if next > m.pruned && !m.gone[next] {
					t.Fatalf("record %d is said to be lost", next)
				}
			}
			continue
		}
		if rec.Seq != next || rec.Seq > uint64(len(m.recs)) || string(putRecord(nil, &rec, nil)) != string(putRecord(nil, &m.recs[next-1], nil)) {
			t.Fatalf("record %d in the place of %d, of %d, is not what was written", rec.Seq, next, len(m.recs))
		}
		refs(&rec, func(d xds.Digest) {
			if b, ok, err := r.Body(d); err != nil || !ok && rec.Seq > m.pruned || ok && string(b) != string(m.bodies[d]) {
				t.Fatalf("body %s of record %d: %v, %v", d, rec.Seq, ok, err)
			}
		})
		next++
	}
	for m.gone[next] { // told when something comes behind
		next++
	}
	if next != uint64(len(m.recs))+1 {
		t.Fatalf("the history ends before %d, not %d", next, len(m.recs)+1)
	}
}

func lostGap(r *xds.Record) bool { return r.Kind == xds.KindGap && r.Gap.Lost > 0 }

func read(t *rapid.T, c *cursor) (out []xds.Record) {
	c.drain(func(r xds.Record, err error) bool {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
		return true
	})
	return out
}
