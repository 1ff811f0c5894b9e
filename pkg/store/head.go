package store

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
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
	bodies    []bodyRef
	sidecars  []sidecarRef
	bases     []baseRef
	absent    []xds.Digest // named by records of the group, and the writer had no body for them
}

// bodyRef is a body of the frame. The bodies stand first in the data, in order.
type bodyRef struct {
	digest xds.Digest
	size   uint64
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
	for _, r := range h.bodies {
		b = protowire.AppendVarint(append(b, r.digest[:]...), r.size)
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
	}
}

func (h *head) getBodies(d *decoder) {
	b := d.view()
	for len(b) > 0 {
		var r bodyRef
		n := copy(r.digest[:], b)
		size, m := binary.Uvarint(b[n:])
		if m <= 0 {
			d.err = errHead
			return
		}
		r.size, b = size, b[n+m:]
		h.bodies = append(h.bodies, r)
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
	left := h.raw
	for _, r := range h.bodies {
		if r.size > left {
			return errHead
		}
		left -= r.size
	}
	if h.raw > maxRaw || h.numbered > h.count || h.count > left || h.prev+h.numbered < h.prev {
		return errHead
	}
	return nil
}

// bodyBytes is the length of the bodies together.
func (h *head) bodyBytes() (n uint64) {
	for _, r := range h.bodies {
		n += r.size
	}
	return n
}

// concerns reports whether records for the sidecar with this tag may be here.
func (h *head) concerns(tag uint64) bool {
	if h.everyone {
		return true
	}
	for _, s := range h.sidecars {
		if s.tag == tag {
			return true
		}
	}
	return false
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
