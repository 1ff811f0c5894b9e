package query

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Version is one content of a resource, over the pushes for which a sidecar was
// offered it. The same content in other bytes is the same version.
type Version struct {
	Sidecar    xds.Sidecar
	Type, Name string // the type URL is the canonical one
	Digest     xds.Digest
	// First is the push that brought it, 0 where it is older than the history that
	// can be read; Since is when.
	First uint64
	Since time.Time
	// End is the push that replaced it or took it away, 0 while it stands; what went
	// without a push (with its stream) stood until the push before End.
	End     uint64
	Until   time.Time // of End
	Removed bool      // End took it away
}

// Stands reports whether the version was the one offered at push n.
func (v Version) Stands(n uint64) bool { return v.First <= n && (v.End == 0 || n < v.End) }

// Versions lists all that a sidecar was ever offered, in order of First, then of
// type and name; answers count with their pushes, as for At. What stands before a
// break of the history is returned with the error.
func (r *Reader) Versions(id xds.Sidecar) ([]Version, error) {
	base, ok, err := r.startBase(id, time.Time{})
	if err != nil {
		return nil, err
	}
	x, failed := r.indexFrom(id, base, ok)
	c := collector{r: r, x: x, fold: state.New(nil), open: map[state.Ref]int{}}
	if ok {
		c.record(base)
	}
	for rec, err := range r.src.Records(id, x.from()) {
		if err != nil {
			break // failed says so
		}
		c.record(rec)
	}
	slices.SortStableFunc(c.out, func(a, b Version) int {
		return cmp.Or(cmp.Compare(a.First, b.First), strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name))
	})
	return c.out, failed
}

// collector follows the offered snapshot from push to push.
type collector struct {
	r    *Reader
	x    *index
	fold *state.Fold
	last *state.Snapshot
	push uint64
	open map[state.Ref]int // where in out the version that stands is
	out  []Version
}

// record folds one record, and with a push its answers.
func (c *collector) record(rec xds.Record) {
	switch rec.Kind {
	case xds.KindAnswer:
		if rec.Answer.Push > 0 {
			return
		}
		c.fold.Apply(rec)
	case xds.KindPush:
		c.push = rec.Push.Number
		c.fold.Apply(rec)
		for _, a := range c.x.answers[c.push] {
			c.fold.Apply(a)
		}
	default:
		c.fold.Apply(rec)
	}
	view, _ := c.fold.View(c.x.id)
	for d := range state.Differences(c.last, view.Offered) {
		c.differ(d, rec)
	}
	c.last = view.Offered
}

func (c *collector) differ(d state.Difference, rec xds.Record) {
	ref := state.Ref{Type: d.Type, Name: d.Name}
	i, stood := c.open[ref]
	if stood && !d.New.IsZero() && len(c.r.differ.Fields(d.Type, d.Old, d.New)) == 0 {
		c.out[i].Digest = d.New // re-encoded, equal
		return
	}
	if stood {
		c.out[i].End, c.out[i].Until, c.out[i].Removed = c.push, rec.Time, d.New.IsZero()
		if rec.Kind != xds.KindPush {
			c.out[i].End++ // it stood at the last push, and went after it
		}
		delete(c.open, ref)
	}
	if !d.New.IsZero() {
		c.open[ref] = len(c.out)
		v := Version{Sidecar: c.x.id, Type: d.Type, Name: d.Name, Digest: d.New, First: c.push, Since: rec.Time}
		if rec.Kind == xds.KindBase {
			v.First, v.Since = 0, time.Time{}
		}
		c.out = append(c.out, v)
	}
}
