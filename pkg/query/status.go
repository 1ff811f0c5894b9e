package query

import (
	"slices"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Status is a sidecar at the end of its history.
type Status struct {
	Point
	Types []TypeStatus // in order of their first push
}

// TypeStatus is the last push of a type.
type TypeStatus struct {
	Type  string // as sent
	Push  uint64
	State string // ack, nack, pending
}

// Status tells what a sidecar holds at HEAD and how its last pushes were answered.
func (r *Reader) Status(id xds.Sidecar) (Status, error) {
	p, err := r.At(id, Head)
	s := Status{Point: p}
	if err != nil {
		return s, err
	}
	for rec, err := range r.src.Records(id, 0) {
		if err != nil {
			return s, err
		}
		s.note(rec)
	}
	return s, nil
}

func (s *Status) note(rec xds.Record) {
	switch rec.Kind {
	case xds.KindPush:
		i := slices.IndexFunc(s.Types, func(t TypeStatus) bool { return t.Type == rec.Push.Type })
		if i < 0 {
			i = len(s.Types)
			s.Types = append(s.Types, TypeStatus{Type: rec.Push.Type})
		}
		s.Types[i].Push, s.Types[i].State = rec.Push.Number, "pending"
	case xds.KindAnswer:
		for i := range s.Types {
			if s.Types[i].Push == rec.Answer.Push {
				s.Types[i].State = "ack"
				if rec.Answer.NACK() {
					s.Types[i].State = "nack"
				}
			}
		}
	}
}

// Nobody tells of the streams that belong to no sidecar: those on which no request
// with a node was seen. What they brought is nobody's state.
type Nobody struct {
	Status   // Types only
	Streams  int
	Open     int       // of them
	LastSeen time.Time // of a record of theirs
}

// Nobody counts the streams that belong to nobody.
func (r *Reader) Nobody() (Nobody, error) {
	var n Nobody
	open := map[uint64]bool{}
	for rec, err := range r.src.Records(xds.Sidecar{}, 0) {
		if err != nil {
			return n, err
		}
		if rec.Stream == 0 || !rec.Sidecar.IsZero() {
			continue
		}
		n.note(rec)
		n.LastSeen = rec.Time
		open[rec.Stream] = rec.Kind != xds.KindClose
	}
	n.Streams = len(open)
	for _, is := range open {
		if is {
			n.Open++
		}
	}
	return n, nil
}
