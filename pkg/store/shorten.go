package store

import (
	"encoding/binary"
	"math/bits"
)

// shorten says how body n is made of an older version of the same resource. It is
// compared with the last one that is whole, and with the newest: the first keeps
// the way short that a reader goes, the second wins only where it saves much.
func (b *builder) shorten(n uint32, resource uint64, body []byte) (row, []byte) {
	whole := row{size: uint32(len(body))}
	if resource == 0 {
		return whole, body
	}
	v, ok := b.past.versions[resource]
	if ok {
		if r, middle, depth := b.against(n, v, body); r.back > 0 {
			v.newest, v.depth = n, depth
			b.past.versions[resource] = v
			return r, middle
		}
	}
	b.past.versions[resource] = version{newest: n, root: n}
	return whole, body
}

// worth is how many bytes a step more on a reader's way has to save.
const worth = 48

func (b *builder) against(n uint32, v version, body []byte) (best row, middle []byte, depth uint8) {
	root, ok := b.older(v.root)
	if !ok {
		return row{}, nil, 0
	}
	best, middle = trim(root, body)
	best.back, depth = n-v.root, 1
	if v.newest != v.root && v.depth < maxDepth && len(middle) > worth {
		if newest, ok := b.older(v.newest); ok {
			if r, m := trim(newest, body); len(m)+worth < len(middle) {
				best, middle, depth = r, m, v.depth+1
				best.back = n - v.newest
			}
		}
	}
	if len(middle)*4 > len(body)*3 {
		return row{}, nil, 0
	}
	return best, middle, depth
}

// older gives the bytes of a body of the segment, unless that means to read much.
func (b *builder) older(n uint32) ([]byte, bool) {
	if first := b.seg.bodies.next(); n >= first {
		return b.fresh[n-first], true
	}
	body, err := b.x.older(b.seg, n, &b.reads)
	return body, err == nil
}

// trim finds what both have at their starts and ends.
func trim(old, new []byte) (row, []byte) {
	p := common(old, new)
	s := commonEnd(old[p:], new[p:])
	middle := new[p : len(new)-s]
	return row{prefix: uint32(p), suffix: uint32(s), size: uint32(len(middle))}, middle
}

func common(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

func commonEnd(a, b []byte) int {
	n, i := min(len(a), len(b)), 0
	for i < n && a[len(a)-1-i] == b[len(b)-1-i] {
		i++
	}
	return i
}
