package store

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// builder makes the frames of one group. What it learns counts only when they
// have been written: commit takes it over. Only past is changed at once, and
// forgotten where writing fails.
type builder struct {
	x       *index
	seg     *segment
	past    *past
	seed    uint32
	zstd    *zstd.Encoder
	off     int64 // in the file, of out[0]
	out     []byte
	head    head
	rows    []row
	middles []byte
	recs    []byte
	data    []byte // of the frame before, to be used again
	seq     uint64
	new     map[xds.Digest]uint32 // bodies of the group, by their number in the segment
	fresh   [][]byte              // their bytes
	names   map[xds.Digest]uint64 // the resources that bodies belong to
	reads   int                   // frames that may still be read to compare with
	named   map[uint64]bool       // sidecars that the segment defines, by tag
	naming  map[uint64]bool
	absent  map[xds.Digest]bool
}

// find is the number of a body that the segment holds, or will with this group.
func (b *builder) find(d xds.Digest) (uint32, bool) {
	if n, ok := b.new[d]; ok {
		return n, true
	}
	return b.seg.bodies.find(d)
}

func (b *builder) holds(d xds.Digest) bool {
	_, ok := b.find(d)
	return ok
}

func (b *builder) next() uint32 { return b.seg.bodies.next() + uint32(len(b.fresh)) }

// awaits notes the bodies that r names and the segment does not have.
func (b *builder) awaits(r *xds.Record) {
	refs(r, func(d xds.Digest) {
		if _, ok := b.names[d]; !ok && !b.holds(d) {
			b.names[d] = 0
		}
	})
}

// belong notes which resources the bodies are that come with r.
func (b *builder) belong(r *xds.Record) {
	note := func(typ, name string, d xds.Digest) {
		if key, ok := b.names[d]; ok && key == 0 {
			b.names[d] = b.past.resource(typ, name)
		}
	}
	switch {
	case len(b.names) == 0:
	case r.Push != nil:
		for i := range r.Push.Resources {
			note(r.Push.Type, r.Push.Resources[i].Name, r.Push.Resources[i].Digest)
		}
	case r.Base != nil:
		for _, t := range r.Base.Types {
			for i := range t.Resources {
				note(t.Type, t.Resources[i].Name, t.Resources[i].Digest)
			}
		}
	}
}

// body adds a body once.
func (b *builder) body(d xds.Digest, bytes []byte) error {
	if b.holds(d) {
		return nil
	}
	if len(bytes) > maxRaw/2 {
		return fmt.Errorf("body %s has %d bytes, more than a frame takes", d, len(bytes))
	}
	if b.size() > 0 && b.size()+len(bytes) > chunkRaw {
		b.flush(true)
	}
	n := b.next()
	if len(b.head.bodies) == 0 {
		b.head.firstBody = uint64(n)
	}
	row, middle := b.shorten(n, b.names[d], bytes)
	b.rows = append(b.rows, row)
	b.middles = append(b.middles, middle...)
	b.head.bodies = append(b.head.bodies, d)
	b.new[d] = n
	b.fresh = append(b.fresh, bytes)
	return nil
}

func (b *builder) size() int { return len(b.middles) + len(b.recs) }

// lacks says that a body which is named is nowhere to be had.
func (b *builder) lacks(d xds.Digest) {
	if !b.absent[d] {
		b.absent[d] = true
		b.head.absent = append(b.head.absent, d)
	}
}

// record adds a record. All bodies come before the first record of a group; where
// they are many, the records get a frame of their own, so that walking through the
// history decompresses no bodies, and reading bodies no records.
func (b *builder) record(r *xds.Record) error {
	if b.size() > chunkRaw || b.head.count == 0 && b.size() > splitRaw {
		b.flush(true)
	}
	if r.Kind != xds.KindBase {
		b.seq++
	}
	b.head.note(r, b.seq, b.mention)
	to := &target{b, r, b.seq}
	b.recs = prefixed(b.recs, func(x []byte) []byte { return putRecord(x, r, to) })
	if r.Kind == xds.KindClose {
		b.past.closed(r.Stream)
	}
	if len(b.recs) > maxRaw/2 {
		return fmt.Errorf("a record of kind %s has more than the %d bytes that a frame takes", r.Kind, maxRaw/2)
	}
	return nil
}

func (b *builder) mention(s xds.Sidecar) bool {
	tag := tagOf(s)
	if b.named[tag] || b.naming[tag] {
		return false
	}
	b.naming[tag] = true
	return true
}

// flush ends a frame. more: the group goes on.
func (b *builder) flush(more bool) {
	data := slices.Grow(b.data[:0], len(b.middles)+len(b.recs)+16*len(b.rows))
	data = append(append(putRows(data, b.rows), b.middles...), b.recs...)
	b.out = putFrame(b.out, b.seed, &b.head, data, more, b.zstd)
	b.data = data
	b.head, b.rows, b.middles, b.recs = head{prev: b.seq}, b.rows[:0], b.middles[:0], b.recs[:0]
}

func putUvarint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }
