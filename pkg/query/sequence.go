package query

import (
	"fmt"
	"math"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Between finds the records of the sidecars that were made in a span of time, as
// the first and the last number; a zero time bounds nothing. last < first: there
// are none.
func (r *Reader) Between(ids []xds.Sidecar, since, until time.Time) (first, last uint64, err error) {
	first, last = math.MaxUint64, 0
	for _, id := range ids {
		for rec, err := range r.src.Records(id, 0) {
			if err != nil {
				return first, last, fmt.Errorf("reading the history of %s: %w", id.Name(), err)
			}
			if rec.Time.Before(since) || !until.IsZero() && rec.Time.After(until) {
				continue
			}
			first, last = min(first, rec.Seq), max(last, rec.Seq)
		}
	}
	return first, last, nil
}

// Sequence finds the records after revision A up to revision B, the answers to
// B's push included, as the first and the last number.
func (r *Reader) Sequence(id xds.Sidecar, g Range) (first, last uint64, err error) {
	points, err := r.AtMany(id, []Revision{g.From, g.To})
	if len(points) == 0 {
		return 0, 0, err
	}
	for _, p := range points {
		if p.Err != nil {
			return 0, 0, p.Err
		}
	}
	a, b := points[0].Point, points[1].Point
	for rec, err := range r.src.Records(id, 0) {
		if err != nil {
			return first, last, fmt.Errorf("reading the history of %s: %w", id.Name(), err)
		}
		if within(rec, a, b, last) {
			if first == 0 {
				first = rec.Seq
			}
			last = rec.Seq
		}
	}
	return first, last, nil
}

// within reports whether a record belongs to the pushes after a up to b.
func within(rec xds.Record, a, b Point, last uint64) bool {
	switch rec.Kind {
	case xds.KindPush:
		return rec.Push.Number > a.Push && rec.Push.Number <= b.Push
	case xds.KindAnswer:
		return rec.Answer.Push > a.Push && rec.Answer.Push <= b.Push
	}
	return last > 0 && !rec.Time.After(b.Time)
}
