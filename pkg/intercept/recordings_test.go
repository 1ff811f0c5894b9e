package intercept

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// feedRecording feeds the lines in their order, in pieces of at most size bytes
// (0: random).
func feedRecording(o *Observer, lines []wireLine, size int) {
	rnd := rand.New(rand.NewPCG(1, uint64(size)))
	conns := map[uint64]*Conn{}
	for _, l := range lines {
		c := conns[l.Conn]
		switch {
		case l.Event == "open":
			conns[l.Conn] = o.Conn("192.0.2.1:1")
		case l.Event == "close":
			c.Ended(c.sideOf(l.Dir))
		default:
			feedPieces(c.sideOf(l.Dir), l.Raw, size, rnd)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(conns)) {
		conns[n].Close()
	}
}

func (c *Conn) sideOf(dir string) *Side {
	if dir == "up" {
		return c.Up
	}
	return c.Down
}

func feedPieces(s *Side, b []byte, size int, rnd *rand.Rand) {
	for len(b) > 0 {
		n := size
		if size == 0 {
			n = 1 + rnd.IntN(64<<10)
			if rnd.IntN(2) == 0 {
				n = 1 + rnd.IntN(40)
			}
		}
		n = min(n, len(b))
		s.Begin()
		s.Feed(b[:n])
		b = b[n:]
	}
}

// TestRecordings holds the observer against the messages that a gRPC relay saw at
// the same time.
func TestRecordings(t *testing.T) {
	for _, path := range wireRecordings(t) {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			wire := readLines[wireLine](t, path)
			session := readLines[sessionLine](t, dir+"/session.jsonl.gz")
			sizes := []int{0, 64 << 10}
			if len(wire) < 150 {
				sizes = append(sizes, 1)
			}
			for _, size := range sizes {
				tap := &memory{}
				o := newTestObserver(t, tap)
				feedRecording(o, wire, size)
				compareSession(t, tap, session)
				if held := o.in.stats.AssemblyBytes(); held != 0 {
					t.Errorf("%d bytes still held", held)
				}
			}
		})
	}
}

// told is what one stream said, per direction.
type told struct {
	method   string
	names    []string
	up, down [][]byte
	closed   string
}

func compareSession(t *testing.T, tap *memory, session []sessionLine) {
	t.Helper()
	want, got := sessionStreams(session), observedStreams(t, tap)
	if len(want) != len(got) {
		t.Fatalf("saw %d streams, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if w.method != g.method || !slices.Equal(w.names, g.names) {
			t.Errorf("stream %d: opened %s %v, want %s %v", i+1, g.method, g.names, w.method, w.names)
		}
		if len(w.down) == 0 {
			// The control plane was down: the relay may not have read what Envoy sent.
			g.up = g.up[:min(len(g.up), len(w.up))]
		}
		compareMessages(t, i+1, "request", w.up, g.up)
		compareMessages(t, i+1, "response", w.down, g.down)
		if g.closed == "" {
			t.Errorf("stream %d has no close", i+1)
		}
	}
}

func compareMessages(t *testing.T, stream int, what string, want, got [][]byte) {
	t.Helper()
	if len(want) != len(got) {
		t.Errorf("stream %d: %d %ss, want %d", stream, len(got), what, len(want))
	}
	for i := range min(len(want), len(got)) {
		if !bytes.Equal(want[i], got[i]) {
			t.Fatalf("stream %d: %s %d differs: %d bytes, want %d", stream, what, i+1, len(got[i]), len(want[i]))
		}
	}
}

func sessionStreams(lines []sessionLine) []*told {
	var all []*told
	byNum := map[uint64]*told{}
	for _, l := range lines {
		s := byNum[l.Stream]
		switch l.Event {
		case "open":
			s = &told{method: l.Method, names: metadataNames(l.Metadata)}
			byNum[l.Stream] = s
			all = append(all, s)
		case "request":
			s.up = append(s.up, l.Raw)
		case "response":
			s.down = append(s.down, l.Raw)
		}
	}
	return all
}

func observedStreams(t *testing.T, tap *memory) []*told {
	t.Helper()
	var all []*told
	byNum := map[uint64]*told{}
	for _, s := range tap.seen {
		st := byNum[s.Stream]
		switch s.Kind {
		case xds.SawOpen:
			st = &told{method: s.Open.Method, names: metadataNames(s.Open.Metadata)}
			byNum[s.Stream] = st
			all = append(all, st)
		case xds.SawRequest:
			st.up = append(st.up, tap.whole(t, s.Msg, false))
		case xds.SawResponse:
			st.down = append(st.down, tap.whole(t, s.Msg, true))
		case xds.SawClose:
			st.closed = s.Close.By + " " + s.Close.Code
		case xds.SawGap:
			t.Errorf("gap on stream %d: %s", s.Stream, s.Reason)
		}
	}
	return all
}

// metadataNames leaves out what a gRPC server library hides from its handler.
func metadataNames(m map[string][]string) []string {
	var names []string
	for n := range m {
		if !strings.HasPrefix(n, "grpc-") {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// TestNoToken: 37 carries a bearer token, which nothing may hold on to.
func TestNoToken(t *testing.T) {
	tap := &memory{}
	feedRecording(newTestObserver(t, tap), readLines[wireLine](t, recordings+"/37-agent-istiod-side/wire.jsonl.gz"), 0)
	opens := 0
	for _, s := range tap.seen {
		if s.Kind != xds.SawOpen {
			continue
		}
		opens++
		if v, ok := s.Open.Metadata["authorization"]; !ok || len(v) != 0 {
			t.Errorf("authorization is %q, %v; want the name without value", v, ok)
		}
		if !slices.Equal(s.Open.Metadata["clusterid"], []string{"Kubernetes"}) || len(s.Open.Metadata["x_team"]) != 0 {
			t.Errorf("metadata %v", s.Open.Metadata)
		}
	}
	if opens == 0 {
		t.Error("no stream")
	}
}
