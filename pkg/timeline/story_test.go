package timeline_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/timeline"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// A story is a txtar file in testdata: "records" go in, "entries" come out. A
// line of records is a time in seconds and one of
//
//	open STREAM [METHOD]
//	req STREAM TYPE [node] [v=VERSION] [init=NAME,..] [sub=NAME,..] [unsub=NAME,..]
//	push STREAM TYPE VERSION NAME[=BODY] .. -NAME .. [beat]
//	ack PUSH [repeat=N], nack PUSH [repeat=N] TEXT
//	close STREAM [client|server]
//	gap REASON
//	advance, finish
//
// A stream is Delta unless its method is sotw. Bodies are words: eds:X waits for
// the endpoints X, rds:X for the routes X, to:X names the cluster X.
type story struct {
	seq    uint64
	pushes uint64
	delta  map[uint64]bool
	sent   map[uint64]xds.Record
	names  map[[2]string]string // stream and type -> state of the world names
	bodies map[xds.Digest]string
}

func newStory() *story {
	return &story{delta: map[uint64]bool{}, sent: map[uint64]xds.Record{}, names: map[[2]string]string{}, bodies: map[xds.Digest]string{}}
}

var storyTypes = map[string]string{"LDS": xds.ListenerType, "CDS": xds.ClusterType, "RDS": xds.RouteType, "EDS": xds.EndpointType, "NDS": xds.NameTableType}

// refs is the Deps (warm) and the Refs of a story's bodies.
func (s *story) refs(warm bool) state.Deps {
	kinds := map[string]string{"eds": xds.EndpointType, "rds": xds.RouteType, "to": xds.ClusterType}
	return func(_ string, d xds.Digest) []state.Ref {
		var out []state.Ref
		for _, word := range strings.Split(s.bodies[d], "+") {
			kind, name, _ := strings.Cut(word, ":")
			if typ := kinds[kind]; typ != "" && (!warm || kind != "to") {
				out = append(out, state.Ref{Type: typ, Name: name})
			}
		}
		return out
	}
}

func (s *story) config() timeline.Config {
	return timeline.Config{Deps: s.refs(true), Refs: s.refs(false), Differ: digests{}, Traffic: names{}}
}

// tick is a line of a story: a record, or something done to the walk.
type tick struct {
	rec    xds.Record
	at     time.Time
	action string
}

func (s *story) parse(t *testing.T, text string) []tick {
	t.Helper()
	var out []tick
	for l := range strings.Lines(text) {
		f := strings.Fields(l)
		if len(f) == 0 || strings.HasPrefix(f[0], "//") {
			continue
		}
		sec, err := strconv.ParseFloat(f[0], 64)
		if err != nil || len(f) < 2 {
			t.Fatalf("bad line %q", l)
		}
		at := start.Add(time.Duration(sec * float64(time.Second)))
		if f[1] == "advance" || f[1] == "finish" {
			out = append(out, tick{at: at, action: f[1]})
			continue
		}
		s.seq++
		r := s.record(t, f[1], f[2:])
		r.Seq, r.Time, r.Sidecar = s.seq, at, xds.Sidecar{Node: "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local"}
		if r.Kind == xds.KindPush {
			s.sent[r.Push.Number] = r
		}
		out = append(out, tick{rec: r})
	}
	return out
}

func (s *story) record(t *testing.T, kind string, args []string) xds.Record {
	t.Helper()
	if kind == "gap" {
		return xds.Record{Kind: xds.KindGap, Gap: &xds.Gap{Reason: strings.Join(args, " ")}}
	}
	n, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		t.Fatalf("bad number in %s %v", kind, args)
	}
	switch kind {
	case "open":
		return s.open(n, args[1:])
	case "req":
		return s.request(n, args[1:])
	case "push":
		return s.push(n, args[1:])
	case "ack", "nack":
		return s.answer(n, kind == "nack", args[1:])
	case "close":
		by := append(args, "server")[1]
		return xds.Record{Kind: xds.KindClose, Stream: n, Close: &xds.Close{By: by}}
	}
	t.Fatalf("unknown event %q", kind)
	return xds.Record{}
}

func (s *story) open(stream uint64, args []string) xds.Record {
	methods := map[string]string{"": "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
		"sotw": "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"}
	word := append(args, "")[0]
	method, ok := methods[word]
	if !ok {
		method = "/envoy.service." + word
	}
	s.delta[stream] = word != "sotw"
	return xds.Record{Kind: xds.KindOpen, Stream: stream, Open: &xds.Open{Method: method}}
}

func (s *story) request(stream uint64, args []string) xds.Record {
	q := &xds.Request{Type: storyTypes[args[0]], Delta: s.delta[stream]}
	for _, a := range args[1:] {
		k, v, _ := strings.Cut(a, "=")
		switch k {
		case "v":
			q.Version = v
		case "sub":
			q.Names = strings.Split(v, ",")
			s.names[[2]string{fmt.Sprint(stream), q.Type}] = v
		case "unsub":
			q.Unsubscribe = strings.Split(v, ",")
		case "init":
			q.Initial = map[string]string{}
			for _, n := range strings.Split(v, ",") {
				n, version, _ := strings.Cut(n, "@")
				q.Initial[n] = version
			}
		}
	}
	return xds.Record{Kind: xds.KindRequest, Stream: stream, Request: q}
}

func (s *story) push(stream uint64, args []string) xds.Record {
	s.pushes++
	p := &xds.Push{Number: s.pushes, Type: storyTypes[args[0]], Version: strings.Trim(args[1], `"`), Nonce: fmt.Sprint(s.pushes), Delta: s.delta[stream]}
	for _, a := range args[2:] {
		name, body, ok := strings.Cut(a, "=")
		switch {
		case strings.HasPrefix(a, "-"):
			p.Removed = append(p.Removed, a[1:])
		case strings.HasSuffix(a, "~"): // a heartbeat
			p.Resources = append(p.Resources, xds.Entry{Name: strings.TrimSuffix(a, "~"), State: xds.EntryEmpty, Wrapped: true})
		default:
			if !ok {
				body = name
			}
			d := xds.DigestOf([]byte(body))
			s.bodies[d] = body
			p.Resources = append(p.Resources, xds.Entry{Name: name, Digest: d})
		}
	}
	return xds.Record{Kind: xds.KindPush, Stream: stream, Push: p}
}

func (s *story) answer(push uint64, nack bool, args []string) xds.Record {
	of := s.sent[push]
	a := &xds.Answer{Push: push, Request: xds.Request{Type: of.Push.Type, Nonce: of.Push.Nonce, Delta: of.Push.Delta}}
	if len(args) > 0 && strings.HasPrefix(args[0], "repeat=") {
		a.Repeat, _ = strconv.ParseUint(strings.TrimPrefix(args[0], "repeat="), 10, 64)
		args = args[1:]
	}
	if v := s.names[[2]string{fmt.Sprint(of.Stream), of.Push.Type}]; v != "" && !of.Push.Delta {
		a.Names = strings.Split(v, ",")
	}
	if nack {
		a.Error = &xds.Status{Code: 13, Message: strings.Join(args, " ")}
	}
	return xds.Record{Kind: xds.KindAnswer, Stream: of.Stream, Answer: a}
}

// tell goes through ticks and writes down the entries.
func tell(cfg timeline.Config, ticks []tick) string {
	w := timeline.New(cfg)
	var b strings.Builder
	for _, k := range ticks {
		var es []timeline.Entry
		switch k.action {
		case "":
			es = w.Record(k.rec)
		case "advance":
			es = w.Advance(k.at)
		case "finish":
			es = w.Finish()
		}
		for _, e := range es {
			b.WriteString(told(e))
		}
	}
	return b.String()
}

func told(e timeline.Entry) string {
	var b strings.Builder
	head := []string{fmt.Sprintf("%v", e.Pushes)}
	if e.Rule != "" {
		head = append(head, string(e.Rule))
	}
	head = append(head, "at", fmt.Sprintf("%.2f", e.Closed.Sub(start).Seconds()))
	if e.Baseline {
		head = append(head, fmt.Sprintf("baseline of life %d", e.Incarnation))
	}
	if !e.Settled {
		head = append(head, "unsettled")
	}
	fmt.Fprintln(&b, strings.Join(append(head, e.Uncertain...), " "))
	for _, c := range e.Changes {
		fmt.Fprintf(&b, "  %s %s %s\n", sign(c), xds.ShortType(c.Type), c.Name)
	}
	for _, ev := range e.Events {
		fmt.Fprintf(&b, "  ! %s\n", strings.Join(strings.Fields(string(ev.Kind)+" "+ev.Push+" "+ev.Ports+" "+count(ev)), " "))
	}
	return b.String()
}

func sign(c xds.Change) string {
	switch {
	case c.Old.IsZero():
		return "+"
	case c.New.IsZero():
		return "-"
	}
	return "~"
}

func count(ev xds.Event) string {
	out := ""
	if ev.Count > 1 {
		out = fmt.Sprintf("x%d ", ev.Count)
	}
	if ev.Revision > 1 {
		out += fmt.Sprintf("revision %d", ev.Revision)
	}
	return out
}

var update = flag.Bool("update", false, "write what comes out into the stories")

func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d stories: %v", len(files), err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(f)
			if err != nil {
				t.Fatal(err)
			}
			s := newStory()
			ticks := s.parse(t, string(a.Files[0].Data))
			if *update {
				a.Files[1].Data = []byte(tell(s.config(), ticks))
				if err := os.WriteFile(f, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(a.Files[1].Data), tell(s.config(), ticks)); d != "" {
				t.Errorf("%s(-want +got)\n%s", a.Comment, d)
			}
		})
	}
}
