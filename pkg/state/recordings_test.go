package state_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const recordings = "../../test/recordings"

// recorded are the recordings that are small enough to fold again and again.
func recorded(t testing.TB) []string {
	t.Helper()
	dirs, err := filepath.Glob(recordings + "/*/session.jsonl.gz")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	var out []string
	for _, d := range dirs {
		out = append(out, filepath.Base(filepath.Dir(d)))
	}
	return out
}

func history(t testing.TB, name string) *transcript.Source {
	t.Helper()
	f, err := os.Open(filepath.Join(recordings, name, "session.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	src, err := transcript.Read(f, name, transcript.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func recordsOf(t testing.TB, src *transcript.Source, id xds.Sidecar) []xds.Record {
	t.Helper()
	var out []xds.Record
	for r, err := range src.Records(id, 0) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// realSidecars lists those that have a node.
func realSidecars(t testing.TB, src *transcript.Source) []xds.Sidecar {
	t.Helper()
	ids, err := src.Sidecars()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(ids, func(id xds.Sidecar) bool { return id.IsZero() })
}

// deps reads from the resources what Envoy waits for.
func deps(src *transcript.Source) state.Deps {
	memo := map[xds.Digest][]state.Ref{}
	return func(typ string, d xds.Digest) []state.Ref {
		if refs, ok := memo[d]; ok {
			return refs
		}
		raw, _, _ := src.Body(d)
		var a anypb.Any
		if proto.Unmarshal(raw, &a) != nil {
			return nil
		}
		memo[d] = refsOf(typ, a.GetValue())
		return memo[d]
	}
}

func refsOf(typ string, raw []byte) []state.Ref {
	var c clusterv3.Cluster
	if typ == xds.ClusterType && proto.Unmarshal(raw, &c) == nil && c.GetType() == clusterv3.Cluster_EDS {
		name := c.GetEdsClusterConfig().GetServiceName()
		if name == "" {
			name = c.GetName()
		}
		return []state.Ref{{Type: xds.EndpointType, Name: name}}
	}
	var l listenerv3.Listener
	if typ != xds.ListenerType || proto.Unmarshal(raw, &l) != nil {
		return nil
	}
	var out []state.Ref
	for _, fc := range append(l.GetFilterChains(), l.GetDefaultFilterChain()) {
		for _, f := range fc.GetFilters() {
			var h hcmv3.HttpConnectionManager
			if f.GetTypedConfig().UnmarshalTo(&h) == nil && h.GetRds() != nil {
				out = append(out, state.Ref{Type: xds.RouteType, Name: h.GetRds().GetRouteConfigName()})
			}
		}
	}
	return out
}

// step is one step of a recording, with the time of its end.
type step struct {
	name string
	end  time.Time
}

func steps(t testing.TB, name string) []step {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(recordings, name, "steps.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var out []step
	for line := range strings.Lines(string(raw)) {
		var j struct {
			T    time.Time
			Step string
		}
		if err := json.Unmarshal([]byte(line), &j); err != nil {
			t.Fatal(err)
		}
		if n := len(out); n == 0 || out[n-1].name != j.Step {
			if n > 0 {
				out[n-1].end = j.T
			}
			out = append(out, step{name: j.Step})
		}
	}
	return out[:len(out)-1]
}

// dump is what an Envoy said it holds, names only.
type dump map[string]map[string]bool

func readDump(t testing.TB, path string) dump {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var j struct{ Configs []json.RawMessage }
	if err := json.Unmarshal(raw, &j); err != nil {
		t.Fatal(err)
	}
	d := dump{xds.ListenerType: {}, xds.ClusterType: {}, xds.RouteType: {}, xds.EndpointType: {}}
	for _, c := range j.Configs {
		d.add(t, c)
	}
	return d
}

func (d dump) add(t testing.TB, raw json.RawMessage) {
	var j struct {
		Clusters []struct {
			Cluster struct {
				Name, Type string
				Eds        struct {
					ServiceName string `json:"service_name"`
				} `json:"eds_cluster_config"`
			}
		} `json:"dynamic_active_clusters"`
		Listeners []struct {
			Name   string
			Active json.RawMessage `json:"active_state"`
		} `json:"dynamic_listeners"`
		Routes []struct {
			Route struct{ Name string } `json:"route_config"`
		} `json:"dynamic_route_configs"`
	}
	if err := json.Unmarshal(raw, &j); err != nil {
		t.Fatal(err)
	}
	for _, c := range j.Clusters {
		d[xds.ClusterType][c.Cluster.Name] = true
		if c.Cluster.Type == "EDS" && c.Cluster.Eds.ServiceName != "" {
			d[xds.EndpointType][c.Cluster.Eds.ServiceName] = true
		} else if c.Cluster.Type == "EDS" {
			d[xds.EndpointType][c.Cluster.Name] = true
		}
	}
	for _, l := range j.Listeners {
		if l.Active != nil {
			d[xds.ListenerType][l.Name] = true
		}
	}
	for _, r := range j.Routes {
		d[xds.RouteType][r.Route.Name] = true
	}
}

// pods are the two workloads of recording 11, as its dumps call them.
var pods = map[string]string{"checkout": "plain", "billing": "dnscapture"}

// TestActiveIsWhatEnvoyHolds folds every recording and compares, at the end of
// each step, the names in the active snapshot with Envoy's own config dump.
func TestActiveIsWhatEnvoyHolds(t *testing.T) {
	n := 0
	for _, name := range recorded(t) {
		src := history(t, name)
		for _, id := range realSidecars(t, src) {
			t.Run(name+"/"+id.Name(), func(t *testing.T) { n += compareSteps(t, name, src, id) })
		}
	}
	if n < 102 {
		t.Errorf("only %d dumps compared", n)
	}
	t.Logf("%d dumps compared", n)
}

func compareSteps(t *testing.T, name string, src *transcript.Source, id xds.Sidecar) (n int) {
	f := state.New(deps(src))
	recs := recordsOf(t, src, id)
	for _, st := range steps(t, name) {
		for len(recs) > 0 && recs[0].Time.Before(st.end) {
			f.Apply(recs[0])
			recs = recs[1:]
		}
		paths, _ := filepath.Glob(filepath.Join(recordings, name, "envoy-config-dump-"+st.name+"*.json.gz"))
		for _, p := range paths {
			if pod := pods[strings.SplitN(id.Name(), "-", 2)[0]]; name == "11-dns-capture" && !strings.Contains(p, "-"+pod+".") {
				continue
			}
			n++
			sameNames(t, filepath.Base(p), f.Active(id), readDump(t, p))
		}
	}
	v, _ := f.View(id)
	if v.Mismatches > 0 || len(v.Uncertain) > 0 || v.Incarnation != 1 {
		t.Errorf("%d mismatches, uncertain %v, %d lives", v.Mismatches, v.Uncertain, v.Incarnation)
	}
	return n
}

func sameNames(t *testing.T, at string, s *state.Snapshot, d dump) {
	t.Helper()
	for typ, want := range d {
		var got []string
		for n := range s.All(typ) {
			got = append(got, n)
		}
		if w := slices.Sorted(maps.Keys(want)); !slices.Equal(got, w) {
			t.Errorf("%s %s:\n got %s\nwant %s", at, xds.ShortType(typ), strings.Join(got, " "), strings.Join(w, " "))
		}
	}
}

// TestBaseGoesOnTheSame goes on from a base made after each record of every
// recording: by a Fold that knows what resources refer to, and by one that does
// not, which is how bases are made while recording.
func TestBaseGoesOnTheSame(t *testing.T) {
	for _, name := range recorded(t) {
		if raced && strings.Contains(name, "large") {
			continue
		}
		src := history(t, name)
		for _, id := range realSidecars(t, src) {
			t.Run(name+"/"+id.Name(), func(t *testing.T) { cutEverywhere(t, recordsOf(t, src, id), id, deps(src)) })
		}
	}
}

// points are the states after each record.
func points(recs []xds.Record, id xds.Sidecar, deps state.Deps) []*state.Fold {
	f := state.New(deps)
	var out []*state.Fold
	for _, r := range recs {
		f.Apply(r)
		out = append(out, f.Fork(id))
	}
	return out
}

func cutEverywhere(t *testing.T, recs []xds.Record, id xds.Sidecar, deps state.Deps) {
	want, plain := points(recs, id, deps), points(recs, id, nil)
	every, look := 1, 7
	if raced {
		every = 7
	}
	if strings.Contains(t.Name(), "large") {
		every, look = 45, 45 // thousands of resources each time
	}
	for k := every - 1; k < len(recs); k += every {
		for _, made := range []*state.Fold{want[k], plain[k]} {
			b, ok := made.Base(id)
			if !ok {
				t.Fatalf("no base after record %d", k)
			}
			f := state.New(deps)
			f.Apply(b)
			same(t, fmt.Sprintf("base after record %d (%s)", k, recs[k].Kind), want[k], f, id)
			for i := k + 1; i < len(recs) && !t.Failed(); i++ {
				f.Apply(recs[i])
				if i-k < 5 || i%look == 0 || i == len(recs)-1 {
					same(t, fmt.Sprintf("record %d (%s) after a base after %d", i, recs[i].Kind, k), want[i], f, id)
				}
			}
		}
		if t.Failed() {
			return
		}
	}
}

func same(t *testing.T, at string, a, b *state.Fold, id xds.Sidecar) {
	t.Helper()
	va, _ := a.View(id)
	vb, _ := b.View(id)
	for name, pair := range map[string][2]*state.Snapshot{"offered": {va.Offered, vb.Offered}, "accepted": {va.Accepted, vb.Accepted}, "active": {va.Active, vb.Active}} {
		for d := range state.Differences(pair[0], pair[1]) {
			t.Errorf("%s: %s: %s %q %s, want %s", at, name, xds.ShortType(d.Type), d.Name, d.New, d.Old)
		}
	}
	if va.LastPush != vb.LastPush || va.Node != vb.Node || va.Connected != vb.Connected || len(va.Pending) != len(vb.Pending) || len(va.Warming) != len(vb.Warming) {
		t.Errorf("%s: views differ:\n%+v\n%+v", at, va, vb)
	}
}
