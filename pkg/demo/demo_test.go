package demo

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
)

// at folds the recorded session up to a moment.
func at(t *testing.T, when time.Time) (node proto.Message, res []proto.Message) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(Recording))
	if err != nil {
		t.Fatal(err)
	}
	held := map[string]proto.Message{}
	sc := bufio.NewScanner(z)
	sc.Buffer(nil, 1<<24)
	for sc.Scan() {
		var l struct {
			T     time.Time
			Event string
			Raw   []byte
		}
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		if l.T.After(when) {
			break
		}
		if l.Event == "request" && node == nil {
			var r discoveryv3.DeltaDiscoveryRequest
			if err := proto.Unmarshal(l.Raw, &r); err != nil {
				t.Fatal(err)
			}
			node = r.GetNode()
		}
		if l.Event == "response" {
			fold(t, l.Raw, held)
		}
	}
	for _, m := range held {
		res = append(res, m)
	}
	return node, res
}

func fold(t *testing.T, raw []byte, held map[string]proto.Message) {
	t.Helper()
	var r discoveryv3.DeltaDiscoveryResponse
	if err := proto.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	for _, x := range r.GetResources() {
		m, err := x.GetResource().UnmarshalNew()
		if err != nil {
			t.Fatal(err)
		}
		held[r.GetTypeUrl()+x.GetName()] = m
	}
	for _, n := range r.GetRemovedResources() {
		delete(held, r.GetTypeUrl()+n)
	}
}

func envoyBinary(t *testing.T) string {
	t.Helper()
	out, _ := exec.Command("../../hack/find-envoy").Output()
	if bin := string(bytes.TrimSpace(out)); bin != "" {
		return bin
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("needed and not here: a real Envoy")
	}
	t.Skip("SKIPPED: needs a real Envoy (set ENVOY_BIN, or run hack/get-envoy)")
	return ""
}

// TestRealEnvoyLosesTheConnection proves that what the demo shows is Envoy's
// doing: with no xdsproxy in between, the recorded configuration connects the
// client, then breaks it, then connects it again.
func TestRealEnvoyLosesTheConnection(t *testing.T) {
	cfg := Config{Envoy: envoyBinary(t), Dir: t.TempDir(), Out: &bytes.Buffer{}}
	for i, when := range []time.Time{Before, Captured, Cured} {
		cfg.Node, cfg.Stages[i] = at(t, when)
	}
	s := &stage{cfg: cfg}
	t.Cleanup(s.stop)
	if err := s.startWithout(t); err != nil {
		t.Fatal(err)
	}
	for n, works := range []bool{true, false, true} {
		if err := s.serve(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if answer, err := s.await(t.Context(), works); err != nil {
			log, _ := os.ReadFile(filepath.Join(cfg.Dir, "envoy.log"))
			t.Fatalf("stage %d: %v (%s)\n%s", n, err, answer, log)
		}
	}
}

// startWithout is start with Envoy connected straight to the control plane.
func (s *stage) startWithout(t *testing.T) error {
	err := s.startServers()
	if err != nil {
		return err
	}
	if s.cp, err = NewControlPlane(t.Context()); err != nil {
		return err
	}
	s.group.Go(s.cp.Run)
	if s.port, err = freePort(); err != nil {
		return err
	}
	conf, err := WriteBootstrap(s.cfg.Dir, s.cfg.Node, s.cp.Addr(), s.cp.Addr())
	if err != nil {
		return err
	}
	return s.spawn(t.Context(), "envoy.log", s.cfg.Envoy, "-c", conf, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning")
}

func TestLoopbackKeepsTheHostPart(t *testing.T) {
	for in, want := range map[string]string{"10.10.13.110": "127.10.13.110", "172.20.0.50": "127.20.0.50", "0.0.0.0": "0.0.0.0"} {
		if got := loopback(in); got != want {
			t.Errorf("loopback(%s) = %s, want %s", in, got, want)
		}
	}
}

func TestStagesDifferByOneListener(t *testing.T) {
	count := func(when time.Time) int { _, res := at(t, when); return len(res) }
	if b, c, d := count(Before), count(Captured), count(Cured); c != b+3 || d != b {
		t.Fatalf("resources before, captured, cured: %d, %d, %d; want n, n+3 (cluster, assignment, listener), n", b, c, d)
	}
}
