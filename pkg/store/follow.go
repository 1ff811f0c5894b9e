package store

import (
	"context"
	"iter"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Follow is Records that waits for more until ctx is done, which ends it without
// an error. The zero Sidecar stands for all.
func (r *Reader) Follow(ctx context.Context, id xds.Sidecar, from uint64) iter.Seq2[xds.Record, error] {
	return func(yield func(xds.Record, error) bool) {
		c := r.cursor(id, from, id.IsZero())
		tick := time.NewTicker(r.poll)
		defer tick.Stop()
		for c.drain(until(ctx, yield)) && ctx.Err() == nil {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := r.Refresh(); err != nil {
				yield(xds.Record{}, err)
				return
			}
		}
	}
}

// until stops at the next record when ctx is done.
func until(ctx context.Context, yield func(xds.Record, error) bool) func(xds.Record, error) bool {
	return func(r xds.Record, err error) bool { return ctx.Err() == nil && yield(r, err) }
}
