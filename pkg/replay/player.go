package replay

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Config is what a Player needs.
type Config struct {
	// Plan is what is served. Required.
	Plan *Plan
	// Bodies gives resources their form. Required.
	Bodies *Bodies
	// Listen are the listeners to serve on; Run closes them. Required.
	Listen []net.Listener
	// Speed divides the recorded time between pushes; 0: no time at all.
	Speed float64
	// Stop is called before a push is sent and may wait; false ends the replay.
	// Default: nothing stops.
	Stop func(ctx context.Context, next *Step) (bool, error)
	// Loop begins again when the range has ended.
	Loop bool
	// Hold goes on serving what holds at the end until ctx is done.
	Hold bool
	// Drop leaves out the filters that the client lacks.
	Drop bool
	// Held is called when the end is reached and Hold lets the replay go on. Default:
	// nothing.
	Held func() error
	// AtEnd compares at the end of the range only, not after each group of pushes.
	AtEnd bool
	// Patience is how long one answer, or one subscription, is waited for. Default:
	// 10 s.
	Patience time.Duration
	// Idle is called when no client connects for a while, once. Default: nothing.
	Idle func()
	// Tell takes what is worth telling, in order. Required.
	Tell func(Line) error
	// Compare looks at what the client holds after a group of pushes. Default: it is
	// not looked at.
	Compare func(ctx context.Context, s *Step) ([]Difference, error)
	// Alive returns an error when the client cannot come any more. Default: it can.
	Alive func() error
}

// silence is how long nothing is said before a client is taken to have said all.
const silence = 400 * time.Millisecond

// Player serves a Plan.
type Player struct {
	cfg     Config
	hub     *hub
	runs    map[uint64]*run
	given   map[string]bool // types and names that the client never asked for
	differs bool
	lacks   map[string]bool
	waited  map[string]bool // told of
	ended   bool
}

// run is one step under way.
type run struct {
	step  *Step
	sent  []*delivery
	told  bool
	again int // times it was sent once more, without what the client lacks
}

// New makes a Player.
func New(c Config) *Player {
	c.Patience = cmp.Or(c.Patience, 10*time.Second)
	return &Player{cfg: c, hub: newHub(c.Bodies), given: map[string]bool{}, lacks: map[string]bool{}, waited: map[string]bool{}}
}

// Run serves until the range has ended or ctx is done. Differs tells the outcome.
func (p *Player) Run(ctx context.Context) error {
	srv := grpc.NewServer(grpc.UnknownServiceHandler(p.hub.handle), grpc.MaxRecvMsgSize(64<<20))
	var g errgroup.Group
	for _, l := range p.cfg.Listen {
		g.Go(func() error { return srv.Serve(l) })
	}
	err := p.play(ctx)
	srv.Stop()
	if e := g.Wait(); err == nil && e != nil {
		err = fmt.Errorf("serving: %w", e)
	}
	return err
}

// Ended reports whether the range was served to its end.
func (p *Player) Ended() bool { return p.ended }

// Differs reports whether anything was not as recorded.
func (p *Player) Differs() bool { return p.differs }

func (p *Player) tell(l Line) error {
	p.differs = p.differs || l.Different()
	return p.cfg.Tell(l)
}

func (p *Player) play(ctx context.Context) error {
	if err := p.meet(ctx); err != nil {
		return err
	}
	for round := 0; ; round++ {
		if err := p.base(ctx, round); err != nil {
			return err
		}
		goOn, err := p.steps(ctx)
		p.ended = err == nil
		if err != nil || !goOn {
			return err
		}
		if p.cfg.Hold && !p.cfg.Loop {
			return p.hold(ctx)
		}
		if !p.cfg.Loop {
			return nil
		}
		if err := p.tell(Line{Kind: Again}); err != nil {
			return err
		}
	}
}

// hold goes on serving what holds at the end.
func (p *Player) hold(ctx context.Context) error {
	if p.cfg.Held != nil {
		if err := p.cfg.Held(); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// meet waits for the first client.
func (p *Player) meet(ctx context.Context) error {
	for began, idle := time.Now(), false; ; {
		if p.hub.wait(ctx, 200*time.Millisecond, func() bool { return p.hub.asked(xds.ClusterType) || p.hub.asked(xds.ListenerType) }) {
			return p.look()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if p.cfg.Alive != nil {
			if err := p.cfg.Alive(); err != nil {
				return err
			}
		}
		if !idle && time.Since(began) > p.cfg.Patience && p.cfg.Idle != nil {
			idle = true
			p.cfg.Idle()
		}
	}
}

// look compares what the client says it has with what the range needs.
func (p *Player) look() error {
	p.hub.mu.Lock()
	node := p.hub.node
	p.hub.mu.Unlock()
	able := canDo(node)
	if able == nil {
		return nil
	}
	return p.lack(p.cfg.Plan.lacked(able, p.cfg.Bodies))
}

// lack tells of extensions that the client has not, and drops them where wanted.
func (p *Player) lack(names []string) error {
	var fresh []string
	for _, n := range names {
		if !p.lacks[n] {
			p.lacks[n] = true
			fresh = append(fresh, n)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	slices.Sort(fresh)
	if !p.cfg.Drop {
		return p.tell(Line{Kind: Lacks, Names: fresh})
	}
	p.cfg.Bodies.Drop(fresh...)
	return p.tell(Line{Kind: Drops, Names: fresh})
}

// base brings the client to where the sidecar was before the range.
func (p *Player) base(ctx context.Context, round int) error {
	p.runs = map[uint64]*run{}
	base := p.cfg.Plan.Base
	p.hub.mu.Lock()
	p.hub.serving = true
	p.hub.coming = func(string, string) bool { return false }
	p.hub.world = base
	p.hub.mu.Unlock()
	if round > 0 {
		p.hub.rebase(base)
	} else {
		p.hub.supplyAll(false)
	}
	if len(base.Types()) == 0 {
		return nil
	}
	for _, typ := range []string{xds.ClusterType, xds.ListenerType} {
		if base.Len(typ) > 0 {
			p.hub.wait(ctx, p.cfg.Patience, func() bool { return p.hub.asked(typ) })
		}
	}
	p.hub.quiet(ctx, silence, p.cfg.Patience)
	p.hub.wait(ctx, p.cfg.Patience, p.nothingOpen)
	return p.report(ctx)
}

// nothingOpen reports whether all that was sent is answered. Callers hold the lock.
func (p *Player) nothingOpen() bool {
	for s := range p.hub.streams {
		for _, sub := range s.subs {
			if len(sub.sent) > 0 {
				return false
			}
		}
	}
	return true
}

// steps serves the range; false: it was ended before its end.
func (p *Player) steps(ctx context.Context) (bool, error) {
	var last *Step
	for i, s := range p.cfg.Plan.Steps {
		if err := p.pace(ctx, last, s); err != nil {
			return false, err
		}
		if err := p.earlier(ctx, s.Earlier); err != nil {
			return false, err
		}
		if p.cfg.Stop != nil {
			if goOn, err := p.cfg.Stop(ctx, s); err != nil || !goOn {
				return false, err
			}
		}
		p.expect(i)
		if err := p.serve(ctx, s); err != nil {
			return false, err
		}
		if err := p.settle(ctx, i); err != nil {
			return false, err
		}
		last = s
	}
	return true, p.finish(ctx)
}

// pace waits as long as the recording did, divided by the speed.
func (p *Player) pace(ctx context.Context, last, next *Step) error {
	if p.cfg.Speed <= 0 || last == nil {
		return ctx.Err()
	}
	t := time.NewTimer(time.Duration(float64(next.Time.Sub(last.Time)) / p.cfg.Speed))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
	return ctx.Err()
}

// soon is how much later, in the recording, a push may come that a client is left to
// wait for.
const soon = time.Second

// expect lets what the next pushes bring wait for them.
func (p *Player) expect(i int) {
	steps := p.cfg.Plan.Steps
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	p.hub.coming = func(typ, name string) bool {
		for _, s := range steps[i+1:] {
			if s.Time.Sub(steps[i].Time) > soon {
				return false
			}
			if s.Type == typ && (name == all || s.holds(name)) {
				return true
			}
		}
		return false
	}
}

// serve sends one step, as soon as the client asks for what is in it.
func (p *Player) serve(ctx context.Context, s *Step) error {
	p.ready(ctx, s)
	p.runs[s.Number()] = &run{step: s, sent: p.hub.push(s)}
	return ctx.Err()
}

// ready waits until the client has asked for a push, as the sidecar had. What it
// never asked for is not waited for twice.
func (p *Player) ready(ctx context.Context, s *Step) {
	if !strings.HasPrefix(s.Type, xds.TypePrefix+"envoy.") || p.given[s.Type] {
		return
	}
	known := func() bool {
		for _, e := range s.Push.Resources {
			if !p.given[s.Type+" "+e.Name] && !p.hub.wanted(s.Type, e.Name) {
				return false
			}
		}
		return true
	}
	if !p.hub.wait(ctx, p.cfg.Patience, func() bool { return p.hub.asked(s.Type) }) {
		p.given[s.Type] = true
		return
	}
	for end := time.Now().Add(p.cfg.Patience); ; {
		if p.hub.wait(ctx, silence, known) {
			return
		}
		p.hub.mu.Lock()
		still := time.Since(p.hub.active) > 2*silence
		p.hub.mu.Unlock()
		if still || ctx.Err() != nil || time.Now().After(end) {
			break
		}
	}
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	for _, e := range s.Push.Resources {
		if !p.hub.wanted(s.Type, e.Name) {
			p.given[s.Type+" "+e.Name] = true
		}
	}
}
