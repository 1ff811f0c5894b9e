package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

var errClosed = errors.New("appending to a store: it is closed")

// Append writes records, and the bodies they name that the store does not have,
// in one write call, and sets the records' Seq; a base gets the number of the
// record before it. All of it is there afterwards, for readers at once, or, with
// an error, nothing; a later Append may succeed.
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
	if w.cur == nil || w.full() {
		return w.roll(recs, bodies)
	}
	b := w.builder(w.cur, w.cur.seg.good)
	if err := w.fill(b, recs, bodies); err != nil {
		return fmt.Errorf("appending to a store: %w", err)
	}
	if err := w.write(w.cur, b); err != nil {
		return fmt.Errorf("appending to a store: %w", err)
	}
	w.commit(b, recs)
	return nil
}

// full: the segment has its size, and at least as much history as start.
func (w *Writer) full() bool {
	return w.cur.seg.good >= max(w.cfg.SegmentBytes, 2*w.cur.start)
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
		return errors.Join(fmt.Errorf("beginning a segment: %w", err), o.file.Close(), os.Remove(o.file.Name()))
	}
	w.retire()
	w.index.segs = append(w.index.segs, o.seg)
	w.cur = o
	w.commit(b, recs)
	if names, err := segmentNames(w.cfg.Dir); err == nil {
		w.index.forget(names) // gives free what was deleted meanwhile
	}
	return nil
}

func (w *Writer) create() (*open, []byte, error) {
	h := header{Writer: w.id, First: w.seq + 1, Created: w.cfg.Now()}
	bytes, nth := h.encode(), 0
	for _, s := range w.index.segs {
		if s.first == h.First {
			nth = max(nth, s.nth+1)
		}
	}
	name := h.name(nth)
	f, err := os.OpenFile(filepath.Join(w.cfg.Dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, nil, err
	}
	s := &segment{name: name, first: h.First, nth: nth, file: f, header: h, headed: true, last: w.seq}
	return &open{seg: s, file: f, had: map[xds.Digest]bool{}, named: map[uint64]bool{}}, bytes, nil
}

func (w *Writer) builder(o *open, off int64) *builder {
	return &builder{seed: o.seg.header.sum, zstd: w.zstd, off: off, seq: w.seq, head: head{prev: w.seq},
		had: o.had, new: map[xds.Digest]bool{}, named: o.named, naming: map[uint64]bool{}, absent: map[xds.Digest]bool{}}
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
	at, ok := w.index.bodies.find(d)
	if !ok {
		b.lacks(d)
		return nil
	}
	bytes, err := w.index.body(at)
	if errors.Is(err, errDamaged) || errors.Is(err, fs.ErrClosed) {
		w.index.bodies.drop(func(x bodyLoc) bool { return x.frame == at.frame })
		b.lacks(d)
		return nil
	}
	if err != nil {
		return fmt.Errorf("copying a body: %w", err)
	}
	return b.body(d, bytes)
}

// write puts the group behind the last good one. Where that fails it takes back
// what went out; if even that fails, the next write covers it, and until then
// readers see an unfinished write.
func (w *Writer) write(o *open, b *builder) error {
	if _, err := o.file.WriteAt(b.out, b.off); err != nil {
		return errors.Join(err, o.file.Truncate(b.off))
	}
	o.seg.good = b.off + int64(len(b.out))
	w.sync.dirty(o.file)
	return nil
}

// commit takes over what a written group brought.
func (w *Writer) commit(b *builder, recs []xds.Record) {
	for _, f := range b.frames {
		w.index.add(w.cur.seg, f)
	}
	for d := range b.new {
		w.cur.had[d] = true
	}
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
