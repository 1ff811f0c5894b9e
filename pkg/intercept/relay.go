package intercept

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// Config says where a Relay listens and what it forwards to.
type Config struct {
	// Listen is host:port or unix:///path. Required.
	Listen string
	// Upstream is host:port or unix:///path. Required.
	Upstream string
	// UpstreamTLS is the TLS client configuration towards upstream. ALPN is h2
	// where it names none. Default: no TLS.
	UpstreamTLS *tls.Config
	// Observer reads along. Default: none, bytes are copied by the kernel.
	Observer *Observer
	// Stats counts. Default: a new one.
	Stats *Stats
	// Grace is how long open connections may last once Run is told to end.
	// Default: 0, they are closed at once.
	Grace time.Duration
	// Failed is told each time upstream cannot be reached or accepting fails.
	// Default: nobody.
	Failed func(error)
}

// Relay forwards connections, one upstream connection for each. It knows no
// timeout, no retry and no size limit: those are the business of both ends.
type Relay struct {
	cfg      Config
	upstream Address
	listener net.Listener
	buffers  bufferPool

	mu    sync.Mutex // guards open
	open  map[net.Conn]struct{}
	group sync.WaitGroup
}

// New validates c and opens the listener, so that a port in use shows at once.
func New(c Config) (*Relay, error) {
	listen, err := ParseAddress(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	upstream, err := ParseAddress(c.Upstream)
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	if c.Stats == nil {
		c.Stats = &Stats{}
	}
	if c.Failed == nil {
		c.Failed = func(error) {}
	}
	if c.UpstreamTLS != nil && len(c.UpstreamTLS.NextProtos) == 0 {
		c.UpstreamTLS = c.UpstreamTLS.Clone()
		c.UpstreamTLS.NextProtos = []string{"h2"}
	}
	l, err := listen.listen()
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", listen, err)
	}
	return &Relay{cfg: c, upstream: upstream, listener: l, open: map[net.Conn]struct{}{}}, nil
}

// Addr is where the relay listens, with the port that was chosen for port 0.
func (r *Relay) Addr() net.Addr { return r.listener.Addr() }

// Close gives up a relay that is not run.
func (r *Relay) Close() error { return r.listener.Close() }

// Run forwards until ctx is done; then it stops accepting, gives open connections
// their grace time, closes what is left and returns when all of it has ended.
func (r *Relay) Run(ctx context.Context) error {
	hard, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	stop := context.AfterFunc(ctx, func() { _ = r.listener.Close() })
	defer stop()
	err := r.accept(ctx, hard)
	_ = r.listener.Close()
	r.drain()
	kill()
	r.closeAll()
	r.group.Wait()
	return err
}

func (r *Relay) accept(ctx, hard context.Context) error {
	wait := time.Duration(0)
	for {
		c, err := r.listener.Accept()
		switch {
		case err == nil:
			wait = 0
			r.start(hard, c)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accepting connections: %w", err)
		default:
			r.cfg.Stats.AcceptFailures.Add(1)
			r.cfg.Failed(fmt.Errorf("accepting a connection: %w", err))
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			pause(ctx, wait)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (r *Relay) start(hard context.Context, down net.Conn) {
	r.cfg.Stats.Connections.Add(1)
	r.cfg.Stats.Active.Add(1)
	r.track(down)
	r.group.Go(func() {
		defer r.cfg.Stats.Active.Add(-1)
		defer r.untrack(down)
		r.serve(hard, down)
	})
}

// drain waits for the connections to end, at most for the grace time.
func (r *Relay) drain() {
	if r.cfg.Grace <= 0 {
		return
	}
	done := make(chan struct{})
	go func() {
		r.group.Wait()
		close(done)
	}()
	t := time.NewTimer(r.cfg.Grace)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}

func (r *Relay) track(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[c] = struct{}{}
}

func (r *Relay) untrack(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, c)
}

// closeAll closes what is left, side by side: TLS says goodbye, to a peer that may
// not read.
func (r *Relay) closeAll() {
	r.mu.Lock()
	left := slices.Collect(maps.Keys(r.open))
	r.mu.Unlock()
	var closing sync.WaitGroup
	for _, c := range left {
		closing.Go(func() { _ = c.Close() })
	}
	closing.Wait()
}

// serve forwards one connection. A dial that fails resets downstream: the one
// thing a client can see that it would not see without the relay.
func (r *Relay) serve(hard context.Context, down net.Conn) {
	up, err := r.upstream.Dial(hard, r.cfg.UpstreamTLS)
	if err != nil {
		reset(down)
		if hard.Err() == nil {
			r.cfg.Stats.DialFailures.Add(1)
			r.cfg.Stats.DialFailedAt.Store(time.Now().UnixNano())
			r.cfg.Failed(fmt.Errorf("connecting to upstream %s: %w", r.upstream, err))
		}
		return
	}
	r.cfg.Stats.DialedAt.Store(time.Now().UnixNano())
	r.track(up)
	defer r.untrack(up)
	if hard.Err() != nil {
		reset(up)
		reset(down)
		return
	}
	r.forward(hard, down, up)
}

// forward runs both directions and ends both connections as their peers ended
// them: a half-close as a half-close, a reset as a reset.
func (r *Relay) forward(hard context.Context, down, up net.Conn) {
	upward := &pump{src: down, dst: up, from: newSource(down, &r.buffers), bytes: &r.cfg.Stats.BytesUp}
	downward := &pump{src: up, dst: down, from: newSource(up, &r.buffers), bytes: &r.cfg.Stats.BytesDown}
	if r.cfg.Observer != nil {
		conn := r.cfg.Observer.Conn(peerOf(down))
		defer conn.Close()
		over := func(s *Side) {
			if hard.Err() != nil {
				conn.Stopped()
			}
			conn.Ended(s)
		}
		upward.side, upward.back, upward.over = conn.Up, conn.Down, over
		downward.side, downward.back, downward.over = conn.Down, conn.Up, over
	}
	var failed [2]error
	var other sync.WaitGroup
	other.Go(func() { failed[0] = r.pump(upward) })
	failed[1] = r.pump(downward)
	other.Wait()
	if failed[0] != nil || failed[1] != nil {
		reset(up)
		reset(down)
		return
	}
	_ = up.Close()
	_ = down.Close()
}

// pump runs one direction. A source that was reset ends both directions at once;
// where writing failed the other direction still brings what was sent before.
func (r *Relay) pump(p *pump) error {
	run := p.run
	if r.cfg.Observer == nil {
		run = p.copyAll
	}
	err := run()
	var pass *passError
	if err != nil && !errors.As(err, &pass) {
		reset(p.dst)
		reset(p.src)
	}
	return err
}

func peerOf(c net.Conn) string {
	if a := c.RemoteAddr(); a != nil && a.Network() == "tcp" {
		return a.String()
	}
	return "unix"
}
