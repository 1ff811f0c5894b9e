package query

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// index is what has to be known of a sidecar's history, from a base on, before
// revisions mean something.
type index struct {
	id          xds.Sidecar
	base        xds.Record // zero: from the beginning
	hasBase     bool
	first, last uint64 // push numbers from base on; 0 = none
	firstTime   time.Time
	lastTime    time.Time
	steady      bool // times never step back
	answers     map[uint64][]xds.Record
}

// begin is the lowest push number whose state can be told.
func (x *index) begin() uint64 {
	switch {
	case x.hasBase:
		return x.base.Base.Push
	case x.first > 0:
		return x.first - 1
	}
	return 0
}

// indexFrom reads what stands after a base, or everything.
func (r *Reader) indexFrom(id xds.Sidecar, base xds.Record, hasBase bool) (*index, error) {
	x := &index{id: id, base: base, hasBase: hasBase, steady: true, answers: map[uint64][]xds.Record{}}
	if hasBase {
		x.last, x.firstTime, x.lastTime = base.Base.Push, base.Time, base.Time
	}
	for rec, err := range r.src.Records(id, x.from()) {
		if err != nil {
			return x, fmt.Errorf("reading the history of %s: %w", id.Name(), err)
		}
		x.add(rec)
	}
	return x, nil
}

// from is the first sequence number after the base.
func (x *index) from() uint64 {
	if x.hasBase {
		return x.base.Seq + 1
	}
	return 0
}

func (x *index) add(rec xds.Record) {
	if x.firstTime.IsZero() {
		x.firstTime = rec.Time
	}
	if rec.Time.Before(x.lastTime) {
		x.steady = false
	} else {
		x.lastTime = rec.Time
	}
	switch rec.Kind {
	case xds.KindPush:
		if x.first == 0 {
			x.first = rec.Push.Number
		}
		x.last = max(x.last, rec.Push.Number)
	case xds.KindAnswer:
		if n := rec.Answer.Push; n > 0 {
			x.answers[n] = append(x.answers[n], rec)
		}
	}
}

// NoRevisionError says that a history does not reach a revision.
type NoRevisionError struct {
	Revision    Revision
	First, Last uint64    // pushes whose state can be told
	Begin       time.Time // of the history
}

func (e *NoRevisionError) Error() string {
	if e.Revision.IsTime() {
		return fmt.Sprintf("%s is before the history begins (%s)", e.Revision, e.Begin.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("there is no %s: the history has #%d to #%d", e.Revision, e.First, e.Last)
}

// target is a revision made absolute.
type target struct {
	head bool
	push uint64
	time time.Time // not zero: a time
	back bool      // out of reach before the beginning of time
}

func (r *Reader) resolve(x *index, rev Revision) target {
	switch {
	case rev.ago:
		now := x.lastTime
		if r.now != nil {
			now = r.now()
		}
		return target{time: now.Add(-rev.Ago)}
	case !rev.Time.IsZero():
		return target{time: rev.Time}
	}
	n := x.last
	if rev.numeric {
		n = rev.Push
	}
	if rev.Back > n {
		return target{back: true}
	}
	return target{push: n - rev.Back, head: !rev.numeric && rev.Back == 0}
}

// covers reports whether x reaches back to t.
func (x *index) covers(t target) bool {
	if !t.time.IsZero() {
		return !t.time.Before(x.firstTime)
	}
	return t.head || t.push >= x.begin()
}

// indexFor reads as much history as the revisions need: from the newest base
// before all of them.
func (r *Reader) indexFor(id xds.Sidecar, revs []Revision) (*index, []target, error) {
	base, ok, err := r.src.Base(id, math.MaxUint64)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the last base of %s: %w", id.Name(), err)
	}
	x, err := r.indexFrom(id, base, ok)
	if err != nil {
		return x, nil, err
	}
	targets := make([]target, len(revs))
	for i, rev := range revs {
		targets[i] = r.resolve(x, rev)
	}
	early := func(t target) bool { return !t.back && !x.covers(t) }
	if !slices.ContainsFunc(targets, early) || !x.hasBase {
		return x, targets, nil
	}
	x, err = r.earlier(x, targets)
	return x, targets, err
}

// earlier looks for a base that lies before all targets, else takes the whole
// history.
func (r *Reader) earlier(x *index, targets []target) (*index, error) {
	at := x.base
	for at.Seq > 0 {
		b, ok, err := r.src.Base(x.id, at.Seq-1)
		if err != nil {
			return x, fmt.Errorf("reading an earlier base of %s: %w", x.id.Name(), err)
		}
		if !ok {
			break
		}
		probe := &index{base: b, hasBase: true, firstTime: b.Time}
		if !slices.ContainsFunc(targets, func(t target) bool { return !t.back && !probe.covers(t) }) {
			return r.indexFrom(x.id, b, true)
		}
		at = b
	}
	whole, err := r.indexFrom(x.id, xds.Record{}, false)
	if err != nil || whole.first == 0 || whole.first == 1 {
		return whole, err
	}
	return r.indexFrom(x.id, at, true) // what lay before was deleted
}
