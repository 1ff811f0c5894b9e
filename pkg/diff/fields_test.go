package diff_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/diff"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func anyOf(t *testing.T, m proto.Message, json string) *anypb.Any {
	t.Helper()
	must(t, protojson.Unmarshal([]byte(json), m))
	a, err := anypb.New(m)
	must(t, err)
	return a
}

func TestFields(t *testing.T) {
	for _, c := range []struct {
		name     string
		typ      string
		msg      proto.Message
		from, to string
		want     []diff.Field
	}{
		{
			"the order of chains and prefixes means nothing", xds.ListenerType, &listenerv3.Listener{},
			`{"filterChains":[{"filterChainMatch":{"serverNames":["a","b"]}},{"filterChainMatch":{"prefixRanges":[{"addressPrefix":"10.0.0.0","prefixLen":8},{"addressPrefix":"11.0.0.0","prefixLen":8}]}}]}`,
			`{"filterChains":[{"filterChainMatch":{"prefixRanges":[{"addressPrefix":"11.0.0.0","prefixLen":8},{"addressPrefix":"10.0.0.0","prefixLen":8}]}},{"filterChainMatch":{"serverNames":["b","a"]}}]}`,
			nil,
		},
		{
			"a chain is found by its match", xds.ListenerType, &listenerv3.Listener{},
			`{"filterChains":[{"filterChainMatch":{"prefixRanges":[{"addressPrefix":"10.0.0.0","prefixLen":8}],"transportProtocol":"tls"},"name":"x"},{"name":"rest"}]}`,
			`{"filterChains":[{"name":"rest"},{"filterChainMatch":{"prefixRanges":[{"addressPrefix":"10.0.0.0","prefixLen":8}],"transportProtocol":"tls"},"name":"y"}]}`,
			[]diff.Field{{Path: "filter_chains[match=10.0.0.0/8 tls].name", Old: "x", New: "y"}},
		},
		{
			"inspectors come in", xds.ListenerType, &listenerv3.Listener{},
			`{"listenerFiltersTimeout":"0s"}`,
			`{"listenerFilters":[{"name":"envoy.filters.listener.http_inspector"}],"listenerFiltersTimeout":"5s"}`,
			[]diff.Field{
				{Path: "listener_filters[envoy.filters.listener.http_inspector]", New: "{name: envoy.filters.listener.http_inspector}"},
				{Path: "listener_filters_timeout", Old: "0s", New: "5s"},
			},
		},
		{
			"metadata by its keys", xds.ListenerType, &listenerv3.Listener{},
			`{"metadata":{"filterMetadata":{"istio":{"config":"/apis/a","n":{"x":1}}}}}`,
			`{"metadata":{"filterMetadata":{"istio":{"config":"/apis/b","n":{"x":1,"y":true}}}}}`,
			[]diff.Field{
				{Path: "metadata.filter_metadata[istio][config]", Old: `"/apis/a"`, New: `"/apis/b"`},
				{Path: "metadata.filter_metadata[istio][n][y]", New: "true"},
			},
		},
		{
			"routes are tried in order", xds.RouteType, &routev3.RouteConfiguration{},
			`{"virtualHosts":[{"name":"v","domains":["a","b"],"routes":[{"name":"one"},{"name":"two"}]},{"name":"w"}]}`,
			`{"virtualHosts":[{"name":"w"},{"name":"v","domains":["b","a"],"routes":[{"name":"two"},{"name":"one"}]}]}`,
			[]diff.Field{{Path: "virtual_hosts[v].routes(order)", Old: "one, two", New: "two, one"}},
		},
		{
			"routes without a name by place, with one name by number", xds.RouteType, &routev3.RouteConfiguration{},
			`{"virtualHosts":[{"name":"v","routes":[{"match":{"prefix":"/a"}},{"name":"x","match":{"prefix":"/b"}},{"name":"x","match":{"prefix":"/c"}}]}]}`,
			`{"virtualHosts":[{"name":"v","routes":[{"match":{"prefix":"/A"}},{"name":"x","match":{"prefix":"/b"}},{"name":"x","match":{"prefix":"/C"}}]}]}`,
			[]diff.Field{
				{Path: "virtual_hosts[v].routes[0].match.prefix", Old: "/a", New: "/A"},
				{Path: "virtual_hosts[v].routes[x#2].match.prefix", Old: "/c", New: "/C"},
			},
		},
		{
			"endpoints by address", xds.EndpointType, &endpointv3.ClusterLoadAssignment{},
			`{"endpoints":[{"lbEndpoints":[{"endpoint":{"address":{"socketAddress":{"address":"10.0.0.1","portValue":80}}}},{"healthStatus":"HEALTHY","endpoint":{"address":{"socketAddress":{"address":"10.0.0.2","portValue":80}}}}]}]}`,
			`{"endpoints":[{"lbEndpoints":[{"healthStatus":"DRAINING","endpoint":{"address":{"socketAddress":{"address":"10.0.0.2","portValue":80}}}},{"endpoint":{"address":{"socketAddress":{"address":"10.0.0.1","portValue":80}}}}]}]}`,
			[]diff.Field{{Path: "endpoints[default].lb_endpoints[10.0.0.2:80].health_status", Old: "HEALTHY", New: "DRAINING"}},
		},
		{
			"no content at all is the same as an empty list", xds.EndpointType, &endpointv3.ClusterLoadAssignment{},
			`{"clusterName":"x"}`, `{"clusterName":"x","endpoints":[]}`, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := bodies{}
			a := store.put(anyOf(t, proto.Clone(c.msg), c.from))
			b := store.put(anyOf(t, proto.Clone(c.msg), c.to))
			d := diff.New(decode.New(store.get, 0))
			if x := cmp.Diff(c.want, d.Fields(c.typ, a, b)); x != "" {
				t.Error(x)
			}
			if got := d.Fields(c.typ, a, a); got != nil {
				t.Errorf("a resource differs from itself: %v", got)
			}
		})
	}
}

// Any inside Any without end costs neither time nor stack.
func TestDeepNesting(t *testing.T) {
	store := bodies{}
	nest := func(leaf string) xds.Digest {
		a := &anypb.Any{TypeUrl: xds.ListenerType, Value: []byte(leaf)}
		for range 2000 {
			a = store.wrap(t, &listenerv3.Listener{ListenerFilters: []*listenerv3.ListenerFilter{{ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: a}}}})
		}
		return store.put(a)
	}
	fs := diff.New(decode.New(store.get, 0)).Fields(xds.ListenerType, nest(""), nest("\x0a\x01x"))
	if len(fs) != 1 || !strings.HasSuffix(fs[0].Path, "["+xds.ListenerType+"]") {
		t.Errorf("got %d fields", len(fs))
	}
}

// What nobody can read is compared as bytes, and says where reading ends.
func TestOpaque(t *testing.T) {
	store := bodies{}
	filter := func(url, value string) *anypb.Any {
		return store.wrap(t, &listenerv3.Listener{ListenerFilters: []*listenerv3.ListenerFilter{{
			Name: "f", ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: &anypb.Any{TypeUrl: url, Value: []byte(value)}},
		}}})
	}
	const theirs = "type.googleapis.com/istio.envoy.config.filter.x"
	a, b := store.put(filter(theirs, "1")), store.put(filter(theirs, "2"))
	c := store.put(filter(theirs+"y", "1"))
	junk := store.put(&anypb.Any{TypeUrl: xds.ListenerType, Value: []byte{0xff}})
	own1, own2 := store.put(&anypb.Any{TypeUrl: theirs, Value: []byte("1")}), store.put(&anypb.Any{TypeUrl: theirs, Value: []byte("2")})
	d := diff.New(decode.New(store.get, 0))
	for _, x := range []struct {
		name, typ string
		from, to  xds.Digest
		want      string
	}{
		{"unknown filter", xds.ListenerType, a, b, "listener_filters[f].typed_config[" + theirs + "]"},
		{"other filter type", xds.ListenerType, a, c, "listener_filters[f].typed_config"},
		{"unknown resource", theirs, own1, own2, theirs},
		{"broken resource", xds.ListenerType, a, junk, diff.NotDecodable},
		{"known by name only", xds.ListenerType, a, xds.Bodyless, diff.NotRecorded},
		{"body that is gone", xds.ListenerType, xds.DigestOf([]byte("gone")), a, diff.NotRecorded},
	} {
		t.Run(x.name, func(t *testing.T) {
			fs := d.Fields(x.typ, x.from, x.to)
			if len(fs) != 1 || fs[0].Path != x.want {
				t.Errorf("got %+v, want path %s", fs, x.want)
			}
		})
	}
}

func (b bodies) wrap(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	must(t, err)
	return a
}

func TestChanges(t *testing.T) {
	store := bodies{}
	one := store.put(store.wrap(t, &listenerv3.Listener{Name: "a", StatPrefix: "1"}))
	two := store.put(store.wrap(t, &listenerv3.Listener{Name: "a", StatPrefix: "2"}))
	d := diff.New(decode.New(store.get, 0))
	var none *state.Snapshot
	before := none.With(xds.ListenerType, "b", one).With(xds.ListenerType, "a", one).With(xds.ClusterType, "z", one)
	after := before.With(xds.ListenerType, "a", two).Without(xds.ListenerType, "b").With(xds.ListenerType, "c", one).With(xds.ClusterType, "z", xds.Bodyless)
	want := []xds.Change{
		{Type: xds.ClusterType, Name: "z", Op: "change", Paths: []string{diff.NotRecorded}, Old: one, New: xds.Bodyless},
		{Type: xds.ListenerType, Name: "a", Op: "change", Paths: []string{"stat_prefix"}, Old: one, New: two},
		{Type: xds.ListenerType, Name: "b", Op: "remove", Old: one},
		{Type: xds.ListenerType, Name: "c", Op: "add", New: one},
	}
	if x := cmp.Diff(want, d.Changes(before, after)); x != "" {
		t.Error(x)
	}
	if got := d.Changes(after, after); got != nil {
		t.Errorf("a snapshot differs from itself: %v", got)
	}
}

// Values stay on one line and short, whatever they hold.
func TestValuesAreShort(t *testing.T) {
	store := bodies{}
	long := store.put(store.wrap(t, &listenerv3.Listener{StatPrefix: strings.Repeat("ä\n", 500)}))
	empty := store.put(store.wrap(t, &listenerv3.Listener{}))
	fs := diff.New(decode.New(store.get, 0)).Fields(xds.ListenerType, empty, long)
	if len(fs) != 1 || len(fs[0].New) > 170 || strings.Contains(fs[0].New, "\n") || !strings.HasSuffix(fs[0].New, "...") {
		t.Errorf("got %+v", fs)
	}
}
