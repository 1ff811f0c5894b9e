package store

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// builder makes the frames of one group. What it learns counts only when they
// have been written: commit takes it over.
type builder struct {
	seed   uint32
	zstd   *zstd.Encoder
	off    int64 // in the file, of out[0]
	out    []byte
	frames []*frame
	head   head
	data   []byte
	seq    uint64
	had    map[xds.Digest]bool // bodies that the segment holds
	new    map[xds.Digest]bool // and will hold with this group
	named  map[uint64]bool     // sidecars that the segment defines, by tag
	naming map[uint64]bool
	absent map[xds.Digest]bool
}

func (b *builder) holds(d xds.Digest) bool { return b.had[d] || b.new[d] }

// body adds a body once.
func (b *builder) body(d xds.Digest, bytes []byte) error {
	if b.holds(d) {
		return nil
	}
	if len(bytes) > maxRaw/2 {
		return fmt.Errorf("body %s has %d bytes, more than a frame takes", d, len(bytes))
	}
	if len(b.data) > 0 && len(b.data)+len(bytes) > chunkRaw {
		b.flush(true)
	}
	b.new[d] = true
	b.data = append(b.data, bytes...)
	b.head.bodies = append(b.head.bodies, bodyRef{d, uint64(len(bytes))})
	return nil
}

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
	if len(b.data) > chunkRaw || b.head.count == 0 && len(b.data) > splitRaw {
		b.flush(true)
	}
	if r.Kind != xds.KindBase {
		b.seq++
	}
	b.head.note(r, b.seq, b.mention)
	b.data = prefixed(b.data, func(x []byte) []byte { return putRecord(x, r) })
	if len(b.data) > maxRaw {
		return fmt.Errorf("a record of kind %s has more than the %d bytes that a frame takes", r.Kind, maxRaw)
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
	at := len(b.out)
	b.out = putFrame(b.out, b.seed, &b.head, b.data, more, b.zstd)
	f, _ := parseFrame(b.out[at:], b.seed) // just made
	f.off = b.off + int64(at)
	b.frames = append(b.frames, f)
	b.head, b.data = head{prev: b.seq}, b.data[:0]
}
