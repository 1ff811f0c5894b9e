package cli

import (
	"context"
	"iter"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// interruptible makes reading a history end when ctx does: folding a long one
// takes a while.
func interruptible(ctx context.Context, src query.Source) query.Source {
	s := interrupted{Source: src, done: ctx.Err}
	if f, ok := src.(query.Follower); ok {
		return interruptedFollower{s, f}
	}
	return s
}

type interrupted struct {
	query.Source
	done func() error
}

func (s interrupted) Records(id xds.Sidecar, from uint64) iter.Seq2[xds.Record, error] {
	return func(yield func(xds.Record, error) bool) {
		for rec, err := range s.Source.Records(id, from) {
			if stop := s.done(); stop != nil {
				yield(xds.Record{}, stop)
				return
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

type interruptedFollower struct {
	interrupted
	query.Follower
}
