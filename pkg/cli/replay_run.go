package cli

import (
	"context"
	"errors"
	"net"
	"os"

	"github.com/xdsproxy/xdsproxy/pkg/replay"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// replaySession is one run of replay: what it started is ended by run.
type replaySession struct {
	app    *App
	o      replayOptions
	src    *source
	plan   *replay.Plan
	speed  float64
	bodies *replay.Bodies
	print  *replayPrinter
}

func (s *replaySession) run(ctx context.Context) error {
	fits, err := breaks(s.o.breakOn)
	if err != nil {
		return err
	}
	if s.bodies, err = replay.NewBodies(s.read); err != nil {
		return err
	}
	s.print = &replayPrinter{app: s.app, o: s.o, color: s.app.Palette(), label: s.src.label(s.plan.Sidecar)}
	listen, err := s.o.listener(ctx)
	if err != nil {
		return err
	}
	cfg := replay.Config{Plan: s.plan, Bodies: s.bodies, Listen: []net.Listener{listen}, Speed: s.speed, Loop: s.o.loop, Hold: s.o.hold, Drop: s.o.drop, Tell: s.print.line}
	if s.o.step || s.o.breakOn != "" {
		stops := newReplayStops(s.app, s.o, fits, s.print)
		cfg.Stop = stops.before
	}
	if err := s.print.begin(s.plan, listen.Addr().String()); err != nil {
		_ = listen.Close()
		return err
	}
	cfg.Idle = func() { s.print.snippet(s.plan, listen.Addr().String()) }
	if s.o.envoy == "" {
		return s.play(ctx, cfg)
	}
	return s.withEnvoy(ctx, cfg)
}

// play serves, and gives the outcome its exit status.
func (s *replaySession) play(ctx context.Context, cfg replay.Config) error {
	told := false
	cfg.Held = func() error { told = true; return s.print.end(s.bodies) }
	p := replay.New(cfg)
	err := p.Run(ctx)
	if errors.Is(err, context.Canceled) && p.Ended() { // held, or a loop
		err = nil
	}
	if errors.Is(err, replay.ErrEnvoyEnded) {
		return Fail(CodeReplayEnvoy, err.Error(), "start that Envoy by hand, or another one with --envoy=PATH", "the replay's Envoy has ended")
	}
	if err != nil {
		return err
	}
	if !told {
		if err := s.print.end(s.bodies); err != nil {
			return err
		}
	}
	if p.Differs() {
		return ErrFound
	}
	return nil
}

// read finds a recorded body.
func (s *replaySession) read(d xds.Digest) ([]byte, bool) { return s.src.read.Cache().Body(d) }

// withEnvoy plays to an Envoy of its own.
func (s *replaySession) withEnvoy(ctx context.Context, cfg replay.Config) error {
	bin := s.o.envoy
	if bin == searchEnvoy {
		bin = findEnvoy(s.app)
	}
	if bin == "" {
		return s.close(cfg, Fail(CodeReplayEnvoy, "ENVOY_BIN is not set, and there is none in PATH", "--envoy=PATH, or `hack/get-envoy` in a clone of xdsproxy", "there is no Envoy to replay to"))
	}
	dir, err := os.MkdirTemp("", "xdsproxy-replay-")
	if err != nil {
		return s.close(cfg, err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // what is left is in the temporary directory
	unix, path, err := replay.ListenUnix(dir)
	if err != nil {
		return s.close(cfg, err)
	}
	cfg.Listen = append(cfg.Listen, unix)
	var in *replay.Namespace
	if s.o.redirect {
		stop, ns, err := s.redirect(ctx)
		if err != nil {
			return s.close(cfg, err)
		}
		defer stop()
		in = ns
	}
	boot := replay.Bootstrap(s.plan, s.plan.Refs(s.bodies), s.src.env.Static, replay.Pipe(path), replay.AdminAddress(in))
	e, err := replay.StartEnvoy(ctx, replay.EnvoyConfig{Bin: bin, Dir: dir, Bootstrap: boot, In: in})
	if err != nil {
		return s.close(cfg, Fail(CodeReplayEnvoy, err.Error(), "another one with --envoy=PATH", "cannot start %s", bin))
	}
	defer e.Close()
	if err := s.print.started(e, in); err != nil {
		return s.close(cfg, err)
	}
	cfg.Alive, cfg.AtEnd = e.Alive, s.o.compare == "end"
	if s.o.compare != "none" {
		cfg.Compare = replay.NewComparer(s.bodies, e.Dump).Compare
	}
	return s.play(ctx, cfg)
}

// close ends what would have been served.
func (s *replaySession) close(cfg replay.Config, err error) error {
	for _, l := range cfg.Listen {
		_ = l.Close()
	}
	return err
}

// redirect makes the namespace and the witness in it.
func (s *replaySession) redirect(ctx context.Context) (stop func(), ns *replay.Namespace, err error) {
	if os.Geteuid() != 0 {
		return nil, nil, Fail(CodeForbidden, "a network namespace with redirection can be made by root only", "sudo, or --envoy without --redirect", "cannot make a network namespace")
	}
	ns, err = replay.NewNamespace(ctx, "xdsproxy-"+s.print.short())
	if err != nil {
		return nil, nil, Fail(CodeReplayEnvoy, err.Error(), "it takes Linux, root, `ip` and `iptables`; without --redirect none of them", "cannot make a network namespace")
	}
	w, err := replay.StartWitness(ns)
	if err != nil {
		ns.Close()
		return nil, nil, err
	}
	return func() { w.Close(); ns.Close() }, ns, nil
}
