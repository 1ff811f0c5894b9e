package store

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// cursor walks through the records.
type cursor struct {
	r    *Reader
	id   xds.Sidecar
	tag  uint64
	all  bool
	next uint64 // the number that comes next
}

// cursor starts at from. The start of the history is where its oldest segment
// starts: that older ones were deleted is no gap.
func (r *Reader) cursor(id xds.Sidecar, from uint64, all bool) *cursor {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if from <= 1 && len(r.x.segs()) > 0 {
		from = r.x.segs()[0].first
	}
	return &cursor{r: r, id: id, tag: tagOf(id), all: all, next: max(from, 1)}
}

// drain yields what is there, and reports whether to go on.
func (c *cursor) drain(yield func(xds.Record, error) bool) bool {
	for {
		p, ok := c.frame()
		if !ok {
			return true
		}
		if c.skips(p) {
			c.next = p.frame.last() + 1
			continue
		}
		recs, err := c.r.records(p)
		if err != nil {
			yield(xds.Record{}, err)
			return false
		}
		if recs == nil {
			if !c.gone(p) {
				return true
			}
			continue
		}
		if !c.yield(p.frame, recs, yield) {
			return false
		}
	}
}

// skips: nothing in p concerns this cursor, and nothing is missing before it.
func (c *cursor) skips(p place) bool {
	return !c.all && !p.seg.concerns(p.frame, c.tag) && p.frame.prev < c.next
}

// gone handles a frame whose records cannot be had. Where its segment was closed
// under the cursor, only a refresh shows what is there now.
func (c *cursor) gone(p place) bool {
	c.r.mu.RLock()
	_, still := p.seg.frameAt(p.frame.off)
	still = still && slices.Contains(c.r.x.segs(), p.seg)
	c.r.mu.RUnlock()
	return !still
}

func (c *cursor) yield(f frame, recs []xds.Record, yield func(xds.Record, error) bool) bool {
	if f.prev >= c.next {
		gap := lostRecord(c.next, f.prev, recs[0].Time)
		c.next = f.prev + 1
		if !yield(gap, nil) {
			return false
		}
	}
	defer func() { c.next = max(c.next, f.last()+1) }()
	for _, rec := range recs {
		if rec.Seq < c.next || rec.Kind == xds.KindBase {
			continue
		}
		c.next = rec.Seq + 1
		if c.wants(&rec) && !yield(rec, nil) {
			return false
		}
	}
	return true
}

func (c *cursor) wants(r *xds.Record) bool {
	return c.all || r.Sidecar == c.id || r.Kind == xds.KindGap && r.Sidecar.IsZero()
}

// lostRecord stands for the records first to last.
func lostRecord(first, last uint64, t time.Time) xds.Record {
	return xds.Record{Seq: last, Time: t, Kind: xds.KindGap, Gap: &xds.Gap{
		Reason: fmt.Sprintf("records %d to %d are not in the store any more", first, last), Lost: last - first + 1}}
}

// frame finds the first frame with a record at or behind next.
func (c *cursor) frame() (place, bool) {
	c.r.mu.RLock()
	defer c.r.mu.RUnlock()
	for _, s := range c.r.x.segs() {
		if s.last < c.next {
			continue
		}
		i := sort.Search(len(s.frames), func(i int) bool { return s.frames[i].last() >= c.next })
		for ; i < len(s.frames); i++ {
			if s.frames[i].count > 0 {
				return place{s, s.frames[i]}, true
			}
		}
	}
	return place{}, false
}
