package cli

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/xdsproxy/xdsproxy/pkg/admin"
	"github.com/xdsproxy/xdsproxy/pkg/intercept"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// proxy is a running `xdsproxy proxy`: the one place where its parts meet.
type proxy struct {
	app      *App      // its Stderr never makes anybody wait
	stderr   io.Writer // for the judge, a process of its own
	o        proxyOptions
	log      zerolog.Logger
	stats    *intercept.Stats
	upstream *upstream
	relay    *intercept.Relay
	queue    *intercept.Queue // nil: nothing is recorded
	admin    *admin.Server    // nil: off
	unwell   condition        // why nothing is recorded
	meter    *meter
	history  atomic.Pointer[history] // nil: the store is not open
	opened   chan struct{}           // closed once it is, for the first time
	opening  sync.Once
	dir      atomic.Pointer[string] // of the store, once it was open
	ending   chan struct{}          // closed when there will be no more connections
	self     func() (string, error) // path of this program, for the judge
}

// build opens everything. Only what forwarding needs can fail it.
func (p *proxy) build() error {
	var err error
	stale := func(err error) {
		p.log.Warn().Err(err).Msg("certificates have changed and are no good; the old ones hold")
	}
	if p.upstream, err = newUpstream(p.o, p.stats); err != nil {
		return err
	}
	p.upstream.stale = stale
	cfg := intercept.Config{Listen: p.o.listen, Upstream: p.o.upstream, UpstreamTLS: p.upstream.tls, Stats: p.stats, Grace: p.o.grace,
		SocketBuffer: p.o.socketBuffer()}
	if cfg.ListenTLS, err = listenTLS(p.o, stale); err != nil {
		return err
	}
	sampled := p.log.Sample(&zerolog.BurstSampler{Burst: 3, Period: 10 * time.Second})
	cfg.Failed = func(err error) { sampled.Warn().Err(err).Msg("a connection was not forwarded") }
	if !p.o.relayOnly {
		p.queue = intercept.NewQueue(0, p.stats)
		cfg.Observer, err = intercept.NewObserver(intercept.ObserverConfig{Tap: p.queue.Tap(p.known), Stats: p.stats, MaxBytes: p.o.budget})
		if err != nil {
			return err
		}
	}
	if p.relay, err = intercept.New(cfg); err != nil {
		return listenFailure("--listen", p.o.listen, err)
	}
	if p.o.admin == "" || p.o.admin == "off" {
		return nil
	}
	p.admin, err = admin.New(admin.Config{Addr: p.o.admin, Ready: p.upstream.ready, Degraded: p.degraded, Reasons: p.reasons,
		Metrics: p.metrics(), Collectors: p.meter.collectors()})
	if err != nil {
		return listenFailure("--admin", p.o.admin, err)
	}
	return nil
}

// known is asked by the observers. Nothing is known before the store is open.
func (p *proxy) known(k xds.Key) bool {
	h := p.history.Load()
	return h != nil && h.rec.Known(k)
}

func listenFailure(flag, addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return &Error{Code: CodePortInUse, Message: "cannot listen on " + addr, Why: "another process listens there", Try: "another " + flag + ", or stop the other process", Err: err}
	}
	e := &Error{Code: CodeOpen, Message: "cannot listen on " + addr, Why: err.Error(), Try: "another " + flag, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Try = "make the socket's directory first, or another " + flag
	case errors.Is(err, fs.ErrPermission):
		e.Code, e.Try = CodeForbidden, "an address that this user may listen on: a port above 1023, a socket in a directory of its own"
	}
	return e
}

// abandon gives back what build had opened.
func (p *proxy) abandon() {
	if p.relay != nil {
		_ = p.relay.Close()
	}
}

// run forwards until ctx is done. Whatever else ends or fails, forwarding goes on.
func (p *proxy) run(ctx context.Context) error {
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var helpers, recorder sync.WaitGroup
	if p.queue != nil {
		recorder.Go(func() { p.record(beside) })
	}
	p.start(beside, &helpers)
	p.announce()
	err := p.relay.Run(ctx)
	p.log.Info().Msg("no more connections; writing what was seen")
	if p.queue != nil {
		p.queue.Close()
		close(p.ending)
	}
	recorder.Wait()
	stop()
	helpers.Wait()
	return err
}

// start runs what forwarding does not need.
func (p *proxy) start(ctx context.Context, g *sync.WaitGroup) {
	if p.admin != nil {
		g.Go(func() {
			if err := p.admin.Run(ctx); err != nil {
				p.log.Error().Err(err).Msg("health and metrics have ended")
			}
		})
	}
	g.Go(func() { p.greet(ctx) })
	if p.o.judged() {
		g.Go(func() { p.judge(ctx) })
	}
}

// greet says once when the control plane cannot be reached at the start. That is
// no reason not to start: each connection tries again.
func (p *proxy) greet(ctx context.Context) {
	if err := p.upstream.probe(ctx); err != nil && ctx.Err() == nil {
		writeErrorText(p.app.Stderr, Fail(CodeUpstream, err.Error(), "check --upstream and its TLS flags; every connection of Envoy tries again",
			"the control plane %s cannot be reached now", p.o.upstream))
	}
}

func (p *proxy) announce() {
	e := p.log.Info().Str("listen", p.relay.Addr().String()).Str("upstream", p.o.upstream).Bool("tls", p.upstream.tls != nil)
	if p.admin != nil {
		e = e.Str("admin", p.admin.Addr().String())
	}
	e.Msg("forwarding")
}
