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
	// ListenTLS gives the TLS server configuration for one connection; its ALPN is
	// overwritten with what upstream negotiated. Default: no TLS.
	ListenTLS func() (*tls.Config, error)
	// UpstreamTLS gives the TLS client configuration for one connection. Its ALPN is
	// overwritten with what the client offered, h2 where that is not known. Default:
	// no TLS.
	UpstreamTLS func() (*tls.Config, error)
	// SocketBuffer bounds, in bytes, what the kernel holds for each direction of
	// each TCP socket (SO_RCVBUF, SO_SNDBUF). Default: 0, the kernel's own bounds.
	SocketBuffer int
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
	l, err := listen.listen()
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", listen, err)
	}
	if err := limitListener(l, c.SocketBuffer); err != nil {
		return nil, errors.Join(fmt.Errorf("listening on %s: %w", listen, err), l.Close())
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
	if r.cfg.Observer != nil {
		r.cfg.Observer.Wait()
	}
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
func (r *Relay) serve(hard context.Context, raw net.Conn) {
	down, up, err := r.connect(hard, raw)
	if err != nil {
		reset(raw)
		r.failed(hard, err)
		return
	}
	for _, c := range []net.Conn{down, up} {
		r.track(c)
		defer r.untrack(c)
	}
	if hard.Err() != nil {
		reset(up)
		reset(raw)
		return
	}
	r.forward(hard, down, up)
}

// failed counts and tells why a connection is not forwarded.
func (r *Relay) failed(hard context.Context, err error) {
	var refused *greetError
	switch {
	case hard.Err() != nil:
		return
	case errors.Is(err, errGone):
		r.cfg.Stats.Abandoned.Add(1)
		return
	case errors.As(err, &refused):
		r.cfg.Stats.HandshakeFailures.Add(1)
	default:
		r.cfg.Stats.DialFailures.Add(1)
		r.cfg.Stats.DialFailedAt.Store(time.Now().UnixNano())
	}
	r.cfg.Failed(err)
}
