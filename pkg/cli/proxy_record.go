package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/xdsproxy/xdsproxy/pkg/intercept"
	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/store"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// knownBytes bounds what the recorder remembers of resources: some 100,000.
const knownBytes = 32 << 20

// baseAge is how long a sidecar that is gone is carried on at the head of new
// segments.
const baseAge = 24 * time.Hour

type historyConfig struct {
	dir, opaque string
	retain      retainOptions
	now         func() time.Time
	log         zerolog.Logger
	unwell      *condition
	meter       *meter // nil: not counted

	missed string   // why nothing was recorded since the start, "" where nothing was missed
	last   *history // the one that this one goes on for, nil = none
}

// history writes what the observers saw: recorder, fold and store. One goroutine
// uses it, but for Has and rec.Known, which the forwarding path calls: these look
// into memory only and never wait for a disk.
type history struct {
	cfg    historyConfig
	writer *store.Writer
	fold   *state.Fold
	rec    *record.Recorder
	newest time.Time // of the records
	broken bool      // the recorder has failed for good
	place  placed    // where it writes
	gone   bool      // that place is no more
	health health
	offset uint64 // added to the observer's numbers of streams
}

func openHistory(ctx context.Context, cfg historyConfig) (*history, error) {
	h := &history{cfg: cfg, fold: state.New(nil)}
	w, err := store.OpenWriter(cfg.retain.limit(store.Config{Dir: cfg.dir, Bases: h.bases, Settled: h.settled, Now: cfg.now}))
	if err != nil {
		return nil, err
	}
	h.writer = w
	if h.place, err = place(cfg.dir); err == nil {
		err = h.resume(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return h, nil
}

// resume goes on behind what the store holds.
func (h *history) resume(ctx context.Context) error {
	for _, d := range h.writer.Recovered() {
		h.cfg.log.Warn().Err(d).Msg("the store was not closed; its unfinished end was cut")
	}
	pushes, err := h.writer.LastPushes()
	if err != nil {
		return fmt.Errorf("reading the last push numbers: %w", err)
	}
	seq, stream := h.writer.Last()
	h.offset = stream
	h.rec, err = record.New(record.Config{Log: h, Key: h.writer.Key(), Opaque: record.Opaque(h.cfg.opaque), KnownBytes: knownBytes,
		Pushes: pushes, StreamOffset: stream})
	if err != nil || seq == 0 && h.cfg.last == nil && h.cfg.missed == "" {
		return err
	}
	if seq > 0 {
		if err := seed(ctx, h.fold, h.cfg.dir, seq); err != nil {
			return fmt.Errorf("reading the end of the history: %w", err)
		}
	}
	if err := h.Append(h.pause(), nil); err != nil {
		return err
	}
	return h.carry(h.offset)
}

// pause tells what is missing between two runs. Streams that were open have ended
// with the process that forwarded them.
func (h *history) pause() []xds.Record {
	now := h.cfg.now()
	var recs []xds.Record
	for _, id := range h.fold.Sidecars() {
		v, _ := h.fold.View(id)
		for _, s := range v.Streams {
			recs = append(recs, xds.Record{Time: now, Kind: xds.KindClose, Stream: s.ID, Sidecar: id,
				Close: &xds.Close{By: "server", Code: "Unavailable", Message: "xdsproxy was stopped"}})
		}
	}
	why := "recorder was not running"
	switch {
	case h.cfg.last != nil:
		why = "the store was taken away"
	case h.cfg.missed != "":
		why += ": " + h.cfg.missed
	}
	return append(recs, xds.Record{Time: now, Kind: xds.KindGap, Gap: &xds.Gap{Reason: why}})
}

// Append is the recorder's way to the store.
func (h *history) Append(recs []xds.Record, bodies []xds.Body) error {
	err := h.writer.Append(recs, bodies)
	h.health.appended(len(recs), bodies, err, h.cfg.now())
	if err != nil {
		h.cfg.meter.failed(len(recs))
		return err
	}
	h.cfg.meter.wrote(recs)
	for _, r := range recs {
		h.fold.Apply(r)
		if r.Time.After(h.newest) {
			h.newest = r.Time
		}
	}
	return nil
}

// Has reports whether the store is known to hold a body.
func (h *history) Has(d xds.Digest) bool { return h.writer.Has(d) }

// bases are what a new segment starts with. A sidecar that is left out is forgotten:
// pods that come and go would fill the memory.
func (h *history) bases() []xds.Record {
	var all []xds.Record
	for _, id := range h.fold.Sidecars() {
		v, ok := h.fold.View(id)
		if !ok || !v.Connected && h.newest.Sub(v.LastSeen) > baseAge {
			h.fold.Forget(id)
			continue
		}
		if b, ok := h.fold.Base(id); ok {
			all = append(all, b)
		}
	}
	return all
}

// A change is over when nothing was recorded for a second, and what is not answered
// by then is ten seconds old.
const (
	quiet    = time.Second
	patience = 10 * time.Second
)

// settled reports that a base made now would cut no change of the control plane
// in two.
func (h *history) settled() bool {
	now := h.cfg.now()
	if now.Sub(h.newest) < quiet {
		return false
	}
	for _, id := range h.fold.Sidecars() {
		v, _ := h.fold.View(id)
		if slices.ContainsFunc(v.Pending, func(p state.PendingPush) bool { return now.Sub(p.Since) < patience }) {
			return false
		}
	}
	return true
}

// run records until the queue is closed and empty, the recorder has failed, or the
// store is gone.
func (h *history) run(ctx context.Context, q *intercept.Queue) {
	for !h.broken {
		tick, cancel := context.WithTimeout(ctx, time.Second)
		open := h.until(tick, q)
		cancel()
		if !open || ctx.Err() != nil {
			return
		}
		if q.Len() == 0 { // else the records would lag behind the clock
			h.try(func() error { return h.rec.Advance(h.cfg.now()) })
		}
		h.writer.Retain()
		if h.gone = !h.place.there(); h.gone {
			h.cfg.unwell.set("nothing is recorded: the store was taken away")
			h.cfg.log.Error().Str("store", h.cfg.dir).Msg("the store was taken away; forwarding goes on")
			return
		}
	}
}

// until records until tick is over; false says that nothing more will come.
func (h *history) until(tick context.Context, q *intercept.Queue) bool {
	for tick.Err() == nil && !h.broken {
		s, ok := q.Next(tick)
		if !ok {
			return tick.Err() != nil
		}
		h.try(func() error { return h.rec.Sight(h.known(s)) })
	}
	return true
}

// known gives resources that lost their bytes on the way their content back where
// another stream has brought it meanwhile.
func (h *history) known(s xds.Sighting) xds.Sighting {
	if s.Msg == nil {
		return s
	}
	for i, c := range s.Msg.Chunks {
		if c.State == xds.ChunkBodyless && h.rec.Known(c.Key) {
			s.Msg.Chunks[i].State = xds.ChunkKnown
		}
	}
	return s
}

// try keeps failures of recording from everything else. An error is the store's
// and may pass; a panic is a defect and ends recording.
func (h *history) try(f func() error) {
	defer func() {
		if r := recover(); r != nil {
			h.broken = true
			h.cfg.unwell.failed(h.cfg.log, r)
		}
	}()
	err := f()
	if err != nil {
		if h.cfg.unwell.set("store: " + err.Error()) {
			h.cfg.log.Error().Err(err).Msg("recording fails; forwarding goes on")
		}
		return
	}
	if h.health.well(h.cfg.now()) && h.cfg.unwell.set("") {
		h.cfg.log.Info().Msg("recording works again")
	}
}

// close writes what waits and gives the store free.
func (h *history) close() error {
	if !h.broken && !h.gone {
		h.try(h.rec.Close)
	}
	return h.writer.Close()
}
