package state

import (
	"slices"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Fold turns records into the state of every sidecar they speak of. The same
// records give the same state, from whatever Source and however late they are
// read. It is used by one goroutine; what it hands out are values.
type Fold struct {
	deps  Deps // nil: not known
	sides map[xds.Sidecar]*side
	order []xds.Sidecar // by first record
}

// New returns a Fold that knows of nobody. With a nil Deps nothing warms: what is
// accepted counts as active, and bases leave open what is.
func New(deps Deps) *Fold {
	return &Fold{deps: deps, sides: map[xds.Sidecar]*side{}}
}

// Step is what one record did to the sidecar it concerns.
type Step struct {
	ID xds.Sidecar // zero: the record concerned nobody, or everybody (a gap)
	// Before and After are the active snapshots around the record; one pointer
	// when nothing that takes traffic differs.
	Before, After *Snapshot
	Incarnation   bool        // a new life began with this record: Before belongs to the former one
	Rejected      []Rejection // episodes that began here
	Cleared       []Rejection // episodes that ended here
}

// Apply folds one record. Records come in order of Seq. One that belongs to
// nobody changes nothing, except a gap, which concerns everybody.
func (f *Fold) Apply(r xds.Record) Step {
	if r.Sidecar.IsZero() {
		if r.Kind == xds.KindGap && r.Gap != nil {
			for _, s := range f.sides {
				s.gap(r)
			}
		}
		return Step{}
	}
	if r.Kind == xds.KindBase && r.Base != nil {
		return f.restore(r)
	}
	s := f.side(r.Sidecar)
	step := Step{ID: s.id, Before: s.active}
	s.apply(r, &step)
	step.After = s.active
	return step
}

func (f *Fold) side(id xds.Sidecar) *side {
	s := f.sides[id]
	if s == nil {
		s = newSide(id, f.deps)
		f.sides[id] = s
		f.order = append(f.order, id)
	}
	return s
}

// Sidecars lists those there were records of, in order of their first one.
func (f *Fold) Sidecars() []xds.Sidecar { return slices.Clone(f.order) }

// Forget drops all that is known of a sidecar, for callers that know it is gone
// for good.
func (f *Fold) Forget(id xds.Sidecar) {
	delete(f.sides, id)
	f.order = slices.DeleteFunc(f.order, func(o xds.Sidecar) bool { return o == id })
}

// Active is what takes traffic at a sidecar now; nil for one that is not known.
func (f *Fold) Active(id xds.Sidecar) *Snapshot {
	if s := f.sides[id]; s != nil {
		return s.active
	}
	return nil
}

// Accepted is what a sidecar has acknowledged, warm or not.
func (f *Fold) Accepted(id xds.Sidecar) *Snapshot {
	if s := f.sides[id]; s != nil {
		return s.accepted
	}
	return nil
}

// Subscribed reports whether a sidecar asked for a type in its present life.
func (f *Fold) Subscribed(id xds.Sidecar, typ string) bool {
	s := f.sides[id]
	return s != nil && s.sent[xds.Canonical(typ)] != ""
}

// Warms reports whether an accepted resource of a type waits for others before
// it takes traffic.
func (f *Fold) Warms(id xds.Sidecar, typ string) bool {
	if s := f.sides[id]; s != nil {
		for ref := range s.warming {
			if ref.Type == typ {
				return true
			}
		}
	}
	return false
}

// Awaits reports whether something is still to come back: a stream has ended,
// and no other one speaks yet for the listeners, clusters or routes that came by
// it. After a restart of the control plane, streams of single types come back
// one by one, over seconds.
func (f *Fold) Awaits(id xds.Sidecar) bool {
	s := f.sides[id]
	if s == nil {
		return false
	}
	for _, st := range s.streams {
		if st.closed && (st.accepted.Len(xds.ListenerType) > 0 || st.accepted.Len(xds.ClusterType) > 0 || st.accepted.Len(xds.RouteType) > 0) {
			return true
		}
	}
	return false
}

// Unanswered reports whether a push still waits for its answer, and whether that
// may never come because it is lost in a gap.
func (f *Fold) Unanswered(id xds.Sidecar, push uint64) (waits, lost bool) {
	s := f.sides[id]
	if s == nil {
		return false, false
	}
	_, waits = s.pending[push]
	_, lost = s.gapped[push]
	return waits, lost
}

// Assume takes the pushes whose answers may be lost in a gap for accepted, for a
// caller that waits no longer. Their types are uncertain then.
func (f *Fold) Assume(id xds.Sidecar) {
	if s := f.sides[id]; s != nil {
		s.assumeLate(time.Time{})
	}
}

// Fork returns a Fold that knows one sidecar only, in the state it is in here,
// and that goes its own way from now on. It costs what the sidecar has in
// streams, not in resources.
func (f *Fold) Fork(id xds.Sidecar) *Fold {
	out := New(f.deps)
	if s := f.sides[id]; s != nil {
		out.sides[id] = s.clone()
		out.order = append(out.order, id)
	}
	return out
}
