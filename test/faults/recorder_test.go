package faults

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/intercept"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// relayed runs the relay in this process with tap behind its observer.
func relayed(t *testing.T, p *plane, tap intercept.Tap, stats *intercept.Stats) (target string) {
	t.Helper()
	o, err := intercept.NewObserver(intercept.ObserverConfig{Tap: tap, Stats: stats})
	if err != nil {
		t.Fatal(err)
	}
	r, err := intercept.New(intercept.Config{Listen: "127.0.0.1:0", Upstream: p.addr, Observer: o, Stats: stats})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r.Addr().String()
}

// TestRecorderHung lets nobody read what the observers hand over: bytes flow, the
// queue keeps its size, and who reads it in the end is told what was lost.
func TestRecorderHung(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	stats := &intercept.Stats{}
	q := intercept.NewQueue(4<<20, stats)
	c := newChurn(connect(t, relayed(t, p, q.Tap(func(xds.Key) bool { return false }), stats), p), 500, 1000)
	for range 20 { // of 900 kB, with as much of names and keys as a queue of 4 MiB takes
		c.next()
		if n := stats.QueueBytes.Load(); n > 4<<20+4<<20/8 {
			t.Fatalf("%d bytes wait", n)
		}
	}
	for stats.SightingsLost.Load() == 0 {
		c.next()
	}
	c.finish()
	q.Close()
	gaps := 0
	for {
		s, ok := q.Next(t.Context())
		if !ok {
			break
		}
		if s.Kind == xds.SawGap {
			gaps++
		}
	}
	if gaps == 0 || stats.BodiesDropped.Load() == 0 {
		t.Errorf("%d gaps, %d bodies dropped", gaps, stats.BodiesDropped.Load())
	}
}

// failing is a tap that panics from a chosen call on.
type failing struct{ calls, from int }

func (f *failing) Known(xds.Key) bool { return false }

func (f *failing) Offer(xds.Sighting) bool {
	if f.calls++; f.calls >= f.from {
		panic("a defect")
	}
	return true
}

// TestRecorderPanics lets the tap panic at each of its first calls: its connection
// is watched no more, and its bytes flow on.
func TestRecorderPanics(t *testing.T) {
	t.Parallel()
	for from := 1; from <= 6; from++ {
		p := newPlane(t)
		stats := &intercept.Stats{}
		c := newChurn(connect(t, relayed(t, p, &failing{from: from}, stats), p), 50, 10)
		for range 5 {
			c.next()
		}
		c.finish()
		if n := stats.Detached.Load(); n != 1 {
			t.Errorf("from call %d on: %d connections detached, want 1", from, n)
		}
	}
}

// TestRecorderSlow takes one sighting for each push, the slowest pace at which
// nothing is dropped is not asked for: what arrives is in order and has its gaps.
func TestRecorderSlow(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	stats := &intercept.Stats{}
	q := intercept.NewQueue(1<<20, stats)
	c := newChurn(connect(t, relayed(t, p, q.Tap(func(xds.Key) bool { return false }), stats), p), 300, 1000)
	rnd := rand.New(rand.NewPCG(1, 2))
	var taken []xds.Sighting
	for range 60 {
		c.next()
		if rnd.IntN(4) == 0 {
			if s, ok := q.Next(t.Context()); ok {
				taken = append(taken, s)
			}
		}
	}
	c.finish()
	q.Close()
	for {
		s, ok := q.Next(t.Context())
		if !ok {
			break
		}
		taken = append(taken, s)
	}
	responses, gaps := 0, 0
	for _, s := range taken {
		switch s.Kind {
		case xds.SawResponse:
			responses++
		case xds.SawGap:
			gaps++
		}
	}
	if responses == 0 || responses < 60 && gaps == 0 {
		t.Errorf("%d of 60 pushes handed over, %d gaps", responses, gaps)
	}
	if last := taken[len(taken)-1]; last.Kind != xds.SawClose {
		t.Errorf("the last sighting is %v, not the end of the stream", last.Kind)
	}
}
