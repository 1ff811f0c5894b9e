package state

import (
	"iter"
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Snapshot is all that a sidecar holds at a moment: per resource type, name ->
// digest. It never changes: With and Without return another one that shares all
// that did not differ, so keeping thousands of them is cheap. The nil Snapshot is
// empty. Types may be given as sent; they are kept as xds.Canonical names them. A
// resource that is known without its body has the digest xds.Bodyless.
type Snapshot struct {
	tables []table // sorted by type; no empty one
}

// table holds the resources of one type.
type table struct {
	typ    string
	n      int
	shards *[fanout]shard
}

// shard is the part of a table whose names share a hash: sorted by name, never
// changed once it is part of a Snapshot.
type shard []item

type item struct {
	name   string
	digest xds.Digest
}

// fanout is how many shards a table has: at 20,000 resources a change copies
// some 80 items and the array of shards, about 10 KB.
const fanout = 256

// hash is FNV-1a, folded to a shard number. It needs to be stable only within a
// process; that it is stable everywhere makes runs repeatable.
func hash(name string) int {
	h := uint32(2166136261)
	for i := 0; i < len(name); i++ {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return int((h ^ h>>8 ^ h>>16 ^ h>>24) % fanout)
}

func (s shard) find(name string) (int, bool) {
	return slices.BinarySearchFunc(s, name, func(it item, n string) int { return strings.Compare(it.name, n) })
}

// same reports whether two shards are one and the same memory.
func (s shard) same(o shard) bool {
	return len(s) == len(o) && (len(s) == 0 || &s[0] == &o[0])
}

func (s *Snapshot) table(typ string) *table {
	if s == nil {
		return nil
	}
	typ = xds.Canonical(typ)
	for i := range s.tables {
		if s.tables[i].typ == typ {
			return &s.tables[i]
		}
	}
	return nil
}

// Lookup returns the digest of a resource, and whether it is there.
func (s *Snapshot) Lookup(typ, name string) (xds.Digest, bool) {
	t := s.table(typ)
	if t == nil {
		return xds.Digest{}, false
	}
	sh := t.shards[hash(name)]
	i, ok := sh.find(name)
	if !ok {
		return xds.Digest{}, false
	}
	return sh[i].digest, true
}

// Len is how many resources of a type there are.
func (s *Snapshot) Len(typ string) int {
	if t := s.table(typ); t != nil {
		return t.n
	}
	return 0
}

// Types lists the types of which there is a resource, sorted.
func (s *Snapshot) Types() []string {
	if s == nil {
		return nil
	}
	out := make([]string, len(s.tables))
	for i := range s.tables {
		out[i] = s.tables[i].typ
	}
	return out
}

// All yields the resources of a type, sorted by name.
func (s *Snapshot) All(typ string) iter.Seq2[string, xds.Digest] {
	return func(yield func(string, xds.Digest) bool) {
		t := s.table(typ)
		if t == nil {
			return
		}
		for _, it := range t.sorted() {
			if !yield(it.name, it.digest) {
				return
			}
		}
	}
}

func (t *table) sorted() []item {
	all := make([]item, 0, t.n)
	for _, sh := range t.shards {
		all = append(all, sh...)
	}
	slices.SortFunc(all, func(a, b item) int { return strings.Compare(a.name, b.name) })
	return all
}

// With returns s with one resource set.
func (s *Snapshot) With(typ, name string, d xds.Digest) *Snapshot {
	e := s.Edit()
	e.Set(typ, name, d)
	return e.Done()
}

// Without returns s less one resource.
func (s *Snapshot) Without(typ, name string) *Snapshot {
	e := s.Edit()
	e.Delete(typ, name)
	return e.Done()
}
