package diff_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/diff"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// push is one response of a recording with the snapshot after it. The fold is
// the simplest one that is right for one well-behaved stream.
type push struct {
	typ           string
	before, after *state.Snapshot
}

type bodies map[xds.Digest][]byte

func (b bodies) get(d xds.Digest) ([]byte, bool) { x, ok := b[d]; return x, ok }

func (b bodies) put(a *anypb.Any) xds.Digest {
	raw, _ := proto.Marshal(a)
	d := xds.DigestOf(raw)
	b[d] = raw
	return d
}

// recording reads the pushes of one recorded session.
func recording(t testing.TB, name string) ([]push, *diff.Differ) {
	t.Helper()
	store := bodies{}
	var out []push
	var now *state.Snapshot
	method := map[int]string{}
	eachLine(t, filepath.Join("../../test/recordings", name, "session.jsonl.gz"), func(l line) {
		if l.Event == "open" {
			method[l.Stream] = l.Method
		}
		if l.Event != "response" {
			return
		}
		p := push{before: now}
		if strings.Contains(method[l.Stream], "Delta") {
			var r discoveryv3.DeltaDiscoveryResponse
			must(t, proto.Unmarshal(l.Raw, &r))
			p.typ = xds.Canonical(r.GetTypeUrl())
			for _, n := range r.GetRemovedResources() {
				now = now.Without(p.typ, n)
			}
			for _, x := range r.GetResources() {
				if x.GetResource() != nil {
					now = now.With(p.typ, x.GetName(), store.put(x.GetResource()))
				}
			}
		}
		p.after = now
		out = append(out, p)
	})
	return out, diff.New(decode.New(store.get, 0))
}

type line struct {
	Stream        int
	Event, Method string
	Raw           []byte
}

func eachLine(t testing.TB, path string, do func(line)) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	must(t, err)
	s := bufio.NewScanner(z)
	s.Buffer(nil, 256<<20)
	for s.Scan() {
		var l line
		must(t, json.Unmarshal(s.Bytes(), &l))
		do(l)
	}
	must(t, s.Err())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Envoy Gateway sends every listener again in nearly every push, with maps in
// another order.
func TestResentInOtherBytesIsNoChange(t *testing.T) {
	pushes, d := recording(t, "30-envoy-gateway-delta")
	reencoded := 0
	for i, p := range pushes {
		r := d.Compare(p.before, p.after)
		reencoded += r.Reencoded
		for _, c := range r.Changes {
			if c.Op == diff.Modify && len(c.Paths) == 0 {
				t.Errorf("push %d: %s changed without a path", i, c.Name)
			}
		}
	}
	if reencoded != 17 {
		t.Errorf("%d resources are equal but re-encoded, want 17", reencoded)
	}
}

// The default chain of a port flips to another service: the fields that say so,
// opened through the filter's Any.
func TestFieldsOfAFlip(t *testing.T) {
	for name, cluster := range map[string]string{"04-default-chain-flip": "outbound|9000||legacy.partner.example", "13-istio-filters": "outbound|8080||raw.demo"} {
		t.Run(name, func(t *testing.T) {
			pushes, d := recording(t, name)
			want := diff.Field{Path: "default_filter_chain.filters[envoy.filters.network.tcp_proxy].cluster", Old: "PassthroughCluster", New: cluster}
			if !slices.Contains(allFields(d, pushes), want) {
				t.Errorf("no push has %+v", want)
			}
		})
	}
}

// One route of one virtual host moves to another cluster.
func TestFieldsOfARoute(t *testing.T) {
	pushes, d := recording(t, "30-envoy-gateway-delta")
	const at = "virtual_hosts[default/shop/http/www_example_com].routes[httproute/default/web/rule/1/match/0/www_example_com]"
	if !slices.ContainsFunc(allFields(d, pushes), func(f diff.Field) bool {
		return f.Path == at+".direct_response" && f.Old == "" && strings.HasPrefix(f.New, "{status: 500")
	}) {
		t.Error("the route to a backend that is gone is not told as a direct response")
	}
}

// Endpoint churn changes assignments only, and each by its address.
func TestFieldsOfEndpoints(t *testing.T) {
	pushes, d := recording(t, "09-endpoints-churn")
	n := 0
	for _, p := range pushes[len(pushes)/2:] {
		for _, c := range d.Changes(p.before, p.after) {
			n++
			if c.Type != xds.EndpointType || !strings.HasPrefix(c.Paths[0], "endpoints[") {
				t.Errorf("%s %s changed at %v", c.Type, c.Name, c.Paths)
			}
		}
	}
	if n < 20 {
		t.Errorf("%d changes, want at least 20", n)
	}
}

// istiod sends all listeners again with every full push, in another order:
// only what changed is told, sorted.
func TestFullPushOfALargeMesh(t *testing.T) {
	pushes, d := recording(t, "10-large")
	for i, p := range pushes[len(pushes)/4:] {
		cs := d.Changes(p.before, p.after)
		if len(cs) > 8 {
			t.Errorf("push %d: %d changes", i, len(cs))
		}
		if !slices.IsSortedFunc(cs, func(a, b xds.Change) int { return strings.Compare(a.Type+" "+a.Name, b.Type+" "+b.Name) }) {
			t.Errorf("push %d: not sorted", i)
		}
	}
}

func allFields(d *diff.Differ, pushes []push) []diff.Field {
	var out []diff.Field
	for _, p := range pushes {
		for _, c := range d.Changes(p.before, p.after) {
			if c.Op == diff.Modify {
				out = append(out, d.Fields(c.Type, c.Old, c.New)...)
			}
		}
	}
	return out
}

func BenchmarkChangedListener(b *testing.B) {
	pushes, d := recording(b, "13-istio-filters")
	for _, p := range pushes {
		for _, c := range d.Changes(p.before, p.after) {
			if c.Op == diff.Modify && c.Type == xds.ListenerType {
				b.Run(c.Name, func(b *testing.B) {
					for b.Loop() {
						d.Fields(c.Type, c.Old, c.New)
					}
				})
				return
			}
		}
	}
}
