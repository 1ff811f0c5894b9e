package traffic_test

import (
	"bytes"
	"encoding/json"
	"iter"
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const recordings = "../../test/recordings"

// probe is a line of truth.jsonl.
type probe struct {
	T        time.Time       `json:"t"`
	Watch    bool            `json:"watch"`
	Step     string          `json:"step"`
	Pod      string          `json:"pod"`
	Dst      string          `json:"dst"`
	Signal   string          `json:"signal"`
	Host     string          `json:"host"`
	Path     string          `json:"path"`
	SNI      string          `json:"sni"`
	ALPN     []string        `json:"alpn"`
	Observed string          `json:"observed"`
	Log      json.RawMessage `json:"access_log"`
}

var probeSignals = map[string]xds.SignalKind{"mysql": xds.ServerFirst, "redis": xds.Bytes, "redis-cli": xds.Bytes, "server-first": xds.ServerFirst,
	"bytes": xds.Bytes, "http": xds.HTTP11, "http10": xds.HTTP10, "h2c": xds.H2C, "tls": xds.TLS}

// workloads are those behind the pods of 11-dns-capture.
var workloads = map[string]string{"plain": "checkout-", "dnscapture": "billing-"}

var literal = regexp.MustCompile(`^(\[[0-9a-f:]+\]|\d+\.\d+\.\d+\.\d+):\d+$`)

func readProbes(t testing.TB, path string) []probe {
	t.Helper()
	b, err := tryRead(path)
	if err != nil {
		return nil
	}
	var out []probe
	for _, line := range bytes.Split(b, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var p probe
		if err := json.Unmarshal(line, &p); err != nil {
			continue // state lines have other fields
		}
		if p.Watch || !literal.MatchString(p.Dst) || probeSignals[p.Signal] == "" {
			continue
		}
		out = append(out, p)
	}
	return out
}

// session folds a recording up to any time, going forward only.
type session struct {
	src    *transcript.Source
	engine *traffic.Engine
	fold   *state.Fold
	next   func() (xds.Record, error, bool)
	ahead  *xds.Record
	nodes  map[xds.Digest]*corev3.Node
	bodies func(xds.Digest) ([]byte, bool)
}

// cache decodes the session's bodies anew.
func (s *session) cache() *decode.Cache { return decode.New(s.bodies, 0) }

func openSession(t testing.TB, dir string) *session {
	t.Helper()
	src, err := transcript.Read(bytes.NewReader(readAll(t, filepath.Join(dir, "session.jsonl"))), dir, transcript.Config{})
	if err != nil {
		t.Fatal(err)
	}
	bodies := func(d xds.Digest) ([]byte, bool) {
		b, ok, err := src.Body(d)
		return b, ok && err == nil
	}
	s := &session{src: src, engine: traffic.NewEngine(decode.New(bodies, 0)), nodes: map[xds.Digest]*corev3.Node{}, bodies: bodies}
	s.fold = state.New(s.engine.Deps)
	next, stop := iter.Pull2(allRecords(t, src))
	t.Cleanup(stop)
	s.next = next
	return s
}

// allRecords merges the sidecars' records by sequence number.
func allRecords(t testing.TB, src *transcript.Source) iter.Seq2[xds.Record, error] {
	ids, err := src.Sidecars()
	if err != nil {
		t.Fatal(err)
	}
	bySeq := map[uint64]xds.Record{}
	last := uint64(0)
	for _, id := range ids {
		for r, err := range src.Records(id, 0) {
			if err != nil {
				t.Fatal(err)
			}
			bySeq[r.Seq] = r
			last = max(last, r.Seq)
		}
	}
	return func(yield func(xds.Record, error) bool) {
		for i := uint64(0); i <= last; i++ {
			if r, ok := bySeq[i]; ok && !yield(r, nil) {
				return
			}
		}
	}
}

func (s *session) until(at time.Time) {
	for {
		if s.ahead == nil {
			r, _, ok := s.next()
			if !ok {
				return
			}
			s.ahead = &r
		}
		if s.ahead.Time.After(at) {
			return
		}
		s.fold.Apply(*s.ahead)
		s.ahead = nil
	}
}

func (s *session) view(t testing.TB, pod string) *traffic.View {
	for _, id := range s.fold.Sidecars() {
		if id.IsZero() || pod != "" && !strings.HasPrefix(id.Name(), workloads[pod]) {
			continue
		}
		v, _ := s.fold.View(id)
		return s.engine.View(v.Active, traffic.Env{Node: s.node(t, v.Node), Istio: id.Istio()})
	}
	return s.engine.View(nil, traffic.Env{})
}

func (s *session) node(t testing.TB, d xds.Digest) *corev3.Node {
	if n, ok := s.nodes[d]; ok {
		return n
	}
	b, ok, err := s.src.Body(d)
	if err != nil || !ok {
		return nil
	}
	n := new(corev3.Node)
	if err := proto.Unmarshal(b, n); err != nil {
		t.Fatal(err)
	}
	s.nodes[d] = n
	return n
}

// seen reads what a probe met. ours says that an answer came from whoever was
// reached, so that silence and closing are his.
func (p probe) seen() (o observation, upstream bool) {
	var logs []struct{ Cluster, Flags, Upstream, Dst *string }
	if json.Unmarshal(p.Log, &logs) != nil && len(p.Log) > 0 {
		logs = nil
	}
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	if len(logs) > 0 {
		l := logs[len(logs)-1]
		if d := text(l.Dst); d == "" || d == p.Dst {
			o.Log.Cluster, o.Log.Flags = text(l.Cluster), text(l.Flags)
			upstream = text(l.Upstream) != "" && o.Log.Flags == "-"
			o.Reached = text(l.Upstream)
		}
	}
	s := p.Observed
	switch {
	case strings.HasPrefix(s, "REACHED "):
		o.Outcome, o.Reached = "reached", strings.Fields(s)[1]
	case strings.HasPrefix(s, "OK:"), strings.HasPrefix(s, "+PONG"), strings.HasPrefix(s, "ANSWERED"), strings.HasPrefix(s, "tls: ERROR"), strings.HasPrefix(s, "ERROR malformed"):
		o.Outcome = "reached"
	case strings.HasPrefix(s, "CLOSED"), strings.HasPrefix(s, "CLIENT ERROR"), strings.HasPrefix(s, "tls: CLOSED"):
		o.Outcome = "closed"
	case strings.HasPrefix(s, "STALL"), strings.HasPrefix(s, "HANG"), strings.HasPrefix(s, "tls: STALL"):
		o.Outcome = "hang"
	case strings.HasPrefix(s, "HTTP "):
		o.Outcome = "http"
		o.HTTP, _ = strconv.Atoi(strings.Fields(s)[1])
	case strings.Contains(s, "REFUSED"):
		o.Outcome = "refused"
	}
	return o, upstream
}

// gradeProbe is judge, but for what the upstream did: Envoy's log names it then.
func gradeProbe(p probe, v xds.Verdict) grade {
	o, upstream := p.seen()
	if v.Kind == xds.Unknown {
		return unknown
	}
	dials := v.Kind == xds.Passthrough || v.Kind == xds.Service || v.Kind == xds.Tunnel
	switch {
	case v.Kind == xds.NotIntercepted && o.Outcome == "refused":
		return skipped // nobody listens there
	case upstream && (o.Outcome == "hang" || o.Outcome == "closed" || o.Outcome == "http" || o.Outcome == "reached") && dials:
		return ok(o.Log.Cluster == "" || o.Log.Cluster == v.Cluster || len(v.Clusters) > 0)
	case o.Outcome == "reached" && o.Reached == "":
		return ok(dials)
	case o.Outcome == "reached" && v.Target == "dns":
		return ok(dials)
	}
	return judge(o, v)
}

func TestTruth(t *testing.T) {
	dirs, err := filepath.Glob(recordings + "/*/truth.jsonl")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	var all tally
	for _, p := range dirs {
		dir := filepath.Dir(p)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			n := runTruth(t, dir)
			t.Logf("%s: %s", filepath.Base(dir), n)
			for i := range n {
				all[i] += n[i]
			}
		})
	}
	t.Logf("all: %s", all)
}

func runTruth(t *testing.T, dir string) tally {
	var n tally
	probes := readProbes(t, filepath.Join(dir, "truth.jsonl"))
	if len(probes) == 0 {
		return n
	}
	s := openSession(t, dir)
	for _, p := range probes {
		s.until(p.T)
		sig := xds.Signal{Kind: probeSignals[p.Signal], Host: p.Host, Path: p.Path, SNI: p.SNI, ALPN: p.ALPN}
		v := s.view(t, p.Pod).Resolve(netip.MustParseAddrPort(p.Dst), netip.Addr{}, sig)
		g := gradeProbe(p, v)
		n[g]++
		if g == wrong && n[wrong] <= 10 {
			t.Errorf("wrong: %s %s %s %+v: %s %s; we %s %s %q %v %v", p.T.Format(time.RFC3339Nano), p.Step, p.Dst, sig, p.Observed, p.Log, v.Kind, v.Reason, v.Cluster, v.Path, v.Endpoints)
		}
		if g == unknown && n[unknown] <= 5 {
			t.Logf("unknown: %s %s %+v: %s: %s %v", p.Step, p.Dst, sig, p.Observed, v.Reason, v.Path)
		}
	}
	return n
}
