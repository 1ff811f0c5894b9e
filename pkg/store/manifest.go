package store

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// A manifest is the resources of a push: whole, or what is new against an earlier
// push of the segment. Its fields stand in docs/format.md.

// The steps from an old list to a new one; the number above the lowest two bits
// says how many entries.
const (
	stepCopy   = 0 // entries as they stand in the old list
	stepModify = 1 // entries with the name of the old one, the rest is given
	stepNew    = 2 // entries that are given
	stepJump   = 3 // go on elsewhere in the old list; a signed number
)

// maxEntries bounds a list that is read.
const maxEntries = 1 << 24

// manifest is what is written of a list.
type manifest struct {
	back                              uint64 // so many records before stands the old list; 0: none
	count                             uint64 // entries
	steps, names, bodies, sizes, more []byte
	fresh                             int    // entries that are given
	next                              uint64 // the body that would come next
	skipped                           uint64 // entries since the last one in more
}

func (m *manifest) encode(b []byte) []byte {
	b = putUint(b, 1, m.back)
	b = putUint(b, 2, m.count)
	b = putBytes(b, 3, m.steps)
	b = putBytes(b, 4, m.names)
	b = putBytes(b, 5, m.bodies)
	b = putBytes(b, 6, m.sizes)
	return putBytes(b, 7, m.more)
}

func getManifest(d *decoder) (m manifest) {
	for d.next() {
		switch d.num {
		case 1:
			m.back = d.uint()
		case 2:
			m.count = d.uint()
		case 3:
			m.steps = d.view()
		case 4:
			m.names = d.view()
		case 5:
			m.bodies = d.view()
		case 6:
			m.sizes = d.view()
		case 7:
			m.more = d.view()
		}
	}
	return m
}

// compare writes the steps from old to new.
func (m *manifest) compare(old, new *listing) {
	var where map[uint64]int // old names
	at, kind, run := 0, uint64(stepCopy), uint64(0)
	step := func(k uint64) {
		if k != kind && run > 0 {
			m.steps = binary.AppendUvarint(m.steps, run<<2|kind)
			run = 0
		}
		kind, run = k, run+1
	}
	for i := range new.sums {
		if at >= len(old.sums) || old.names[at] != new.names[i] {
			if where == nil {
				where = make(map[uint64]int, len(old.names))
				for j, n := range old.names {
					where[n] = j
				}
			}
			j, ok := where[new.names[i]]
			if !ok {
				step(stepNew)
				m.fresh++
				continue
			}
			if run > 0 {
				m.steps = binary.AppendUvarint(m.steps, run<<2|kind)
				run = 0
			}
			m.steps = binary.AppendUvarint(m.steps, (uint64(j-at)<<1^uint64((j-at)>>63))<<2|stepJump)
			at = j
		}
		if old.sums[at] == new.sums[i] {
			step(stepCopy)
		} else {
			step(stepModify)
			m.fresh++
		}
		at++
	}
	if run > 0 {
		m.steps = binary.AppendUvarint(m.steps, run<<2|kind)
	}
}

// eachFresh calls f for the entries that are given: those that steps do not copy.
func (m *manifest) eachFresh(f func(i int, named bool)) {
	c, i := column{rest: m.steps}, 0
	for len(c.rest) > 0 {
		v := c.uint()
		n := int(v >> 2)
		switch v & 3 {
		case stepCopy:
			i += n
		case stepModify, stepNew:
			for range n {
				f(i, v&3 == stepNew)
				i++
			}
		}
	}
}

// entry writes one that is given.
func (m *manifest) entry(e *xds.Entry, named bool, number func(xds.Digest) (uint64, bool)) {
	if named {
		m.names = append(binary.AppendUvarint(m.names, uint64(len(e.Name))), e.Name...)
	}
	n, ok := number(e.Digest)
	ok = ok && e.State == xds.EntryBody
	m.bodies, m.next = putNumber(m.bodies, n, ok, m.next)
	m.sizes = binary.AppendUvarint(m.sizes, uint64(e.Size))
	if more := putMore(nil, e, !ok); len(more) > 0 {
		m.more = binary.AppendUvarint(m.more, m.skipped)
		m.more = append(binary.AppendUvarint(m.more, uint64(len(more))), more...)
		m.skipped = 0
		return
	}
	m.skipped++
}

// putNumber writes the number of a body as the distance from the one expected, or
// that there is none.
func putNumber(b []byte, n uint64, ok bool, next uint64) ([]byte, uint64) {
	if !ok {
		return append(b, 0), next
	}
	v := int64(n - next)
	return binary.AppendUvarint(b, uint64(v)<<1^uint64(v>>63)+1), n + 1
}

// number reads what putNumber wrote.
func (c *column) number(next uint64) (n uint64, ok bool, after uint64) {
	v := c.uint()
	if v == 0 {
		return 0, false, next
	}
	v--
	n = next + uint64(int64(v>>1)^-int64(v&1))
	return n, true, n + 1
}

// putMore writes the fields of an entry that few have.
func putMore(b []byte, e *xds.Entry, digest bool) []byte {
	if e.State == 0 && !digest && !e.Wrapped && e.Version == "" && len(e.Aliases) == 0 && e.TTL == 0 && len(e.Rest) == 0 {
		return b
	}
	few := *e
	few.Name, few.Size = "", 0
	if !digest {
		few.Digest = xds.Digest{}
	}
	return putEntry(b, &few)
}

var errManifest = errors.New("a list of resources contradicts itself")

// apply makes the new list from the old one. own says that old may be changed.
func (m *manifest) apply(old []xds.Entry, own bool, in *origin) ([]xds.Entry, error) {
	if m.count > maxEntries {
		return nil, errManifest
	}
	a := &applier{m: m, in: in, names: column{rest: m.names}, bodies: column{rest: m.bodies}, sizes: column{rest: m.sizes}, more: column{rest: m.more}}
	a.nextMore()
	out, err := a.run(old, own)
	if err == nil && (a.names.bad || a.bodies.bad || a.sizes.bad || a.more.bad || uint64(len(out)) != m.count) {
		err = errManifest
	}
	return out, err
}

// applier reads the columns of a manifest.
type applier struct {
	m                          *manifest
	in                         *origin
	names, bodies, sizes, more column
	next                       uint64 // body
	wait                       uint64 // entries until the next in more
	some                       bool   // there is one
	err                        error
}

func (a *applier) nextMore() {
	if a.some = len(a.more.rest) > 0; a.some {
		a.wait = a.more.uint()
	}
}

// given reads an entry.
func (a *applier) given(name string, named bool) (e xds.Entry) {
	if e.Name = name; named {
		e.Name = string(a.names.bytes(a.names.uint()))
	}
	n, ok, next := a.bodies.number(a.next)
	a.next = next
	size := int(a.sizes.uint())
	if a.some && a.wait == 0 {
		d := decoder{rest: a.more.bytes(a.more.uint())}
		few := getEntry(&d)
		few.Name = e.Name
		e = few
		if d.err != nil && a.err == nil {
			a.err = d.err
		}
		a.nextMore()
	} else {
		a.wait--
	}
	e.Size = size
	if ok {
		if e.Digest, ok = a.in.digest(n); !ok {
			e.State, e.Digest = xds.EntryBodyless, xds.Digest{}
			if a.in != nil && a.in.missed != nil {
				a.in.missed(e.Name)
			}
		}
	}
	return e
}

// plain: the steps leave every entry at its place.
func (m *manifest) plain(old []xds.Entry) bool {
	if uint64(len(old)) != m.count {
		return false
	}
	for c := (column{rest: m.steps}); len(c.rest) > 0; {
		if c.uint()&3 > stepModify {
			return false
		}
	}
	return true
}

func (a *applier) run(old []xds.Entry, own bool) ([]xds.Entry, error) {
	if a.m.plain(old) {
		if !own {
			old = slices.Clone(old)
		}
		return a.inPlace(old)
	}
	out := make([]xds.Entry, 0, min(a.m.count, uint64(len(old)+len(a.m.sizes))))
	at := uint64(0)
	for c := (column{rest: a.m.steps}); len(c.rest) > 0; {
		v := c.uint()
		n := v >> 2
		kind := v & 3
		if kind == stepJump {
			at += uint64(int64(n>>1) ^ -int64(n&1))
			continue
		}
		if c.bad || n > a.m.count-uint64(len(out)) || kind != stepNew && (at > uint64(len(old)) || n > uint64(len(old))-at) || kind != stepCopy && n > uint64(len(a.m.sizes)) {
			return nil, errManifest
		}
		switch kind {
		case stepCopy:
			out = append(out, old[at:at+n]...)
			at += n
		case stepModify:
			for ; n > 0; n, at = n-1, at+1 {
				out = append(out, a.given(old[at].Name, false))
			}
		case stepNew:
			for ; n > 0; n-- {
				out = append(out, a.given("", true))
			}
		}
	}
	return out, a.err
}

func (a *applier) inPlace(list []xds.Entry) ([]xds.Entry, error) {
	at := uint64(0)
	for c := (column{rest: a.m.steps}); len(c.rest) > 0; {
		v := c.uint()
		n := v >> 2
		if c.bad || n > uint64(len(list))-at {
			return nil, errManifest
		}
		for end := at + n; v&3 == stepModify && at < end; at++ {
			list[at] = a.given(list[at].Name, false)
		}
		if v&3 == stepCopy {
			at += n
		}
	}
	if at != uint64(len(list)) {
		return nil, errManifest
	}
	return list, a.err
}
