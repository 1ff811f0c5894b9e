package store

import (
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const (
	digestSize = len(xds.Digest{})
	maxBodies  = 1 << 31 // in one segment
)

// head is what an index needs to know of a frame. It is not compressed, so that a
// store is opened without decompressing anything.
type head struct {
	prev      uint64 // number of the last record before this frame
	count     uint64 // records in the frame
	numbered  uint64 // of these, the ones that have a number: all but bases
	maxStream uint64
	everyone  bool   // holds a gap that concerns every sidecar
	raw       uint64 // length of the data before compression
	bodies    []xds.Digest
	firstBody uint64 // number of the first of them in the segment: 0, 1, ...
	sidecars  []sidecarRef
	bases     []baseRef
	absent    []xds.Digest // named by records of the group, and the writer had no body for them
}

// sidecarRef says that records of one sidecar are in the frame.
type sidecarRef struct {
	tag     uint64
	maxPush uint64
	defined bool // id is given: the segment's first mention
	id      xds.Sidecar
}

// baseRef says that a base is in the frame, valid after record seq.
type baseRef struct{ tag, seq uint64 }

// tagOf stands for a sidecar in heads. Two with one tag cost time, no more: the
// records themselves decide.
func tagOf(s xds.Sidecar) uint64 {
	h := fnv.New64a()
	h.Write(putSidecar(nil, s)) //nolint:errcheck // a hash takes everything
	return h.Sum64()
}

func (h *head) encode(b []byte) []byte {
	b = putUint(b, 1, h.prev)
	b = putUint(b, 2, h.count)
	b = putUint(b, 3, h.numbered)
	b = putUint(b, 4, h.maxStream)
	b = putUint(b, 5, h.raw)
	b = putBool(b, 6, h.everyone)
	if len(h.bodies) > 0 {
		b = putMessage(b, 7, h.putBodies)
		b = putUint(b, 11, h.firstBody)
	}
	for _, s := range h.sidecars {
		b = putMessage(b, 8, s.encode)
	}
	for _, r := range h.bases {
		b = putMessage(b, 9, func(b []byte) []byte { return putUint(putFixed(b, 1, r.tag), 2, r.seq) })
	}
	for _, d := range h.absent {
		b = putDigest(b, 10, d)
	}
	return b
}

func (h *head) putBodies(b []byte) []byte {
	for i := range h.bodies {
		b = append(b, h.bodies[i][:]...)
	}
	return b
}

func (s sidecarRef) encode(b []byte) []byte {
	b = putUint(putFixed(b, 1, s.tag), 2, s.maxPush)
	if s.defined {
		b = putMessage(b, 3, func(b []byte) []byte { return putSidecar(b, s.id) })
	}
	return b
}

func (h *head) decode(b []byte) error {
	d := decoder{rest: b}
	for d.next() {
		h.field(&d)
	}
	if d.err != nil {
		return fmt.Errorf("reading the head of a frame: %w", d.err)
	}
	return h.check()
}

func (h *head) field(d *decoder) {
	switch d.num {
	case 1:
		h.prev = d.uint()
	case 2:
		h.count = d.uint()
	case 3:
		h.numbered = d.uint()
	case 4:
		h.maxStream = d.uint()
	case 5:
		h.raw = d.uint()
	case 6:
		h.everyone = d.bool()
	case 7:
		h.getBodies(d)
	case 8:
		d.sub(func(d *decoder) { h.sidecars = append(h.sidecars, getSidecarRef(d)) })
	case 9:
		d.sub(func(d *decoder) { h.bases = append(h.bases, getBaseRef(d)) })
	case 10:
		h.absent = append(h.absent, d.digest())
	case 11:
		h.firstBody = d.uint()
	}
}

func (h *head) getBodies(d *decoder) {
	b := d.view()
	if len(b)%digestSize != 0 {
		d.err = errHead
		return
	}
	h.bodies = slices.Grow(h.bodies, len(b)/digestSize)
	for ; len(b) > 0; b = b[digestSize:] {
		h.bodies = append(h.bodies, xds.Digest(b[:digestSize]))
	}
}

func getSidecarRef(d *decoder) (s sidecarRef) {
	for d.next() {
		switch d.num {
		case 1:
			s.tag = d.fixed()
		case 2:
			s.maxPush = d.uint()
		case 3:
			s.defined = true
			d.sub(func(d *decoder) { s.id = getSidecar(d) })
		}
	}
	return s
}

func getBaseRef(d *decoder) (r baseRef) {
	for d.next() {
		switch d.num {
		case 1:
			r.tag = d.fixed()
		case 2:
			r.seq = d.uint()
		}
	}
	return r
}

// check refuses sums that cannot be: the rest of the code may rely on them.
func (h *head) check() error {
	n := uint64(len(h.bodies))
	if h.raw > maxRaw || n > h.raw || h.numbered > h.count || h.count > h.raw || h.prev+h.numbered < h.prev || h.firstBody > maxBodies-n {
		return errHead
	}
	return nil
}

// reset empties h and keeps its memory.
func (h *head) reset() {
	*h = head{bodies: h.bodies[:0], sidecars: h.sidecars[:0], bases: h.bases[:0], absent: h.absent[:0]}
}

// note adds r to what the head says. first tells whether this is the segment's
// first mention of a sidecar.
func (h *head) note(r *xds.Record, seq uint64, first func(xds.Sidecar) bool) {
	h.count++
	h.maxStream = max(h.maxStream, newestStream(r))
	tag := tagOf(r.Sidecar)
	if r.Kind == xds.KindBase {
		h.bases = append(h.bases, baseRef{tag, seq})
	} else {
		h.numbered++
	}
	if r.Kind == xds.KindGap && r.Sidecar.IsZero() {
		if h.everyone = true; r.Stream == 0 {
			return
		}
	}
	for i := range h.sidecars {
		if h.sidecars[i].tag == tag {
			h.sidecars[i].maxPush = max(h.sidecars[i].maxPush, newest(r))
			return
		}
	}
	h.sidecars = append(h.sidecars, sidecarRef{tag, newest(r), first(r.Sidecar), r.Sidecar})
}
