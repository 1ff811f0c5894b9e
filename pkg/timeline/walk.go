package timeline

import (
	"slices"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// never is later than any record.
var never = time.Unix(1<<40, 0)

// Walk goes through a history, of one sidecar or of many. It is used by one
// goroutine.
type Walk struct {
	cfg   Config
	fold  *state.Fold
	sides map[xds.Sidecar]*side
	order []*side
	wake  time.Time // nothing is due before; zero: nobody knows
}

// New returns a Walk at the beginning of a history. To begin in the middle, give
// it the base record first.
func New(cfg Config) *Walk {
	cfg = cfg.withDefaults()
	return &Walk{cfg: cfg, fold: state.New(cfg.Deps), sides: map[xds.Sidecar]*side{}}
}

// Record folds one record and returns the entries that it completes. Records come
// in order of Seq; their times may jump.
func (w *Walk) Record(r xds.Record) []Entry {
	out := w.Advance(r.Time)
	if r.Sidecar.IsZero() {
		w.fold.Apply(r)
		if r.Kind == xds.KindGap && r.Gap != nil {
			for _, s := range w.order {
				out = append(out, s.gap(r)...)
			}
		}
		return out
	}
	s := w.side(r.Sidecar)
	out = append(out, s.record(r)...)
	if next := s.next(); next.Before(w.wake) {
		w.wake = next
	}
	return out
}

// Advance closes what a record at t would have closed. Give it a time up to which
// all records have been read.
func (w *Walk) Advance(t time.Time) []Entry {
	if t.Before(w.wake) {
		return nil
	}
	var out []Entry
	w.wake = never
	for _, s := range w.order {
		out = append(out, s.advance(t)...)
		if next := s.next(); next.Before(w.wake) {
			w.wake = next
		}
	}
	w.forget(t)
	return out
}

// forget drops the sidecars that have been away for so long that they will not
// come back: pods come and go, and each holds a whole configuration.
func (w *Walk) forget(t time.Time) {
	w.order = slices.DeleteFunc(w.order, func(s *side) bool {
		if !s.lost(t) {
			return false
		}
		w.fold.Forget(s.id)
		delete(w.sides, s.id)
		return true
	})
}

// Finish closes what is still open when no more records will come. Time ends with
// the last record of any sidecar: what had become due by then, a push without an
// answer or a sidecar without a stream, was told by Record, as Advance would have
// told it live. What would only become due later is not told: a file does not say
// how long it was quiet behind its end, and most end with the streams cut off. Who
// knows that time went on calls Advance first.
func (w *Walk) Finish() []Entry {
	var out []Entry
	for _, s := range w.order {
		out = append(out, s.finish()...)
	}
	return out
}

// View is what is known of a sidecar after the last record.
func (w *Walk) View(id xds.Sidecar) (state.View, bool) { return w.fold.View(id) }

// Sidecars lists those there were records of.
func (w *Walk) Sidecars() []xds.Sidecar { return slices.Clone(w.fold.Sidecars()) }

func (w *Walk) side(id xds.Sidecar) *side {
	s := w.sides[id]
	if s == nil {
		s = newSide(w, id)
		w.sides[id] = s
		w.order = append(w.order, s)
	}
	return s
}
