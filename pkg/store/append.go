package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

var errClosed = errors.New("appending to a store: it is closed")

// maxReads is how many frames one append may read to compare bodies with older ones.
const maxReads = 24

// Append writes records, and the bodies they name that the store does not have,
// in one write call, and sets the records' Seq; a base gets the number of the
// record before it. All of it is there afterwards, for readers at once, or, with
// an error, nothing; a later Append may succeed. The error wraps ErrLowSpace while
// the disk has less room than Config.MinFree.
func (w *Writer) Append(recs []xds.Record, bodies []xds.Body) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errClosed
	}
	if err := w.sync.failure(); err != nil {
		w.retire()
		return fmt.Errorf("appending to a store: %w", err)
	}
	if err := w.space.check(w.disk, w.cfg.Dir); err != nil {
		return fmt.Errorf("appending to a store: %w", err)
	}
	if w.cur == nil || w.full() {
		return w.roll(recs, bodies)
	}
	b := w.builder(w.cur, w.cur.seg.good)
	err := w.fill(b, recs, bodies)
	if err == nil {
		err = w.write(w.cur, b)
	}
	if err != nil {
		w.cur.past.forget()
		return fmt.Errorf("appending to a store: %w", err)
	}
	w.commit(b, recs)
	w.retain()
	return nil
}

// retire ends the current segment. Its file stays open to copy bodies from.
func (w *Writer) retire() {
	if w.cur != nil {
		w.cur.seg.final = true
		w.cur = nil
	}
}

// newID is for each start, and after a failure, so that readers never mistake one
// file for another of the same name.
func (w *Writer) newID() { _, _ = rand.Read(w.id[:]) } // never fails

// roll begins a segment with the first records in it. Where that fails the old
// one stays the current one.
func (w *Writer) roll(recs []xds.Record, bodies []xds.Body) error {
	o, head, err := w.create()
	if err != nil {
		return fmt.Errorf("beginning a segment: %w", err)
	}
	b := w.builder(o, 0)
	b.out = append(b.out, head...)
	if err = w.begin(b, o); err == nil {
		err = w.fill(b, recs, bodies)
	}
	if err == nil {
		err = w.write(o, b)
	}
	if err != nil {
		w.newID()
		return errors.Join(fmt.Errorf("beginning a segment: %w", err), o.file.Close(), w.disk.Remove(filepath.Join(w.cfg.Dir, o.seg.name)))
	}
	w.retire()
	w.index.known.change(func() { w.index.known.segs = append(w.index.known.segs, o.seg) })
	w.cur = o
	w.commit(b, recs)
	w.cur.startBodies = int(o.seg.bodies.next())
	w.tidy()
	w.retain()
	return nil
}

// tidy gives free what is not needed any more: segments that were deleted, and
// the frames of all but the last two.
func (w *Writer) tidy() {
	if names, err := segmentNames(w.disk, w.cfg.Dir); err == nil {
		for _, s := range w.index.forget(names) {
			w.sync.closed(s.file)
		}
	}
	segs := w.index.segs()
	for _, s := range segs[:max(0, len(segs)-2)] {
		if !s.bare {
			w.index.known.change(s.strip)
			w.index.contents.drop(func(k frameAt) bool { return k.seg == s })
		}
	}
}

func (w *Writer) create() (*open, []byte, error) {
	h := header{Writer: w.id, First: w.seq + 1, Created: w.cfg.Now()}
	bytes, nth := h.encode(), 0
	for _, s := range w.index.segs() {
		if s.first == h.First {
			nth = max(nth, s.nth+1)
		}
	}
	name := h.name(nth)
	f, err := w.disk.Create(filepath.Join(w.cfg.Dir, name))
	if err != nil {
		return nil, nil, err
	}
	s := &segment{name: name, first: h.First, nth: nth, file: f, header: h, headed: true, last: w.seq}
	return &open{seg: s, file: f, named: map[uint64]bool{}, past: newPast()}, bytes, nil
}

func (w *Writer) builder(o *open, off int64) *builder {
	return &builder{x: w.index, seg: o.seg, past: o.past, seed: o.seg.header.sum, zstd: w.zstd, off: off, seq: w.seq, head: head{prev: w.seq}, reads: maxReads,
		new: map[xds.Digest]uint32{}, names: map[xds.Digest]uint64{}, named: o.named, naming: map[uint64]bool{}, absent: map[xds.Digest]bool{}}
}

// begin adds the bases, with all bodies that these need, as a group of its own.
func (w *Writer) begin(b *builder, o *open) error {
	bases := w.cfg.Bases()
	if len(bases) == 0 {
		o.start = headerSize
		return nil
	}
	if err := w.add(b, bases, nil); err != nil {
		return fmt.Errorf("writing the bases: %w", err)
	}
	b.flush(false)
	o.start = int64(len(b.out))
	return nil
}

func (w *Writer) fill(b *builder, recs []xds.Record, bodies []xds.Body) error {
	if err := w.add(b, recs, bodies); err != nil {
		return err
	}
	b.flush(false)
	return nil
}

func (w *Writer) add(b *builder, recs []xds.Record, bodies []xds.Body) error {
	clear(b.names)
	for i := range bodies {
		b.names[bodies[i].Digest] = 0
	}
	for i := range recs {
		b.awaits(&recs[i])
		b.belong(&recs[i])
	}
	for i := range bodies {
		if err := b.body(bodies[i].Digest, bodies[i].Bytes); err != nil {
			return err
		}
	}
	for i := range recs {
		if err := w.copyBodies(b, &recs[i]); err != nil {
			return err
		}
	}
	for i := range recs {
		if err := b.record(&recs[i]); err != nil {
			return err
		}
	}
	return nil
}

// copyBodies makes the segment self-contained: what r names and only an older
// segment has is copied. A body that nobody has stays away, and the frame says so.
func (w *Writer) copyBodies(b *builder, r *xds.Record) (err error) {
	refs(r, func(d xds.Digest) {
		if err == nil && !b.holds(d) {
			err = w.copyBody(b, d)
		}
	})
	return err
}

func (w *Writer) copyBody(b *builder, d xds.Digest) error {
	for {
		s, n, ok := w.index.find(d)
		if !ok {
			b.lacks(d)
			return nil
		}
		bytes, err := w.index.body(s, n)
		if err == nil {
			return b.body(d, bytes)
		}
		if !lost(err) {
			return fmt.Errorf("copying a body: %w", err)
		}
		w.index.hide(s, n, err)
	}
}

// write puts the group behind the last good one. Where that fails it takes back
// what went out; if even that fails, the next write covers it, and until then
// readers see an unfinished write.
func (w *Writer) write(o *open, b *builder) error {
	if _, err := o.file.WriteAt(b.out, b.off); err != nil {
		return errors.Join(err, o.file.Truncate(b.off))
	}
	o.seg.good = b.off + int64(len(b.out))
	w.space.wrote(len(b.out))
	w.sync.dirty(o.file)
	return nil
}

// commit takes over what a written group brought.
func (w *Writer) commit(b *builder, recs []xds.Record) {
	var p parsed
	w.index.known.change(func() {
		at := 0
		if b.off == 0 {
			at = headerSize
		}
		for ; at < len(b.out); at += int(p.size) {
			_ = p.parse(b.out[at:], b.seed) // just made
			p.off = b.off + int64(at)
			b.seg.note(&p)
			w.index.add(&p)
		}
	})
	for tag := range b.naming {
		w.cur.named[tag] = true
	}
	seq := w.seq
	for i := range recs {
		if recs[i].Kind != xds.KindBase {
			seq++
		}
		recs[i].Seq = seq
	}
	w.seq, w.cur.seg.last = seq, seq
}
