package traffic

import (
	"bytes"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// large is a mesh of about 3,000 services: 2,000 listeners, 3,000 clusters.
func large(tb testing.TB) *world {
	return loadWorld(tb, "recordings/10-large/envoy-config-dump-30-capture-7005.json.gz")
}

// with puts changed resources into the world's snapshot.
func (w *world) with(tb testing.TB, s *state.Snapshot, typ, name string, m proto.Message) *state.Snapshot {
	tb.Helper()
	a, err := anypb.New(m)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := proto.Marshal(a)
	if err != nil {
		tb.Fatal(err)
	}
	body := xds.NewBody(b)
	w.bodies[body.Digest] = b
	return s.With(typ, name, body.Digest)
}

func edited[T proto.Message](tb testing.TB, w *world, typ, name string, edit func(T)) *state.Snapshot {
	tb.Helper()
	d, ok := w.snaps[0].Lookup(typ, name)
	if !ok {
		tb.Fatalf("no %s", name)
	}
	m, err := decode.As[T](w.engine.bodies, d)
	if err != nil {
		tb.Fatal(err)
	}
	m = proto.Clone(m).(T)
	edit(m)
	return w.with(tb, w.snaps[0], typ, name, m)
}

// flipped sends what passed through to the black hole, as REGISTRY_ONLY does.
func (w *world) flipped(tb testing.TB) *state.Snapshot {
	s := w.snaps[0]
	for name, d := range s.All(xds.ListenerType) {
		raw := w.bodies[d]
		if bytes.Contains(raw, []byte("PassthroughCluster")) {
			m, err := decode.As[*listenerv3.Listener](w.engine.bodies, d)
			if err != nil {
				tb.Fatal(err)
			}
			m = proto.Clone(m).(*listenerv3.Listener)
			for _, fc := range append(m.GetFilterChains(), m.GetDefaultFilterChain()) {
				blackHole(tb, fc)
			}
			s = w.with(tb, s, xds.ListenerType, name, m)
		}
	}
	return s
}

func blackHole(tb testing.TB, fc *listenerv3.FilterChain) {
	for _, f := range fc.GetFilters() {
		t := new(tcpv3.TcpProxy)
		if f.GetTypedConfig().UnmarshalTo(t) != nil || t.GetCluster() != "PassthroughCluster" {
			continue
		}
		t.ClusterSpecifier = &tcpv3.TcpProxy_Cluster{Cluster: "BlackHoleCluster"}
		a, err := anypb.New(t)
		if err != nil {
			tb.Fatal(err)
		}
		f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: a}
	}
}

func benchCompare(b *testing.B, w *world, next *state.Snapshot, want int) {
	old := w.engine.View(w.snaps[0], w.env)
	w.engine.Compare(old, w.engine.View(next, w.env))
	b.ReportAllocs()
	for b.Loop() {
		if got := len(w.engine.Compare(old, w.engine.View(next, w.env))); got != want {
			b.Fatalf("%d shifts, want %d", got, want)
		}
	}
}

func BenchmarkCompareOneListener(b *testing.B) {
	w := large(b)
	s := w.with(b, w.snaps[0], xds.ListenerType, "0.0.0.0_3306", tcpListener("0.0.0.0_3306", 3306, tcpChain(b, "", "", "PassthroughCluster2")))
	benchCompare(b, w, s, 1)
}

func BenchmarkCompareListenerRewritten(b *testing.B) {
	w := large(b)
	s := edited(b, w, xds.ListenerType, "0.0.0.0_7005", func(l *listenerv3.Listener) { l.StatPrefix = "x" })
	benchCompare(b, w, s, 0)
}

func BenchmarkCompareOneCluster(b *testing.B) {
	w := large(b)
	s := edited(b, w, xds.ClusterType, "outbound|7005||svc-0005.team05.svc.cluster.local", func(c *clusterv3.Cluster) { c.ConnectTimeout = durationpb.New(1) })
	benchCompare(b, w, s, 0)
}

func BenchmarkCompareOneAssignment(b *testing.B) {
	w := large(b)
	s := edited(b, w, xds.EndpointType, "outbound|7005||svc-0005.team05.svc.cluster.local", func(a *endpointv3.ClusterLoadAssignment) { a.Endpoints = nil })
	benchCompare(b, w, s, 1)
}

func BenchmarkCompareRegistryOnly(b *testing.B) {
	w := large(b)
	benchCompare(b, w, w.flipped(b), 2)
}

// BenchmarkCompareOneHostOf3000: one virtual host more on a port that has 3,000.
func BenchmarkCompareOneHostOf3000(b *testing.B) {
	w := newWorld()
	ra, err := anypb.New(&routerv3.Router{})
	if err != nil {
		b.Fatal(err)
	}
	h, err := anypb.New(&hcmv3.HttpConnectionManager{StatPrefix: "x", RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: "80", ConfigSource: &corev3.ConfigSource{}}},
		HttpFilters: []*hcmv3.HttpFilter{{Name: "envoy.filters.http.router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: ra}}}})
	if err != nil {
		b.Fatal(err)
	}
	l := tcpListener("0.0.0.0_80", 80, &listenerv3.FilterChain{Filters: []*listenerv3.Filter{{Name: "hcm", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: h}}}})
	base := w.handMade(b, outbound(b, "pt"), l)
	w.snaps = append(w.snaps, w.with(b, base.snap, xds.RouteType, "80", hosts(3000)))
	benchCompare(b, w, w.with(b, base.snap, xds.RouteType, "80", hosts(3001)), 1)
}

// hosts is a route configuration with n virtual hosts of three names each.
func hosts(n int) *routev3.RouteConfiguration {
	r := &routev3.RouteConfiguration{Name: "80"}
	for i := range n {
		to := &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: fmt.Sprint("c", i)}}
		route := &routev3.Route{Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}, Action: &routev3.Route_Route{Route: to}}
		r.VirtualHosts = append(r.VirtualHosts, &routev3.VirtualHost{
			Name:    fmt.Sprint("h", i),
			Domains: []string{fmt.Sprintf("svc-%d.ns.svc.cluster.local", i), fmt.Sprintf("svc-%d.ns", i), fmt.Sprintf("10.0.%d.%d", i/250, i%250)},
			Routes:  []*routev3.Route{route},
		})
	}
	return r
}
