package configdump_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/configdump"
	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func dumps(t testing.TB) []string {
	t.Helper()
	a, _ := filepath.Glob("../../test/recordings/*/envoy-config-dump-*.json.gz")
	b, _ := filepath.Glob("../../test/oracle/*/config_dump*.json*")
	if len(a) < 90 || len(b) < 70 {
		t.Fatalf("found %d and %d dumps", len(a), len(b))
	}
	// One dump of 20 MB is enough.
	all := slices.DeleteFunc(append(a, b...), func(p string) bool { return strings.Contains(p, "10-large") && strings.Contains(p, "65-") })
	if !raced {
		return all
	}
	var some []string
	for i := 0; i < len(all); i += 12 {
		some = append(some, all[i])
	}
	return some
}

func plain(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(path, ".gz") {
		return b
	}
	zr, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func read(t testing.TB, b []byte) *configdump.Dump {
	t.Helper()
	d, err := configdump.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// held replays the answered pushes: type -> name -> entry.
func held(d *configdump.Dump) map[string]map[string]xds.Entry {
	acked := map[uint64]bool{}
	for _, r := range d.Records {
		if r.Kind == xds.KindAnswer && !r.Answer.NACK() {
			acked[r.Answer.Push] = true
		}
	}
	out := map[string]map[string]xds.Entry{}
	for _, r := range d.Records {
		if r.Kind != xds.KindPush || !acked[r.Push.Number] {
			continue
		}
		for _, e := range r.Push.Resources {
			if out[r.Push.Type] == nil {
				out[r.Push.Type] = map[string]xds.Entry{}
			}
			out[r.Push.Type][e.Name] = e
		}
	}
	return out
}

func names(d *configdump.Dump, typ string) []string {
	return slices.Sorted(maps.Keys(held(d)[typ]))
}

// wanted reads the names out of the JSON in the plainest way.
func wanted(t *testing.T, b []byte) map[string][]string {
	var file struct {
		Configs []struct {
			Clusters []struct {
				Cluster struct {
					Name, Type string
					EDS        struct {
						Service string `json:"service_name"`
					} `json:"eds_cluster_config"`
				}
			} `json:"dynamic_active_clusters"`
			Listeners []struct {
				Name   string
				Active *struct{} `json:"active_state"`
			} `json:"dynamic_listeners"`
			Routes []struct {
				Route struct{ Name string } `json:"route_config"`
			} `json:"dynamic_route_configs"`
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	sets := map[string]map[string]bool{xds.ClusterType: {}, xds.ListenerType: {}, xds.RouteType: {}, xds.EndpointType: {}}
	for _, c := range file.Configs {
		for _, x := range c.Clusters {
			sets[xds.ClusterType][x.Cluster.Name] = true
			if x.Cluster.Type == "EDS" && x.Cluster.EDS.Service == "" {
				x.Cluster.EDS.Service = x.Cluster.Name
			}
			if x.Cluster.Type == "EDS" {
				sets[xds.EndpointType][x.Cluster.EDS.Service] = true
			}
		}
		for _, x := range c.Listeners {
			if x.Active != nil {
				sets[xds.ListenerType][x.Name] = true
			}
		}
		for _, x := range c.Routes {
			sets[xds.RouteType][x.Route.Name] = true
		}
	}
	out := map[string][]string{}
	for typ, set := range sets {
		out[typ] = slices.Sorted(maps.Keys(set))
	}
	return out
}

func TestEveryDump(t *testing.T) {
	for _, path := range dumps(t) {
		b := plain(t, path)
		if !configdump.IsDump(b[:min(len(b), 512)]) {
			t.Errorf("%s is not taken for a dump", path)
		}
		d := read(t, b)
		for typ, want := range wanted(t, b) {
			if diff := cmp.Diff(want, names(d, typ)); diff != "" && len(want)+len(names(d, typ)) > 0 {
				t.Errorf("%s: %s (-dump +records)\n%s", path, xds.ShortType(typ), diff)
			}
		}
		bodies := checkBodies(t, path, d)
		for typ, entries := range held(d) {
			for name, e := range entries {
				if typ != xds.SecretType && (e.State != xds.EntryBody || bodies[e.Digest] == nil) {
					t.Errorf("%s: %s %s has no body", path, xds.ShortType(typ), name)
				}
			}
		}
		if len(d.Warnings) > 0 {
			t.Errorf("%s: %q", path, d.Warnings)
		}
	}
}

// checkBodies opens every body and gives them by digest.
func checkBodies(t *testing.T, path string, d *configdump.Dump) map[xds.Digest][]byte {
	out := map[xds.Digest][]byte{}
	for i, b := range d.Bodies {
		if xds.DigestOf(b.Bytes) != b.Digest || out[b.Digest] != nil {
			t.Errorf("%s: body %d is not what its digest says, or is there twice", path, i)
		}
		out[b.Digest] = b.Bytes
		if d.Node != nil && i == 0 {
			continue
		}
		a := new(anypb.Any)
		if err := proto.Unmarshal(b.Bytes, a); err != nil {
			t.Fatal(err)
		}
		if _, err := decode.Any(a); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	return out
}

func TestIncident(t *testing.T) {
	b := plain(t, "../../test/recordings/01-seed-mysql-delta/envoy-config-dump-20-capture.json.gz")
	d := read(t, b)
	want := xds.Sidecar{Node: "sidecar~172.20.0.31~checkout-b7db8cc46-99cx5.shop~shop.svc.cluster.local", Cluster: "checkout.shop", Mesh: "Kubernetes"}
	if d.Sidecar != want {
		t.Errorf("sidecar is %+v", d.Sidecar)
	}
	if _, ok := held(d)[xds.ListenerType]["0.0.0.0_3306"]; !ok {
		t.Error("listener 0.0.0.0_3306 is not there")
	}
	var kinds []string
	for i, r := range d.Records {
		if r.Seq != uint64(i+1) || r.Sidecar != want || r.Time.IsZero() {
			t.Errorf("record %d: %+v", i, r)
		}
		kinds = append(kinds, r.Kind.String())
	}
	order := []string{"open", "request", "push", "answer", "request", "push", "answer", "request", "push", "answer", "request", "push", "answer"}
	if diff := cmp.Diff(order, kinds[:13]); diff != "" {
		t.Error(diff)
	}
	if d.Records[1].Request.Node.IsZero() || !d.Records[4].Request.Node.IsZero() {
		t.Error("the node stands in the first request only")
	}
	if len(d.Static) != 2 {
		t.Errorf("%d static resources", len(d.Static))
	}
}

func TestWarmingIsNotAnswered(t *testing.T) {
	d := read(t, plain(t, "../../test/oracle/time-rds-delta/config_dump.01.json.gz"))
	var warm []string
	answered := map[uint64]bool{}
	for _, r := range d.Records {
		if r.Kind == xds.KindAnswer {
			answered[r.Answer.Push] = true
		}
	}
	for _, r := range d.Records {
		if r.Kind == xds.KindPush && !answered[r.Push.Number] {
			for _, e := range r.Push.Resources {
				warm = append(warm, xds.ShortType(r.Push.Type)+" "+e.Name)
			}
		}
	}
	if diff := cmp.Diff([]string{"LDS old", "LDS new"}, warm); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"old", "virtualOutbound", "virtualOutbound6"}, names(d, xds.ListenerType)); diff != "" {
		t.Error(diff)
	}
}

func TestRejectedIsANACK(t *testing.T) {
	d := read(t, plain(t, "../../test/oracle/synth-fcm-1/config_dump.json.gz"))
	for _, r := range d.Records {
		if r.Kind == xds.KindAnswer && r.Answer.NACK() {
			if !strings.HasPrefix(r.Answer.Error.Message, "Error adding/updating listener(s) ") || !strings.Contains(r.Answer.Error.Message, "same matching rules") {
				t.Errorf("message %.200q", r.Answer.Error.Message)
			}
			return
		}
	}
	t.Error("no NACK although the dump has error_state")
}

const odd = `{"configs":[
 {"@type":"type.googleapis.com/envoy.admin.v3.ClustersConfigDump","dynamic_active_clusters":[
  {"cluster":{"@type":"type.googleapis.com/envoy.config.cluster.v3.Cluster","name":"a","type":"EDS","no_such_field":1}},
  {"cluster":{"@type":"type.googleapis.com/envoy.config.cluster.v3.Cluster","name":"b","connect_timeout":"soon"}},
  {"cluster":{"name":"c","type":"NO_SUCH_TYPE"}}]},
 {"@type":"type.googleapis.com/envoy.admin.v3.ListenersConfigDump","dynamicListeners":[{"name":"l","activeState":{"listener":
  {"@type":"type.googleapis.com/envoy.config.listener.v3.Listener","name":"l","filterChains":[{"filters":[
   {"name":"x","typed_config":{"@type":"type.googleapis.com/acme.Secret","level":{"@type":"type.googleapis.com/acme.Inner"}}},
   {"name":"h","typed_config":{"@type":"type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager","rds":{"route_config_name":"r"}}}]}]}}}]},
 {"@type":"type.googleapis.com/envoy.admin.v3.FutureConfigDump","x":1}]}`

func TestPartialDump(t *testing.T) {
	d := read(t, []byte(odd))
	state := map[string]xds.EntryState{}
	for typ, entries := range held(d) {
		for name, e := range entries {
			state[xds.ShortType(typ)+" "+name] = e.State
		}
	}
	want := map[string]xds.EntryState{"CDS a": xds.EntryBody, "CDS b": xds.EntryBodyless, "CDS c": xds.EntryBody, "EDS a": xds.EntryBodyless, "LDS l": xds.EntryBody, "RDS r": xds.EntryBodyless}
	if diff := cmp.Diff(want, state); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"type.googleapis.com/acme.Secret"}, d.Opaque); diff != "" {
		t.Error(diff)
	}
	if len(d.Warnings) != 5 || d.Sidecar.Node != configdump.Nobody {
		t.Errorf("sidecar %v, %d warnings:\n%s", d.Sidecar, len(d.Warnings), strings.Join(d.Warnings, "\n"))
	}
	checkOpaque(t, d)
}

func checkOpaque(t *testing.T, d *configdump.Dump) {
	for _, b := range d.Bodies {
		a, l := new(anypb.Any), new(listenerv3.Listener)
		if proto.Unmarshal(b.Bytes, a) == nil && a.MessageIs(l) {
			if err := a.UnmarshalTo(l); err != nil {
				t.Fatal(err)
			}
			if url := l.GetFilterChains()[0].GetFilters()[0].GetTypedConfig().GetTypeUrl(); url != "type.googleapis.com/acme.Secret" {
				t.Errorf("the type that is not known reads %q", url)
			}
			return
		}
	}
	t.Error("no listener")
}

const single = `{"configs":[
 {"@type":"type.googleapis.com/envoy.admin.v3.ListenersConfigDump.DynamicListener","name":"l","active_state":{"listener":{"@type":"type.googleapis.com/envoy.config.listener.v3.Listener","name":"l"}}},
 {"@type":"type.googleapis.com/envoy.admin.v3.ListenersConfigDump.DynamicListener","name":"gone","draining_state":{"listener":{"name":"gone"}}}]}`

func TestSingleEntries(t *testing.T) {
	d := read(t, []byte(single))
	if diff := cmp.Diff([]string{"l"}, names(d, xds.ListenerType)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"gone"}, d.Draining); diff != "" {
		t.Error(diff)
	}
}

const old = `{"configs":[{"@type":"type.googleapis.com/envoy.admin.v2alpha.ListenersConfigDump","dynamic_active_listeners":[
 {"version_info":"1","listener":{"name":"bare"}},
 {"version_info":"1","listener":{"@type":"type.googleapis.com/envoy.api.v2.Listener","name":"typed","deprecated_v1":{"bind_to_port":false}}}],
 "dynamic_draining_listeners":[{"listener":{"name":"old"}}]}]}`

func TestOldDump(t *testing.T) {
	d := read(t, []byte(old))
	if diff := cmp.Diff([]string{"bare", "typed"}, names(d, xds.ListenerType)); diff != "" {
		t.Error(diff)
	}
}

func TestNotADump(t *testing.T) {
	for _, in := range []string{"", "hello", `{"t":"2026-11-22T09:31:29Z","event":"open"}`, `[]`, `{"configs":[1]}`, `{"configs":[{"@type":"x"}]}`, `{"configs":`} {
		if _, err := configdump.Read([]byte(in)); !errors.Is(err, configdump.ErrNotDump) {
			t.Errorf("%q: %v", in, err)
		}
	}
	for in, want := range map[string]bool{"": false, "{}": false, `{"t":1}`: false, " \n{ \"configs\": [": true, `{"configs"`: true} {
		if configdump.IsDump([]byte(in)) != want {
			t.Errorf("IsDump(%q) is %v", in, !want)
		}
	}
}

func BenchmarkReadLarge(b *testing.B) {
	in := plain(b, "../../test/recordings/10-large/envoy-config-dump-30-capture-7005.json.gz")
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		read(b, in)
	}
}
