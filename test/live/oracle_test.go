package live

import (
	"flag"
	"fmt"
	"net/netip"
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

// perConfiguration is how many probes each configuration gets.
var perConfiguration = flag.Int("probes", 40, "probes per configuration")

// evaluate reads a dump as anyone's would be read.
func evaluate(t testing.TB, dump []byte) *traffic.View {
	t.Helper()
	d, err := configdump.Read(dump)
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[xds.Digest][]byte{}
	for _, b := range d.Bodies {
		bodies[b.Digest] = b.Bytes
	}
	engine := traffic.NewEngine(decode.New(func(g xds.Digest) ([]byte, bool) { b, ok := bodies[g]; return b, ok }, 64<<20))
	fold := state.New(engine.Deps)
	for _, r := range d.Records {
		fold.Apply(r)
	}
	v, ok := fold.View(d.Sidecar)
	if !ok {
		t.Fatal("the dump folds into nothing")
	}
	return engine.View(v.Active, traffic.Env{Node: d.Node, Istio: true, Static: d.Static})
}

// question is one probe.
type question struct {
	dst netip.AddrPort
	sig xds.Signal
}

func (q question) String() string { return fmt.Sprintf("%s %+v", q.dst, q.sig) }

// questions draws probes around the values that the configuration is made of.
func questions(t *rapid.T, n int) []question {
	hosts := []string{"10.1.2.3", "10.1.2.4", "10.1.9.9", "10.9.9.9", "198.51.100.7", "198.51.100.8", "8.8.8.8", "[fd00::7]", "[fd00::8]", "[2001:db8::1]"}
	var out []question
	for range n {
		dst := netip.MustParseAddrPort(fmt.Sprintf("%s:%d", one(t, hosts, "dst"), one(t, append(slices.Clone(ports), 9999), "dst port")))
		sig := xds.Signal{Kind: one(t, xds.SignalKinds, "signal")}
		switch sig.Kind {
		case xds.TLS:
			sig.SNI = one(t, append(slices.Clone(names), "x.w.a.ex", "other.example"), "client sni")
			sig.ALPN = some(t, []string{"h2", "http/1.1", "istio"}, "client alpn")
		case xds.HTTP10, xds.HTTP11, xds.H2C:
			sig.Host = one(t, append(slices.Clone(names), "b.org", "unknown.example", "a.ex:8080", "A.EX"), "client host")
			sig.Path = one(t, paths, "client path")
			if rapid.IntRange(0, 3).Draw(t, "with header") == 0 {
				sig.Headers = map[string]string{"x-team": one(t, []string{"shop", "other"}, "team")}
			}
		}
		out = append(out, question{dst, sig})
	}
	return out
}

// probeAll asks Envoy, many at a time: a stalled connection takes its time.
func probeAll(qs []question) []outcome {
	out := make([]outcome, len(qs))
	var wg sync.WaitGroup
	gate := make(chan struct{}, 16)
	for i, q := range qs {
		wg.Go(func() {
			gate <- struct{}{}
			out[i] = probe(q.dst, q.sig)
			<-gate
		})
	}
	wg.Wait()
	return out
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
		return o.kind == "http" && (v.Status == 0 || v.Status == o.status)
	case xds.Stall:
		return o.kind == "hang"
	case xds.Refused:
		return o.kind == "refused"
	}
	return false
}

// TestRealEnvoyAgrees draws configurations and probes: the evaluator says what
// Envoy does, or unknown, and never anything else.
func TestRealEnvoyAgrees(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	startWitness(t)
	control := startEnvoy(t)
	right, unknown, kinds := 0, map[string]int{}, map[xds.VerdictKind]int{}
	rapid.Check(t, func(rt *rapid.T) {
		dump := control.apply(t, configuration(rt))
		view := evaluate(t, dump)
		qs := questions(rt, *perConfiguration)
		for i, o := range probeAll(qs) {
			v := view.Resolve(qs[i].dst, source(qs[i].dst), qs[i].sig)
			kinds[v.Kind]++
			switch {
			case v.Kind == xds.Unknown:
				unknown[v.Reason]++
			case agrees(v, o):
				right++
			case agrees(v, probe(qs[i].dst, qs[i].sig)): // once more: a busy machine is slow
				right++
			default:
				rt.Fatalf("%s\nEnvoy: %s\nours:  %s %s %s %v %s", qs[i], o, v.Kind, v.Reason, v.Cluster, v.Endpoints, strings.Join(v.Path, " > "))
			}
		}
	})
	n := 0
	for reason, k := range unknown {
		n += k
		t.Logf("unknown %d: %s", k, reason)
	}
	t.Logf("live Envoy: right %d, unknown %d, wrong 0; verdicts %v", right, n, kinds)
	if right == 0 {
		t.Fatal("nothing was compared")
	}
}

func source(dst netip.AddrPort) netip.Addr {
	if dst.Addr().Is6() {
		return netip.MustParseAddr(podV6)
	}
	return netip.MustParseAddr(podV4)
}
