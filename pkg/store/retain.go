package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// full: the segment has its size or its age, at least as much history as start,
// and nothing is under way that a base would cut; for that it waits a while only.
func (w *Writer) full() bool {
	s, c := w.cur.seg, &w.cfg
	if s.good < 2*w.cur.start || s.good <= headerSize {
		return false
	}
	large := max(c.SegmentBytes, 2*w.cur.start)
	many := max(segmentBodies, 4*w.cur.startBodies)
	old := c.SegmentAge > 0 && c.Now().Sub(s.header.Created) >= c.SegmentAge
	if s.good < large && int(s.bodies.next()) < many && !old {
		return false
	}
	return c.Settled() || s.good >= large+large/2 || int(s.bodies.next()) >= 2*many
}

// segmentBodies is how many bodies a segment takes before the next is begun, so
// that what is known of them in memory stays small.
const segmentBodies = 1 << 16

// Retain deletes what RetainAge and RetainBytes let go; Append does so by itself.
func (w *Writer) Retain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.retain()
	}
}

// retain deletes the oldest segments where Config says so, and makes room for what
// the newest one will still take, so that RetainBytes is a limit and not what is left
// when a segment ends. A segment that a power cut could still take does not count: an
// older one has to stay. That deleting fails delays it.
func (w *Writer) retain() {
	c := Limits{OlderThan: w.cfg.RetainAge, KeepBytes: w.cfg.RetainBytes}
	if c == (Limits{}) || w.cur == nil {
		return
	}
	var all []Segment
	for _, s := range w.index.segs() {
		all = append(all, Segment{File: s.name, Bytes: s.good, First: s.first, Last: s.last, Created: s.header.Created})
	}
	if c.KeepBytes > 0 {
		c.KeepBytes = max(1, c.KeepBytes-max(0, w.cfg.SegmentBytes-w.cur.seg.good))
	}
	gone := 0
	for _, s := range all[:min(c.surplus(all, w.cfg.Now()), w.lasting())] {
		if err := w.disk.Remove(filepath.Join(w.cfg.Dir, s.File)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break
		}
		gone++
	}
	if gone > 0 {
		w.tidy()
	}
}

// lasting is how many segments stand before the newest that outlives a power cut.
func (w *Writer) lasting() int {
	segs := w.index.segs()
	for i := len(segs) - 1; i >= 0; i-- {
		if w.sync.began(segs[i].file) {
			return i
		}
	}
	return 0
}

// Limits says how much of a store is kept. The zero value keeps all.
type Limits struct {
	// OlderThan: segments whose newest record is older may go.
	OlderThan time.Duration
	// KeepBytes: the oldest segments go until so many bytes are left.
	KeepBytes int64
}

// Segment is one file of a store.
type Segment struct {
	File    string    `json:"file"`
	Bytes   int64     `json:"bytes"`
	First   uint64    `json:"first"` // number of its first record
	Last    uint64    `json:"last"`
	Created time.Time `json:"created"`
}

// surplus is how many of the oldest segments go. The newest never does: someone
// may write to it. A segment ends when the next one is begun.
func (l Limits) surplus(all []Segment, now time.Time) int {
	var bytes int64
	for _, s := range all {
		bytes += s.Bytes
	}
	n := 0
	for ; n < len(all)-1; n++ {
		old := l.OlderThan > 0 && now.Sub(all[n+1].Created) > l.OlderThan
		if !old && (l.KeepBytes <= 0 || bytes <= l.KeepBytes) {
			break
		}
		bytes -= all[n].Bytes
	}
	return n
}

// space watches how much of the disk is free.
type space struct {
	min     int64
	low     bool
	written int64 // since the last look
}

// spaceStep is how much is written between two looks.
const spaceStep = 256 << 10

func (s *space) wrote(n int) { s.written += int64(n) }

// check refuses to write where too little is free. It begins again where there is
// an eighth more, so as not to flutter.
func (s *space) check(disk fileSystem, dir string) error {
	if s.min <= 0 || !s.low && s.written < spaceStep {
		return nil
	}
	free, total, err := disk.Space(dir)
	if err != nil {
		return nil //nolint:nilerr // writing itself will tell what is wrong
	}
	s.written = 0
	need := min(s.min, total/20)
	if s.low {
		need += need / 8
	}
	if s.low = free < need; s.low {
		return fmt.Errorf("%w: %d bytes are free, %d are needed", ErrLowSpace, free, need)
	}
	return nil
}
