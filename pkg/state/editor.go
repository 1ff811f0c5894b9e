package state

import (
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Editor makes one Snapshot out of another by many changes, copying each shard
// it touches once. It is used by one goroutine, and not after Done.
type Editor struct {
	from   *Snapshot
	tables []table         // working copy, sorted by type
	owned  []*[fanout]bool // per table: the shards already copied; nil = the array is still shared
	dirty  bool
}

// Edit starts changes on s, which itself stays as it is.
func (s *Snapshot) Edit() *Editor {
	e := &Editor{from: s}
	if s != nil {
		e.tables = s.tables
	}
	return e
}

// Lookup returns what the Editor holds at this moment.
func (e *Editor) Lookup(typ, name string) (xds.Digest, bool) {
	return (&Snapshot{tables: e.tables}).Lookup(typ, name)
}

// Set gives a resource a digest.
func (e *Editor) Set(typ, name string, d xds.Digest) {
	if old, ok := e.Lookup(typ, name); ok && old == d {
		return
	}
	t, h := e.own(xds.Canonical(typ), name)
	sh := &t.shards[h]
	i, ok := sh.find(name)
	if ok {
		(*sh)[i].digest = d
		return
	}
	*sh = slices.Insert(*sh, i, item{strings.Clone(name), d})
	t.n++
}

// Delete takes a resource away, if it is there.
func (e *Editor) Delete(typ, name string) {
	if _, ok := e.Lookup(typ, name); !ok {
		return
	}
	t, h := e.own(xds.Canonical(typ), name)
	sh := &t.shards[h]
	i, _ := sh.find(name)
	*sh = slices.Delete(*sh, i, i+1)
	t.n--
}

// own returns the table of a type, made if need be, and the shard of a name, both
// free to change.
func (e *Editor) own(typ, name string) (*table, int) {
	if !e.dirty {
		e.dirty = true
		e.tables = slices.Clone(e.tables)
		e.owned = make([]*[fanout]bool, len(e.tables))
	}
	i, ok := slices.BinarySearchFunc(e.tables, typ, func(t table, s string) int { return strings.Compare(t.typ, s) })
	if !ok {
		e.tables = slices.Insert(e.tables, i, table{typ: typ, shards: new([fanout]shard)})
		e.owned = slices.Insert(e.owned, i, new([fanout]bool))
	}
	t := &e.tables[i]
	if e.owned[i] == nil {
		c := *t.shards
		t.shards, e.owned[i] = &c, new([fanout]bool)
	}
	h := hash(name)
	if !e.owned[i][h] {
		e.owned[i][h] = true
		t.shards[h] = append(make(shard, 0, len(t.shards[h])+1), t.shards[h]...)
	}
	return t, h
}

// Done returns the result: the Snapshot it started from when nothing differs in
// bookkeeping, so that a push without a change leaves the pointer as it was.
func (e *Editor) Done() *Snapshot {
	if !e.dirty {
		return e.from
	}
	tables := slices.DeleteFunc(e.tables, func(t table) bool { return t.n == 0 })
	e.tables, e.owned = nil, nil
	if len(tables) == 0 {
		return nil
	}
	return &Snapshot{tables: tables}
}
