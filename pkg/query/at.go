package query

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Which says which of a sidecar's three snapshots is meant.
type Which int

// The snapshots: what takes traffic, what was acknowledged, what was pushed.
const (
	Active Which = iota
	Accepted
	Offered
)

// Point is a sidecar at a revision.
type Point struct {
	Sidecar  xds.Sidecar
	Revision Revision  // absolute: a push, or a time
	Push     uint64    // the newest push in it, 0 = none
	Time     time.Time // of the last record in it, zero = none
	View     state.View

	gaps map[string]uint64 // reason of a gap -> the push before it
}

// Snapshot is one of the three snapshots at the point.
func (p Point) Snapshot(w Which) *state.Snapshot {
	switch w {
	case Accepted:
		return p.View.Accepted
	case Offered:
		return p.View.Offered
	}
	return p.View.Active
}

// Answer is a Point or why there is none.
type Answer struct {
	Point
	Err error // *NoRevisionError
}

// At folds a sidecar's history up to a revision. "#N" holds all pushes up to N
// with their answers, whenever these came; a time holds what was recorded until
// then; HEAD holds everything. The error may be a *NoRevisionError.
func (r *Reader) At(id xds.Sidecar, rev Revision) (Point, error) {
	as, err := r.AtMany(id, []Revision{rev})
	if len(as) == 0 {
		return Point{}, err
	}
	return as[0].Point, errors.Join(as[0].Err, err)
}

// AtMany is At for many revisions with one pass over the history; answers come in
// the order asked. When the history breaks off, the answers tell what stands
// before, and the error why.
func (r *Reader) AtMany(id xds.Sidecar, revs []Revision) ([]Answer, error) {
	x, targets, err := r.indexFor(id, revs)
	if x == nil {
		return nil, err
	}
	if targets == nil {
		for _, rev := range revs {
			targets = append(targets, r.resolve(x, rev))
		}
	}
	out := make([]Answer, len(revs))
	var asks []ask
	for i, t := range targets {
		if e := x.check(revs[i], t); e != nil {
			out[i].Err = e
			continue
		}
		asks = append(asks, ask{target: t, to: &out[i].Point})
	}
	foldErr := r.fold(x, asks)
	return out, cmp.Or(err, foldErr)
}

// check says whether the history reaches t.
func (x *index) check(rev Revision, t target) error {
	late := t.time.IsZero() && !t.back && t.push > x.last
	if t.back || late || !x.covers(t) {
		return &NoRevisionError{Revision: rev, First: x.begin(), Last: x.last, Begin: x.firstTime}
	}
	return nil
}

// ask is a target and where its Point goes.
type ask struct {
	target
	to *Point
}

// fold runs the history once for all asks: through one fold for the numbered
// ones, in which answers come right after their pushes, and one in record order
// for HEAD and times. Where the clock stepped back each time gets its own.
func (r *Reader) fold(x *index, asks []ask) error {
	var numbered, timed []ask
	for _, a := range asks {
		if a.head || !a.time.IsZero() {
			timed = append(timed, a)
		} else {
			numbered = append(numbered, a)
		}
	}
	var runs []runner
	if len(numbered) > 0 {
		runs = append(runs, newByNumber(r.engine.Deps, x, numbered))
	}
	runs = append(runs, byTimes(r.engine.Deps, x, timed)...)
	if len(runs) == 0 {
		return nil
	}
	return r.feed(x, runs)
}

func (r *Reader) feed(x *index, runs []runner) error {
	var failed error
	for rec, err := range r.src.Records(x.id, x.from()) {
		if err != nil {
			failed = err
			break
		}
		busy := false
		for _, run := range runs {
			busy = run.record(rec) || busy
		}
		if !busy {
			return nil
		}
	}
	for _, run := range runs {
		run.finish()
	}
	return failed
}

// runner folds records and fills in Points; record returns false when it wants
// no more.
type runner interface {
	record(xds.Record) bool
	finish()
}

// tracker is a fold with what a Point tells beside the view.
type tracker struct {
	id   xds.Sidecar
	fold *state.Fold
	push uint64
	time time.Time
	gaps map[string]uint64
}

func newTracker(deps state.Deps, x *index) tracker {
	t := tracker{id: x.id, fold: state.New(deps)}
	if x.hasBase {
		t.apply(x.base)
		t.push = x.base.Base.Push
	}
	return t
}

func (t *tracker) apply(rec xds.Record) {
	t.fold.Apply(rec)
	t.time = rec.Time
	switch rec.Kind {
	case xds.KindPush:
		t.push = rec.Push.Number
	case xds.KindGap:
		t.gap("gap: " + rec.Gap.Reason)
	}
}

// gap notes where a gap is; earlier Points keep the map they were given.
func (t *tracker) gap(why string) {
	t.gaps = maps.Clone(t.gaps)
	if t.gaps == nil {
		t.gaps = map[string]uint64{}
	}
	t.gaps[why] = t.push
}

func (t *tracker) fill(p *Point, rev Revision) {
	view, _ := t.fold.View(t.id)
	*p = Point{Sidecar: t.id, Revision: rev, Push: t.push, Time: t.time, View: view, gaps: t.gaps}
}

// byNumber serves "#N".
type byNumber struct {
	tracker
	x    *index
	asks []ask // sorted by push
}

func newByNumber(deps state.Deps, x *index, asks []ask) *byNumber {
	slices.SortStableFunc(asks, func(a, b ask) int { return cmp.Compare(a.push, b.push) })
	b := &byNumber{tracker: newTracker(deps, x), x: x, asks: asks}
	if x.hasBase {
		for _, p := range x.base.Base.Pending {
			b.answers(p.Number)
		}
	}
	b.serve(x.begin())
	return b
}

func (b *byNumber) answers(push uint64) {
	at := b.time
	for _, a := range b.x.answers[push] {
		b.apply(a)
	}
	b.time = at
}

// serve fills the asks up to push n.
func (b *byNumber) serve(n uint64) {
	for len(b.asks) > 0 && b.asks[0].push <= n {
		b.fill(b.asks[0].to, AtPush(b.asks[0].push))
		b.asks = b.asks[1:]
	}
}

func (b *byNumber) record(rec xds.Record) bool {
	switch {
	case rec.Kind == xds.KindAnswer && rec.Answer.Push > 0: // came with its push
	case rec.Kind == xds.KindPush:
		if rec.Push.Number > 0 {
			b.serve(rec.Push.Number - 1)
		}
		b.apply(rec)
		b.answers(rec.Push.Number)
		b.serve(rec.Push.Number)
	default:
		b.apply(rec)
	}
	return len(b.asks) > 0
}

func (b *byNumber) finish() { b.serve(b.x.last) }

// byTime serves times and HEAD in record order.
type byTime struct {
	tracker
	asks []ask // sorted, HEAD last
	only bool  // one time, on a history whose clock stepped back: later records are skipped
}

func byTimes(deps state.Deps, x *index, asks []ask) []runner {
	if len(asks) == 0 {
		return nil
	}
	slices.SortStableFunc(asks, func(a, b ask) int {
		if a.head != b.head {
			return boolCompare(a.head, b.head)
		}
		return a.time.Compare(b.time)
	})
	if x.steady {
		return []runner{&byTime{tracker: newTracker(deps, x), asks: asks}}
	}
	var out []runner
	for len(asks) > 0 {
		n := 1
		for n < len(asks) && asks[n].head == asks[0].head && asks[n].time.Equal(asks[0].time) {
			n++
		}
		out = append(out, &byTime{tracker: newTracker(deps, x), asks: asks[:n], only: true})
		asks = asks[n:]
	}
	return out
}

func boolCompare(a, b bool) int {
	if a == b {
		return 0
	}
	if b {
		return -1
	}
	return 1
}

func (b *byTime) record(rec xds.Record) bool {
	if b.only {
		if b.asks[0].head || !rec.Time.After(b.asks[0].time) {
			b.apply(rec)
		}
		return true
	}
	for len(b.asks) > 0 && !b.asks[0].head && rec.Time.After(b.asks[0].time) {
		b.serve(b.asks[0])
		b.asks = b.asks[1:]
	}
	if len(b.asks) > 0 {
		b.apply(rec)
	}
	return len(b.asks) > 0
}

func (b *byTime) finish() {
	for _, a := range b.asks {
		b.serve(a)
	}
	b.asks = nil
}

func (b *byTime) serve(a ask) {
	rev := AtTime(a.time)
	if a.head {
		rev = AtPush(b.push)
	}
	b.fill(a.to, rev)
}
