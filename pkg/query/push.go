package query

import (
	"fmt"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// PushDetail is one push with all that was answered, and what was offered around
// it.
type PushDetail struct {
	Record        xds.Record // KindPush
	Answers       []xds.Record
	Before, After *state.Snapshot // offered
}

// Push finds the push that a revision ends with. The error may be a
// *NoRevisionError.
func (r *Reader) Push(id xds.Sidecar, rev Revision) (PushDetail, error) {
	p, err := r.At(id, rev)
	if err != nil {
		return PushDetail{}, err
	}
	if p.Push == 0 {
		return PushDetail{}, &NoRevisionError{Revision: rev, First: 1, Last: p.Push}
	}
	points, err := r.AtMany(id, []Revision{AtPush(p.Push - 1), AtPush(p.Push)})
	if len(points) == 0 {
		return PushDetail{}, err
	}
	d := PushDetail{Before: points[0].View.Offered, After: points[1].View.Offered}
	for rec, err := range r.src.Records(id, 0) {
		if err != nil && d.Record.Push == nil {
			return d, fmt.Errorf("looking for push %d of %s: %w", p.Push, id.Name(), err)
		}
		switch {
		case err != nil: // what matters was read
		case rec.Kind == xds.KindPush && rec.Push.Number == p.Push:
			d.Record = rec
		case rec.Kind == xds.KindAnswer && rec.Answer.Push == p.Push:
			d.Answers = append(d.Answers, rec)
		}
	}
	if d.Record.Push == nil {
		return d, &NoRevisionError{Revision: rev, First: p.Push, Last: p.Push}
	}
	return d, nil
}
