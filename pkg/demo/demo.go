// Package demo shows the incident that xdsproxy exists for on one machine and
// without a cluster: an embedded control plane serves configuration that was
// recorded from a real istiod, `xdsproxy proxy` stands between it and a real
// Envoy, and a client's MySQL connection works, breaks and is explained.
//
// Start with Run; Recording is the session that the configuration comes from.
package demo

import (
	"context"
	_ "embed" // the recorded session
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/proto"
)

// Recording is a transcript (gzip) of a real istiod 1.26 and Envoy 1.40: port
// 3306 is captured by a ServiceEntry without addresses, then released.
//
//go:embed seed.jsonl.gz
var Recording []byte

// The moments of Recording that the demo serves one after the other.
var (
	Before   = time.Date(2026, 11, 22, 19, 28, 6, 0, time.UTC)
	Captured = time.Date(2026, 11, 22, 19, 28, 14, 0, time.UTC)
	Cured    = time.Date(2026, 11, 22, 19, 28, 21, 0, time.UTC)
)

// Config is what Run needs.
type Config struct {
	// Stages are the resources in force Before, Captured and Cured.
	Stages [3][]proto.Message
	// Node is the recorded node: Envoy introduces itself with it.
	Node proto.Message
	// Self is the xdsproxy binary, run as the proxy and to explain.
	Self string
	// Envoy is the Envoy binary; "" lets an embedded client stand in.
	Envoy string
	// Dir is where the demo keeps its files; the store stays there. It must exist.
	Dir string
	// Out is where the story is told.
	Out io.Writer
}

// Store is where the demo leaves the recorded history.
func (c Config) Store() string { return filepath.Join(c.Dir, "store") }

// Run tells the whole story, or says what it could not start and what to do.
func Run(ctx context.Context, cfg Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &stage{cfg: cfg}
	defer s.stop()
	if err := s.start(ctx); err != nil {
		return err
	}
	return s.tell(ctx)
}

// tell is the story itself, one act a stage.
func (s *stage) tell(ctx context.Context) error {
	s.say("An application talks to an external MySQL, %s. No configuration names it: it passes through.", external)
	worked, err := s.act(ctx, 0, true)
	if err != nil {
		return err
	}
	s.say("\nAnother team, in another namespace, applies a ServiceEntry for TCP 3306 without an address.")
	broke, err := s.act(ctx, 1, false)
	if err != nil {
		return err
	}
	s.say("\nNobody touched the application. What happened?\n\n  $ xdsproxy events --store %s\n", s.cfg.Store())
	if err := s.explain(ctx, "events", "--store", s.cfg.Store()); err != nil {
		return err
	}
	s.say("\nThe ServiceEntry is deleted.")
	if _, err := s.act(ctx, 2, true); err != nil {
		return err
	}
	s.next(worked, broke)
	return nil
}

// next names the commands to try on the store that stays.
func (s *stage) next(worked, broke time.Time) {
	const moment = "2006-01-02T15:04:05.000Z"
	was, is := worked.UTC().Format(moment), broke.UTC().Format(moment)
	s.say("\nThe history stays. Try next:\n\n  export XDSPROXY_STORE=%s", s.cfg.Store())
	for _, c := range []string{"log", "diff '@{" + was + "}..@{" + is + "}'", "resolve " + external + " --signal server-first --at '@{" + is + "}'",
		"get listener --port 3306 --at '@{" + is + "}'", "events -o jsonl"} {
		s.say("  xdsproxy %s", c)
	}
}

// act serves one stage, waits until the client's connection does what it must,
// and returns when that was.
func (s *stage) act(ctx context.Context, n int, works bool) (time.Time, error) {
	if err := s.serve(ctx, n); err != nil {
		return time.Time{}, err
	}
	answer, err := s.await(ctx, works)
	if err != nil {
		return time.Time{}, err
	}
	s.say("  client -> %s: %s", external, answer)
	now := time.Now()
	select { // as nobody changes a mesh twice in a second
	case <-ctx.Done():
		return now, ctx.Err()
	case <-time.After(1500 * time.Millisecond):
		return now, nil
	}
}

func (s *stage) say(format string, args ...any) { fmt.Fprintf(s.cfg.Out, format+"\n", args...) }

// NewDir makes a fresh directory for one run under the system's temporary one.
func NewDir() (string, error) { return os.MkdirTemp("", "xdsproxy-demo-") }
