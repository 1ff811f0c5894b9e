package query

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const (
	// idleAfter is how long nothing must have come before time alone may close a
	// group: a reader that lags behind must not mistake its own delay for silence.
	idleAfter = 300 * time.Millisecond
	// lag is how far behind the clock a follower stays: what was recorded by then
	// has been read.
	lag = time.Second
)

// follow goes on after the end of what was there.
func (w *walker) follow(ctx context.Context) error {
	f, ok := w.r.src.(Follower)
	if !ok || w.r.now == nil {
		return ErrCannotFollow
	}
	id := xds.Sidecar{}
	if len(w.o.Sidecars) == 1 {
		id = w.o.Sidecars[0]
	}
	ctx, cancel := context.WithCancel(ctx)
	items := make(chan followed)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(items)
		for rec, err := range f.Follow(ctx, id, w.seq+1) {
			select {
			case items <- followed{rec, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	err := w.loop(ctx, items)
	cancel()
	<-done
	return err
}

// rest reads what was written after the last record that was followed.
func (w *walker) rest() error {
	f, ok := w.r.src.(Follower)
	if !ok {
		return ErrCannotFollow
	}
	if err := f.Refresh(); err != nil {
		return fmt.Errorf("reading what was written at last: %w", err)
	}
	ids, err := w.ids()
	if err != nil {
		return err
	}
	var heads []*head
	defer func() { stopAll(heads) }()
	for _, id := range ids {
		h := &head{}
		h.pull, h.stop = iter.Pull2(w.r.src.Records(id, w.seq+1))
		heads = append(heads, h)
		if err := h.next(); err != nil {
			return err
		}
	}
	var failed error
	mergeHeads(heads, func(rec xds.Record, err error) bool {
		failed = err
		return err == nil && w.record(rec)
	})
	return failed
}

type followed struct {
	rec xds.Record
	err error
}

func (w *walker) loop(ctx context.Context, items <-chan followed) error {
	idle := time.NewTimer(idleAfter)
	defer idle.Stop()
	for {
		select {
		case it, ok := <-items:
			if !ok {
				return ctx.Err()
			}
			if it.err != nil {
				return it.err
			}
			if (it.rec.Sidecar.IsZero() || w.wanted(it.rec.Sidecar)) && !w.record(it.rec) {
				return nil
			}
		case <-idle.C:
			if !w.entries(w.walk.Advance(w.r.now().Add(-lag))) {
				return nil
			}
			if w.o.OnIdle != nil {
				w.o.OnIdle(w.seq, w.time)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		idle.Reset(idleAfter)
	}
}
