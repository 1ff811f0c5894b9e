package live

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/xdsproxy/xdsproxy/pkg/configdump"
	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

var (
	// perConfiguration is how many probes each configuration gets.
	perConfiguration = flag.Int("probes", 40, "probes per configuration")
	// survey goes on after wrong answers, none made small, and keeps for each the
	// dump of that moment.
	survey = flag.String("probes.survey", "", "folder for the dumps of wrong answers; the run goes on after them")
)

// evaluator makes views of dumps, all by one engine.
type evaluator struct {
	mu     sync.Mutex
	bodies map[xds.Digest][]byte
	engine *traffic.Engine
}

func newEvaluator() *evaluator {
	e := &evaluator{bodies: map[xds.Digest][]byte{}}
	e.engine = traffic.NewEngine(decode.New(func(g xds.Digest) ([]byte, bool) {
		e.mu.Lock()
		defer e.mu.Unlock()
		b, ok := e.bodies[g]
		return b, ok
	}, 64<<20))
	return e
}

// view reads a dump as anyone's would be read.
func (e *evaluator) view(t failer, dump []byte) *traffic.View {
	d, err := configdump.Read(dump)
	if err != nil {
		t.Fatalf("reading the config_dump: %v", err)
	}
	e.mu.Lock()
	for _, b := range d.Bodies {
		e.bodies[b.Digest] = b.Bytes
	}
	e.mu.Unlock()
	fold := state.New(e.engine.Deps)
	for _, r := range d.Records {
		fold.Apply(r)
	}
	v, ok := fold.View(d.Sidecar)
	if !ok {
		t.Fatalf("the dump folds into nothing")
	}
	return e.engine.View(v.Active, traffic.Env{Node: d.Node, Istio: true, Static: d.Static, Resolved: d.Resolved, Lost4: d.Lost4})
}

// failer is what *testing.T and *rapid.T have in common here.
type failer interface{ Fatalf(string, ...any) }

// probeAll asks Envoy, many at a time: a stalled connection takes its time.
func probeAll(qs []question) []outcome {
	out := make([]outcome, len(qs))
	var wg sync.WaitGroup
	gate := make(chan struct{}, 40)
	for i, q := range qs {
		wg.Go(func() {
			gate <- struct{}{}
			out[i] = probe(q, silence)
			<-gate
		})
	}
	wg.Wait()
	return out
}

// ask probes while nothing changes: what was warming may get ready meanwhile.
func ask(t testing.TB, dumped []byte, qs []question) ([]byte, []outcome) {
	now := func() string { return steady(admin(t, "/config_dump")) }
	for try := 1; ; try++ {
		before := now()
		out := probeAll(qs)
		if now() == before || try == 3 {
			return dumped, out
		}
		dumped = settled(t)
	}
}

// agrees says whether a verdict is what happened; unknown is a third answer.
func agrees(v xds.Verdict, o outcome) bool {
	switch v.Kind {
	case xds.Passthrough, xds.Service, xds.Tunnel:
		return o.kind == "reached" && slices.ContainsFunc(v.Endpoints, func(e xds.Endpoint) bool { return o.reached == "" || e.Address == o.reached })
	case xds.NoEndpoints, xds.NoCluster:
		return o.kind == "closed" || o.kind == "http" && o.status == 503
	case xds.Blocked:
		return o.kind == "closed" || o.kind == "http" && (o.status == 502 || o.status == 503)
	case xds.NoChain:
		return o.kind == "closed"
	case xds.NoRoute:
		return o.kind == "http" && o.status == 404
	case xds.LocalReply:
		return o.kind == "http" && (v.Status == 0 || v.Status == o.status) || v.Status == 0 && o.kind == "data"
	case xds.Stall:
		return o.kind == "hang"
	case xds.Refused:
		return o.kind == "refused"
	}
	return false
}

// tally counts what was compared.
type tally struct {
	right, wrong int
	unknown      map[string]int
	kinds        map[xds.VerdictKind]int
	dumps        [][]byte // what was in force: one, or two around an update
}

func newTally() *tally { return &tally{unknown: map[string]int{}, kinds: map[xds.VerdictKind]int{}} }

// fail ends the check of a configuration, or only notes what was wrong.
func (c *tally) fail(t failer, text string) {
	c.wrong++
	if *survey == "" {
		t.Fatalf("%s", text)
	}
	files := map[string][]byte{"what.txt": []byte(text + "\n")}
	for i, d := range c.dumps {
		files[fmt.Sprintf("%d.json", i)] = d
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(*survey, fmt.Sprintf("wrong-%03d-%s", c.wrong, name)), b, 0o600); err != nil {
			t.Fatalf("%v", err)
		}
	}
}

// check holds the verdict about one probe against what happened, once more where
// they differ: a busy machine is slow. It returns what happened at last.
func (c *tally) check(t failer, v xds.Verdict, q question, o outcome) outcome {
	c.kinds[v.Kind]++
	if q.sig.Hex != "" && o.kind == "data" { // not of Envoy's: the witness talks back in binary
		o = outcome{kind: "reached"}
	}
	if v.Kind == xds.Unknown {
		c.unknown[v.Reason]++
		return o
	}
	if !agrees(v, o) {
		o = probe(q, patience)
	}
	if !agrees(v, o) {
		c.fail(t, fmt.Sprintf("WRONG %s\nEnvoy: %s\nours:  %s", q, o, told(v)))
		return o
	}
	c.right++
	return o
}

func told(v xds.Verdict) string {
	return fmt.Sprintf("%s %q status %d cluster %s %v %v: %s", v.Kind, v.Reason, v.Status, v.Cluster, v.Clusters, v.Endpoints, strings.Join(v.Path, " > "))
}

func (c *tally) report(t *testing.T) {
	n := 0
	for reason, k := range c.unknown {
		n += k
		t.Logf("unknown %d: %s", k, reason)
	}
	t.Logf("live Envoy 1.%d: right %d, unknown %d, wrong %d; verdicts %v", minor(), c.right, n, c.wrong, c.kinds)
	if c.right == 0 || c.wrong > 0 {
		t.Fatal("wrong answers, or nothing was compared")
	}
}

// TestRealEnvoyAgrees draws configurations and probes: the evaluator says what
// Envoy does, or unknown, and never anything else.
func TestRealEnvoyAgrees(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	startWitness(t)
	control, ev, count := startEnvoy(t), newEvaluator(), newTally()
	rapid.Check(t, func(rt *rapid.T) {
		conf := configuration(rt)
		qs := questions(rt, *perConfiguration, conf)
		dumped, out := ask(t, control.apply(t, conf.all()), qs)
		count.dumps = [][]byte{dumped}
		view := ev.view(rt, dumped)
		for i, o := range out {
			count.check(rt, view.Resolve(qs[i].dst, qs[i].src, qs[i].sig), qs[i], o)
		}
	})
	count.report(t)
}
