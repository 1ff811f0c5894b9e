package traffic

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
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
