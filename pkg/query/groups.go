package query

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/timeline"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Group is one change of the control plane: its pushes of all types, and what was
// wrong between the first and the last of them.
type Group struct {
	timeline.Entry
	Lines    []*Line // the pushes, in order, with their events
	Dangling []Dangling
}

// Dangling is a name that was referred to and not there, while a group came in.
type Dangling struct {
	Missing state.Ref
	By      state.Ref // one of those that name it
	From    uint64    // the push since which it dangled
	Until   uint64    // the push that ended it, 0: the group left it so
	Took    time.Duration
}

// Groups lists the groups of pushes as they were settled.
func (r *Reader) Groups(ctx context.Context, o WalkOptions) iter.Seq2[*Group, error] {
	return func(yield func(*Group, error) bool) {
		g := newLogger(r.differ)
		o.OnRecord = g.record
		for e, err := range r.Walk(ctx, o) {
			if err != nil {
				yield(nil, err)
				return
			}
			lines := g.entry(e)
			if len(e.Pushes) == 0 {
				continue // no group: facts between groups
			}
			if !yield(&Group{Entry: e, Lines: lines, Dangling: r.dangling(e)}, nil) {
				return
			}
		}
	}
}

// Span is from the first byte of the first push to the last one's end.
func (g *Group) Span() time.Duration {
	if len(g.Lines) == 0 {
		return 0
	}
	return max(0, g.Lines[len(g.Lines)-1].Time.Sub(g.Lines[0].Time))
}

// Unanswered lists the pushes of the group that never got an answer.
func (g *Group) Unanswered() []*Line {
	var out []*Line
	for _, l := range g.Lines {
		if l.IsPush() && l.Answer == nil {
			out = append(out, l)
		}
	}
	return out
}

// dangling follows a group push by push. What dangled before it does not count.
func (r *Reader) dangling(e timeline.Entry) []Dangling {
	d := dangler{r: r, before: e.Before, open: map[state.Ref]int{}}
	for _, s := range e.Steps() {
		d.step(s)
	}
	return d.out
}

// dangler knows which names are missing at the moment.
type dangler struct {
	r      *Reader
	before *state.Snapshot
	open   map[state.Ref]int // missing name -> where in out
	began  map[state.Ref]time.Time
	out    []Dangling
}

func (d *dangler) step(s timeline.PushState) {
	missing := d.missing(s.Active)
	for ref, i := range d.open {
		if _, still := missing[ref]; !still {
			d.out[i].Until, d.out[i].Took = s.Number, max(0, s.Time.Sub(d.began[ref]))
			delete(d.open, ref)
		}
	}
	for _, ref := range sortedRefs(missing) {
		if _, known := d.open[ref]; known {
			continue
		}
		if d.began == nil {
			d.began = map[state.Ref]time.Time{}
		}
		d.open[ref], d.began[ref] = len(d.out), s.Time
		d.out = append(d.out, Dangling{Missing: ref, By: missing[ref], From: s.Number})
	}
}

// missing is what changed resources name in vain now and did not before, and what
// was taken away and is still named.
func (d *dangler) missing(now *state.Snapshot) map[state.Ref]state.Ref {
	out := map[state.Ref]state.Ref{}
	gone := map[state.Ref]bool{}
	for x := range state.Differences(d.before, now) {
		by := state.Ref{Type: x.Type, Name: x.Name}
		if x.New.IsZero() {
			gone[by] = true
			continue
		}
		for _, ref := range d.r.engine.Refs(x.Type, x.New) {
			if !holds(now, ref) && !timeline.OfBootstrap(ref) {
				out[ref] = by
			}
		}
	}
	if len(gone) > 0 {
		d.stillNamed(gone, now, out)
	}
	for ref := range out {
		if d.namedBefore(ref, out[ref]) {
			delete(out, ref)
		}
	}
	return out
}

// namedBefore reports whether the same resource named the same missing thing before
// the group.
func (d *dangler) namedBefore(ref, by state.Ref) bool {
	old, ok := d.before.Lookup(by.Type, by.Name)
	if !ok || holds(d.before, ref) {
		return false
	}
	for _, r := range d.r.engine.Refs(by.Type, old) {
		if r == ref {
			return true
		}
	}
	return false
}

func (d *dangler) stillNamed(gone map[state.Ref]bool, now *state.Snapshot, out map[state.Ref]state.Ref) {
	for _, typ := range []string{xds.ListenerType, xds.RouteType, xds.ClusterType} {
		for name, dg := range now.All(typ) {
			for _, ref := range d.r.engine.Refs(typ, dg) {
				if gone[ref] {
					out[ref] = state.Ref{Type: typ, Name: name}
				}
			}
		}
	}
}

func holds(s *state.Snapshot, r state.Ref) bool {
	_, ok := s.Lookup(r.Type, r.Name)
	return ok
}

func sortedRefs(m map[state.Ref]state.Ref) []state.Ref {
	return slices.SortedFunc(maps.Keys(m), func(a, b state.Ref) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name))
	})
}
