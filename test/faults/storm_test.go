package faults

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// TestReconnectionStorm lets 1,000 clients connect at once, to a proxy that is
// killed and started again: all are served each time, and no file, connection or
// goroutine of theirs stays when they are gone.
func TestReconnectionStorm(t *testing.T) {
	t.Parallel()
	const clients = 1000
	p := newPlane(t)
	push := cds(t, "1", 20, nil)
	stop := p.serve(t, push)
	defer stop()
	store := filepath.Join(t.TempDir(), "store")
	for round := range *restarts {
		x := start(t, config{upstream: p.addr, store: store})
		calm := calmly(t, x)
		var all sync.WaitGroup
		ends, errs := make([]*end, clients), make(chan error, clients)
		for i := range clients {
			all.Go(func() {
				var err error
				if ends[i], err = served(x.target, push); err != nil {
					errs <- fmt.Errorf("client %d: %w", i, err)
				}
			})
		}
		all.Wait()
		close(errs)
		for err := range errs {
			t.Error(err)
		}
		if round%2 == 1 { // with all of them connected
			x.kill()
		}
		for _, e := range ends {
			if e != nil {
				_ = e.Close()
				<-e.over
			}
		}
		if round%2 == 0 {
			x.await("what the clients held to be free", func() bool { return calmly(t, x).within(calm) })
			x.stop()
		}
	}
	verified(t, store)
}

// calm is what a proxy holds.
type calm struct{ fds, goroutines, connections int }

func calmly(t *testing.T, x *proxy) calm {
	t.Helper()
	return calm{x.fds(), int(x.metric("go_goroutines")), int(x.metric("xdsproxy_connections_active"))}
}

// within: no more than before, but for what a request to the admin address takes.
func (c calm) within(before calm) bool {
	return c.fds <= before.fds+2 && c.goroutines <= before.goroutines+2 && c.connections == 0
}

// served is a client that connects, subscribes, and gets the push.
func served(target string, push []byte) (*end, error) {
	c, err := dialRaw(target)
	if err != nil {
		return nil, err
	}
	e := newEnd(c)
	go e.listen(false)
	err = errors.Join(e.greet(true), e.do(func(f *http2.Framer) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block(":method", "POST", ":scheme", "http",
			":path", adsSotW, ":authority", "istiod", "content-type", "application/grpc", "te", "trailers")})
	}), e.send(1, text(nil, 4, clusterType)))
	if err != nil {
		return e, err
	}
	m, err := e.next()
	if err == nil && m != messageOf(push) {
		err = errors.New("other bytes arrived")
	}
	if err == nil {
		err = e.send(1, ack("1"))
	}
	return e, err
}

// serve answers the first message of every connection with push until stop.
func (p *plane) serve(t *testing.T, push []byte) (stop func()) {
	t.Helper()
	quit := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			select {
			case <-quit:
				return
			case c := <-p.arrived:
				all.Go(func() { answer(newEnd(c), push, quit) })
			}
		}
	})
	return func() {
		close(quit)
		all.Wait()
	}
}

func answer(e *end, push []byte, quit chan struct{}) {
	defer e.Close()
	go e.listen(true)
	if e.greet(false) != nil {
		return
	}
	if _, err := e.next(); err != nil {
		return
	}
	if e.do(func(f *http2.Framer) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block(":status", "200", "content-type", "application/grpc")})
	}) != nil || e.send(1, push) != nil {
		return
	}
	select {
	case <-e.over:
	case <-quit:
		_ = e.SetReadDeadline(time.Now())
		<-e.over
	}
}
