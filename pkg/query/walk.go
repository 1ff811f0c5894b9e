package query

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/timeline"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// WalkOptions say which part of a history is walked, and how.
type WalkOptions struct {
	// Sidecars whose entries are wanted. Default: all.
	Sidecars []xds.Sidecar
	// Wanted chooses among all sidecars, those that are yet to appear included,
	// where Sidecars is nil. Default: all.
	Wanted func(xds.Sidecar) bool
	// Since lets the walk start late: at a base well before this time, where there
	// is one. Entries from before may still come. Default: the beginning.
	Since time.Time
	// Watch are destinations whose shifts are always critical.
	Watch []judge.Watch
	// Display names a sidecar in events. Default: Sidecar.Name.
	Display func(xds.Sidecar) string
	// Follow goes on when the end is reached, until the context is done. The
	// Source has to be a Follower, and the Reader to have a clock.
	Follow bool
	// Finish lets a walk that follows end as one does that does not, when the
	// context is done: it reads what is there by then and tells what was still
	// open. The Source must go on being readable.
	Finish bool
	// OnRecord sees every record before the walk does.
	OnRecord func(xds.Record)
	// OnIdle is called when no more records are waiting, with the number and time
	// of the last one that was handled.
	OnIdle func(seq uint64, t time.Time)
}

// margin is how long before Since a walk starts at least: longer than a group, a
// flap or a standing outage takes to be told.
const margin = 15 * time.Minute

// ErrCannotFollow is returned by Walk for a source that does not grow.
var ErrCannotFollow = errors.New("this source does not grow: it cannot be followed")

// Walk goes through the history of the sidecars and yields what happened, in
// order of records. It ends at the first error, after what was open before it.
func (r *Reader) Walk(ctx context.Context, o WalkOptions) iter.Seq2[timeline.Entry, error] {
	return func(yield func(timeline.Entry, error) bool) {
		w := &walker{r: r, o: o, yield: yield}
		if err := w.run(ctx); err != nil && !w.stopped {
			yield(timeline.Entry{}, err)
		}
	}
}

type walker struct {
	r       *Reader
	o       WalkOptions
	walk    *timeline.Walk
	yield   func(timeline.Entry, error) bool
	stopped bool
	seq     uint64
	time    time.Time
}

func (w *walker) run(ctx context.Context) error {
	w.walk = timeline.New(timeline.Config{
		Cache: w.r.cache, Bodies: w.r.body, Engine: w.r.engine, Differ: w.r.differ, Env: w.r.env,
		Watch: w.o.Watch, Display: w.o.Display,
	})
	ids, err := w.ids()
	if err != nil {
		return err
	}
	var failed error
	for rec, err := range w.r.merged(ids, w.o.Since) {
		if err != nil {
			failed = err
			break
		}
		if !w.record(rec) {
			return nil
		}
		if err := ctx.Err(); err != nil && !w.o.Finish {
			return err
		}
	}
	if failed == nil && w.o.Follow {
		err := w.follow(ctx)
		if w.stopped || !w.o.Finish || ctx.Err() == nil {
			return err
		}
		failed = w.rest()
	}
	w.entries(w.walk.Finish())
	if failed == nil && w.o.OnIdle != nil {
		w.o.OnIdle(w.seq, w.time)
	}
	return failed
}

func (w *walker) ids() ([]xds.Sidecar, error) {
	if w.o.Sidecars != nil {
		return w.o.Sidecars, nil
	}
	ids, err := w.r.src.Sidecars()
	if err != nil {
		return nil, fmt.Errorf("listing the sidecars: %w", err)
	}
	return slices.DeleteFunc(ids, func(id xds.Sidecar) bool { return !id.IsZero() && !w.wanted(id) }), nil
}

// record handles one record; false: nobody wants more.
func (w *walker) record(rec xds.Record) bool {
	w.seq, w.time = max(w.seq, rec.Seq), rec.Time
	if w.o.OnRecord != nil {
		w.o.OnRecord(rec)
	}
	return w.entries(w.walk.Record(rec))
}

func (w *walker) entries(es []timeline.Entry) bool {
	for _, e := range es {
		if w.stopped {
			return false
		}
		if !w.wanted(e.ID) {
			continue
		}
		w.stopped = !w.yield(e, nil)
	}
	return !w.stopped
}

// wanted reports whether the entries of id are asked for.
func (w *walker) wanted(id xds.Sidecar) bool {
	if w.o.Sidecars != nil {
		return slices.Contains(w.o.Sidecars, id)
	}
	return w.o.Wanted == nil || w.o.Wanted(id)
}

// merged yields the records of several sidecars in order of Seq, each sidecar's
// first base before its records.
func (r *Reader) merged(ids []xds.Sidecar, since time.Time) iter.Seq2[xds.Record, error] {
	return func(yield func(xds.Record, error) bool) {
		var heads []*head
		defer func() { stopAll(heads) }()
		for _, id := range ids {
			h, err := r.newHead(id, since)
			heads = append(heads, h)
			if err != nil {
				yield(xds.Record{}, err)
				return
			}
		}
		mergeHeads(heads, yield)
	}
}

func mergeHeads(heads []*head, yield func(xds.Record, error) bool) {
	var last uint64
	for {
		h := lowest(heads)
		if h == nil {
			return
		}
		rec := h.rec
		// A gap that concerns everyone is in every sidecar's sequence.
		if again := rec.Sidecar.IsZero() && rec.Kind == xds.KindGap && rec.Seq == last; !again && !yield(rec, nil) {
			return
		}
		if rec.Kind != xds.KindBase {
			last = rec.Seq
		}
		if err := h.next(); err != nil {
			yield(xds.Record{}, err)
			return
		}
	}
}

func lowest(heads []*head) *head {
	var low *head
	for _, h := range heads {
		if h.ok && (low == nil || h.rec.Seq < low.rec.Seq) {
			low = h
		}
	}
	return low
}

// head is the next record of one sidecar.
type head struct {
	rec  xds.Record
	ok   bool
	pull func() (xds.Record, error, bool)
	stop func()
}

// newHead starts at the base that the walk begins with, else at the first record.
func (r *Reader) newHead(id xds.Sidecar, since time.Time) (*head, error) {
	h := &head{stop: func() {}}
	base, ok, err := r.startBase(id, since)
	if err != nil {
		return h, err
	}
	from := uint64(0)
	if ok {
		from = base.Seq + 1
	}
	h.pull, h.stop = iter.Pull2(r.src.Records(id, from))
	if ok {
		h.rec, h.ok = base, true
		return h, nil
	}
	return h, h.next()
}

func stopAll(heads []*head) {
	for _, h := range heads {
		h.stop()
	}
}

func (h *head) next() error {
	var err error
	h.rec, err, h.ok = h.pull()
	if err != nil {
		h.ok = false
	}
	return err
}

// startBase is the base to begin with: the newest one well before since, else the
// one that stands before the first record.
func (r *Reader) startBase(id xds.Sidecar, since time.Time) (xds.Record, bool, error) {
	if id.IsZero() {
		return xds.Record{}, false, nil
	}
	if !since.IsZero() {
		if b, ok, err := r.baseBefore(id, since.Add(-margin)); ok || err != nil {
			return b, ok, err
		}
	}
	first := uint64(math.MaxUint64)
	for rec, err := range r.src.Records(id, 0) {
		if err != nil {
			return xds.Record{}, false, fmt.Errorf("reading the history of %s: %w", id.Name(), err)
		}
		first = rec.Seq
		break
	}
	if first == 0 {
		return xds.Record{}, false, nil
	}
	b, ok, err := r.src.Base(id, first-1)
	if err != nil {
		return xds.Record{}, false, fmt.Errorf("reading the first base of %s: %w", id.Name(), err)
	}
	return b, ok, nil
}

// baseBefore is the newest base of id that is older than t.
func (r *Reader) baseBefore(id xds.Sidecar, t time.Time) (xds.Record, bool, error) {
	at := uint64(math.MaxUint64)
	for {
		b, ok, err := r.src.Base(id, at)
		if err != nil || !ok || !b.Time.After(t) {
			return b, ok, err
		}
		if b.Seq == 0 {
			return xds.Record{}, false, nil
		}
		at = b.Seq - 1
	}
}

// End is the time of a sidecar's last record, zero without one.
func (r *Reader) End(id xds.Sidecar) (time.Time, error) {
	base, ok, err := r.src.Base(id, math.MaxUint64)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the last base of %s: %w", id.Name(), err)
	}
	x, err := r.indexFrom(id, base, ok)
	return x.lastTime, err
}
