package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// patience is how long the demo waits for one thing to happen.
const patience = 20 * time.Second

// stage holds what runs while the story is told: everything in it is started by
// start and ended by stop.
type stage struct {
	cfg     Config
	cp      *ControlPlane
	servers []net.Listener
	procs   []*exec.Cmd
	client  *client // stands in for Envoy
	group   errgroup.Group
	port    uint32 // of virtualOutbound
	cancel  context.CancelFunc
}

func (s *stage) start(ctx context.Context) error {
	ctx, s.cancel = context.WithCancel(ctx)
	if err := s.startServers(); err != nil {
		return err
	}
	var err error
	if s.cp, err = NewControlPlane(ctx); err != nil {
		return err
	}
	s.group.Go(s.cp.Run)
	if s.port, err = freePort(); err != nil {
		return err
	}
	if err := s.serve(ctx, 0); err != nil {
		return err
	}
	if err := s.startProxy(ctx); err != nil {
		return err
	}
	return s.startClient(ctx)
}

func (s *stage) startServers() error {
	for addr, version := range map[string]string{external: "8.0.36-external", inMesh: "8.0.36-in-mesh"} {
		l, err := listenMySQL(addr, version)
		if err != nil {
			return err
		}
		s.servers = append(s.servers, l)
		s.group.Go(func() error { return serveMySQL(l, version) })
	}
	return nil
}

func (s *stage) socket() string { return filepath.Join(s.cfg.Dir, "xds.sock") }

// startProxy runs the proxy as people do and waits for its socket.
func (s *stage) startProxy(ctx context.Context) error {
	err := s.spawn(ctx, "xdsproxy.log", s.cfg.Self, "proxy", "--listen", "unix://"+s.socket(), "--upstream", s.cp.Addr(),
		"--store", s.cfg.Store(), "--admin", "127.0.0.1:0", "--grace", "0s")
	if err != nil {
		return err
	}
	return poll(ctx, "xdsproxy proxy to listen", func() error {
		c, err := net.Dial("unix", s.socket())
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// startClient starts the Envoy, or the client that stands in for it.
func (s *stage) startClient(ctx context.Context) error {
	if s.cfg.Envoy == "" {
		s.say("(no Envoy found: a small xDS client stands in, and `xdsproxy resolve` says where its connections would go)\n")
		c, err := newClient(s.socket(), s.cfg.Node)
		if err != nil {
			return err
		}
		s.client = c
		s.group.Go(func() error { return c.run(ctx) })
		return nil
	}
	s.say("(Envoy: %s)\n", s.cfg.Envoy)
	conf, err := WriteBootstrap(s.cfg.Dir, s.cfg.Node, "unix://"+s.socket(), s.cp.Addr())
	if err != nil {
		return err
	}
	return s.spawn(ctx, "envoy.log", s.cfg.Envoy, "-c", conf, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning")
}

// spawn starts a program whose output goes to a file of the demo's directory.
func (s *stage) spawn(ctx context.Context, logName, bin string, args ...string) error {
	log, err := os.Create(filepath.Join(s.cfg.Dir, logName))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = spawnAttr()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", filepath.Base(bin), err)
	}
	s.procs = append(s.procs, cmd)
	return nil
}

// stop ends everything, clients first, so that each end sees the other go.
func (s *stage) stop() {
	if s.cancel != nil {
		s.cancel()
	}
	for i := len(s.procs) - 1; i >= 0; i-- {
		_ = s.procs[i].Wait()
	}
	for _, l := range s.servers {
		_ = l.Close()
	}
	if s.cp != nil {
		s.cp.Stop()
	}
	_ = s.group.Wait()
}

func (s *stage) serve(ctx context.Context, n int) error {
	res, err := rewrite(s.cfg.Stages[n], s.port)
	if err != nil {
		return err
	}
	return s.cp.Serve(ctx, res)
}

// await connects until the outcome is the one that the stage brings about, and
// returns it as a person would see it.
func (s *stage) await(ctx context.Context, works bool) (string, error) {
	var answer string
	err := poll(ctx, "the client's connection to change", func() error {
		ok, text, err := s.connect(ctx)
		if err != nil {
			return err
		}
		answer = text
		if ok != works {
			return errors.New(text)
		}
		return nil
	})
	return answer, err
}

// connect makes one connection to the external MySQL.
func (s *stage) connect(ctx context.Context) (ok bool, text string, err error) {
	if s.client != nil {
		return s.ask(ctx)
	}
	via := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(s.port)))
	version, err := dialMySQL(via, external)
	var refused *net.OpError
	if errors.As(err, &refused) && refused.Op == "dial" {
		return false, "", err // Envoy is still starting
	}
	if err != nil {
		return false, "ERROR 2013 (HY000): Lost connection at 'handshake: reading initial communication packet'", nil
	}
	return true, "connected, MySQL " + version, nil
}

// explain runs an xdsproxy command and shows what it prints, as soon as it has
// something to tell: a group of pushes is judged when it has settled.
func (s *stage) explain(ctx context.Context, args ...string) error {
	return poll(ctx, "xdsproxy "+args[0], func() error {
		out, err := exec.CommandContext(ctx, s.cfg.Self, args...).Output()
		if err != nil {
			return err
		}
		if len(out) == 0 {
			return errors.New("it tells nothing")
		}
		_, err = s.cfg.Out.Write(out)
		return err
	})
}

// poll tries until f succeeds or patience is over; then the last error is told.
func poll(ctx context.Context, what string, f func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// freePort finds a port that nobody listens on.
func freePort() (uint32, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("finding a free port: %w", err)
	}
	defer l.Close()
	return uint32(l.Addr().(*net.TCPAddr).Port), nil
}
