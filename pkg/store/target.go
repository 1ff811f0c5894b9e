package store

import (
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// target is where a record will stand: what stands there already is only named. A
// nil target has nothing.
type target struct {
	b   *builder
	r   *xds.Record
	seq uint64
}

// number is the place of a body in the segment.
func (t *target) number(d xds.Digest) (uint64, bool) {
	if t == nil {
		return 0, false
	}
	n, ok := t.b.find(d)
	return uint64(n), ok
}

// sameNames is how many records before the same names are told, 0 for nowhere.
func (t *target) sameNames(r *xds.Request) uint64 {
	if t == nil || len(r.Names) < 2 {
		return 0
	}
	at := t.b.past.namesAt(listKey{t.r.Stream, r.Type}, r.Names, t.seq)
	if at == 0 {
		return 0
	}
	return t.seq - at
}

// manifest describes the resources of a push, against an earlier one of its
// stream and type where that is shorter. Delta pushes hold only what is new.
func (t *target) manifest(p *xds.Push) *manifest {
	past := t.b.past
	m := &manifest{count: uint64(len(p.Resources)), fresh: len(p.Resources)}
	if !p.Delta {
		key := listKey{t.r.Stream, p.Type}
		l := past.sums(p.Resources)
		l.seq = t.seq
		if old := past.ref(key); old != nil {
			m.against(old, l, t.seq)
		}
		past.keep(key, l)
	}
	if m.back == 0 {
		m.steps = putUvarint(nil, uint64(len(p.Resources))<<2|stepNew)
	}
	m.eachFresh(func(i int, named bool) { m.entry(&p.Resources[i], named, t.number) })
	return m
}

// against takes the steps from old where most of it stays.
func (m *manifest) against(old, l *listing, seq uint64) {
	var d manifest
	d.compare(old, l)
	if 2*d.fresh > len(l.sums) {
		return
	}
	m.steps, m.fresh, m.back = d.steps, d.fresh, seq-old.seq
	l.depth = old.depth + 1
	if d.fresh == 0 && len(old.sums) == len(l.sums) && sameSums(old, l) {
		l.names, l.sums = old.names, old.sums // once in memory for all streams
	}
}

func sameSums(a, b *listing) bool { return slices.Equal(a.sums, b.sums) }
