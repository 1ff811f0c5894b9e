package intercept

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// ObserverConfig says who is told and what it may cost.
type ObserverConfig struct {
	// Tap is told. Required.
	Tap Tap
	// Stats counts. Default: a new one.
	Stats *Stats
	// Clock gives the time of what is seen. Default: time.Now.
	Clock func() time.Time
	// MaxBytes bounds what is held for messages that are not complete, over all
	// connections. Beyond it resources lose their bytes and messages become gaps.
	// Default: 32 MiB.
	MaxBytes int64
}

// DefaultBytes is the default bound of observer and queue alike.
const DefaultBytes = 32 << 20

// Observer reads connections without touching them.
type Observer struct {
	in      *inspector
	conns   atomic.Uint64
	streams atomic.Uint64
}

// NewObserver returns an Observer for any number of connections.
func NewObserver(c ObserverConfig) (*Observer, error) {
	if c.Tap == nil {
		return nil, errors.New("an observer needs a tap")
	}
	if c.Stats == nil {
		c.Stats = &Stats{}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultBytes
	}
	var seed [8]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, fmt.Errorf("drawing the seed of resource keys: %w", err)
	}
	in := &inspector{tap: c.Tap, stats: c.Stats, clock: c.Clock, seed: binary.LittleEndian.Uint64(seed[:]),
		budget: &budget{max: c.MaxBytes, stats: c.Stats}}
	in.flight = newFlight(in.budget)
	return &Observer{in: in}, nil
}

// Wait returns when all that was seen is handed over. It is for the end, when no
// connection is fed any more.
func (o *Observer) Wait() { o.in.inflater.group.Wait() }

// Conn begins the observation of one connection.
func (o *Observer) Conn(peer string) *Conn {
	c := &Conn{in: o.in, num: o.conns.Add(1), peer: peer, nextStream: func() uint64 { return o.streams.Add(1) },
		streams: map[uint32]*stream{}}
	c.Up, c.Down = newSide(c, true), newSide(c, false)
	return c
}
