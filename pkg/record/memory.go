package record

import (
	"iter"
	"slices"
	"sync"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Memory is a Log that keeps everything in memory, and the history to read from
// it. The zero Memory is empty and ready. Its methods may be called concurrently.
type Memory struct {
	mu       sync.RWMutex // guards all below
	records  []xds.Record // without bases
	bases    []xds.Record
	bodies   map[xds.Digest][]byte
	seen     map[xds.Sidecar]bool
	sidecars []xds.Sidecar // in order of appearance, nobody left out
	nobody   bool
	seq      uint64
}

// Append adds records and bodies. It never fails.
func (m *Memory) Append(recs []xds.Record, bodies []xds.Body) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bodies == nil {
		m.bodies, m.seen = map[xds.Digest][]byte{}, map[xds.Sidecar]bool{}
	}
	for _, b := range bodies {
		if _, ok := m.bodies[b.Digest]; !ok {
			m.bodies[b.Digest] = slices.Clone(b.Bytes)
		}
	}
	for i := range recs {
		if recs[i].Kind != xds.KindBase {
			m.seq++
		}
		recs[i].Seq = m.seq
		m.add(recs[i])
	}
	return nil
}

func (m *Memory) add(rec xds.Record) {
	if rec.Kind == xds.KindBase {
		m.bases = append(m.bases, rec)
	} else {
		m.records = append(m.records, rec)
	}
	if rec.Sidecar.IsZero() {
		m.nobody = m.nobody || rec.Stream != 0
		return
	}
	if !m.seen[rec.Sidecar] {
		m.seen[rec.Sidecar] = true
		m.sidecars = append(m.sidecars, rec.Sidecar)
	}
}

// Has reports whether the body of d is there.
func (m *Memory) Has(d xds.Digest) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, ok := m.bodies[d]
	return ok
}

// Sidecars lists the sidecars in order of appearance; the zero Sidecar stands
// last if there are streams of nobody.
func (m *Memory) Sidecars() ([]xds.Sidecar, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := slices.Clone(m.sidecars)
	if m.nobody {
		out = append(out, xds.Sidecar{})
	}
	return out, nil
}

// Base returns the newest base of id at or before record at.
func (m *Memory) Base(id xds.Sidecar, at uint64) (xds.Record, bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, b := range slices.Backward(m.bases) {
		if b.Sidecar == id && b.Seq <= at {
			return b, true, nil
		}
	}
	return xds.Record{}, false, nil
}

// Records yields the records of id from number from on, bases left out, with the
// gaps that concern everyone.
func (m *Memory) Records(id xds.Sidecar, from uint64) iter.Seq2[xds.Record, error] {
	return func(yield func(xds.Record, error) bool) {
		m.mu.RLock()
		recs := m.records // only ever appended to
		m.mu.RUnlock()
		i, _ := slices.BinarySearchFunc(recs, from, func(r xds.Record, n uint64) int {
			if r.Seq < n {
				return -1
			}
			return 1
		})
		for _, rec := range recs[i:] {
			everyone := rec.Kind == xds.KindGap && rec.Sidecar.IsZero()
			if (rec.Sidecar == id || everyone) && !yield(rec, nil) {
				return
			}
		}
	}
}

// Body returns the bytes of d.
func (m *Memory) Body(d xds.Digest) ([]byte, bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	b, ok := m.bodies[d]
	return b, ok, nil
}
