package traffic

import (
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// TestDrainedRecording: what a live Envoy did with a connection that was held
// open through each step stands in truth.jsonl of that recording: it survived
// 10 and 50, and was closed in 20, 30 and 40.
func TestDrainedRecording(t *testing.T) {
	w := loadWorld(t, "recordings/14-drain/envoy-config-dump-*.json.gz")
	want := [][]string{nil, {"0.0.0.0_9000"}, {"0.0.0.0_9000"}, {"0.0.0.0_9000"}, nil}
	for i, names := range want {
		if diff := gocmp.Diff(names, w.engine.Drained(w.views[i], w.views[i+1])); diff != "" {
			t.Errorf("%s (-want +got)\n%s", w.steps[i+1], diff)
		}
	}
}

// TestOpenConnections: the fate of connections is that of the listener and chain
// that they were on.
func TestOpenConnections(t *testing.T) {
	w := loadWorld(t, "recordings/14-drain/envoy-config-dump-*.json.gz")
	for i, want := range []xds.Connections{xds.Kept, xds.Drained, xds.Drained, xds.Drained, xds.Kept} {
		for _, s := range w.engine.Compare(w.views[i], w.views[i+1]) {
			if s.Open != want {
				t.Errorf("%s: %s, want %s: %v", w.steps[i+1], s.Open, want, show([]xds.Shift{s}))
			}
		}
	}
}

// handMade is a world of listeners written by hand.
func (w *world) handMade(t testing.TB, msgs ...proto.Message) *View {
	t.Helper()
	var s *state.Snapshot
	for _, m := range msgs {
		a, err := anypb.New(m)
		if err != nil {
			t.Fatal(err)
		}
		b, err := proto.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		body := xds.NewBody(b)
		w.bodies[body.Digest] = b
		typ, name := xds.ListenerType, ""
		switch m := m.(type) {
		case *listenerv3.Listener:
			name = m.GetName()
		case *clusterv3.Cluster:
			typ, name = xds.ClusterType, m.GetName()
		}
		s = s.With(typ, name, body.Digest)
	}
	return w.engine.View(s, Env{})
}

func tcpChain(t testing.TB, name, cidr, cluster string) *listenerv3.FilterChain {
	t.Helper()
	a, err := anypb.New(&tcpv3.TcpProxy{StatPrefix: "s", ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: cluster}})
	if err != nil {
		t.Fatal(err)
	}
	fc := &listenerv3.FilterChain{Name: name, Filters: []*listenerv3.Filter{{Name: "envoy.filters.network.tcp_proxy", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: a}}}}
	if cidr != "" {
		fc.FilterChainMatch = &listenerv3.FilterChainMatch{PrefixRanges: []*corev3.CidrRange{{AddressPrefix: cidr, PrefixLen: wrapperspb.UInt32(8)}}}
	}
	return fc
}

func tcpListener(name string, port uint32, chains ...*listenerv3.FilterChain) *listenerv3.Listener {
	addr := &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: "0.0.0.0", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}
	return &listenerv3.Listener{Name: name, Address: addr, FilterChains: chains}
}

func TestFate(t *testing.T) {
	a, b, c := tcpChain(t, "", "10.0.0.0", "a"), tcpChain(t, "", "11.0.0.0", "b"), tcpChain(t, "c", "", "c")
	renamed := tcpChain(t, "d", "", "c")
	drops := func(l *listenerv3.Listener) *listenerv3.Listener {
		l.Metadata = &corev3.Metadata{}
		return l
	}
	def := tcpListener("l", 80, a)
	def.DefaultFilterChain = c
	for _, x := range []struct {
		name     string
		old, new *listenerv3.Listener
		want     fate
	}{
		{"the same", tcpListener("l", 80, a, b), tcpListener("l", 80, a, b), fate{}},
		{"another order", tcpListener("l", 80, a, b), tcpListener("l", 80, b, a), fate{chains: map[int]bool{}}},
		{"a chain goes", tcpListener("l", 80, a, b, c), tcpListener("l", 80, c, a), fate{chains: map[int]bool{1: true}}},
		{"a chain comes", tcpListener("l", 80, a), tcpListener("l", 80, c, a), fate{chains: map[int]bool{}}},
		{"a chain is renamed", tcpListener("l", 80, a, c), tcpListener("l", 80, a, renamed), fate{chains: map[int]bool{1: true}}},
		{"the default chain goes", def, tcpListener("l", 80, a), fate{chains: map[int]bool{-1: true}}},
		{"any other field", tcpListener("l", 80, a), drops(tcpListener("l", 80, a)), fate{all: true}},
		{"another port", tcpListener("l", 80, a), tcpListener("l", 81, a), fate{all: true}},
		{"no chain left", tcpListener("l", 80, a), tcpListener("l", 80), fate{all: true}},
		{"removed", tcpListener("l", 80, a), nil, fate{all: true}},
	} {
		w := newWorld()
		dO, _ := w.handMade(t, x.old).snap.Lookup(xds.ListenerType, "l")
		dN := xds.Digest{}
		if x.new != nil {
			dN, _ = w.handMade(t, x.new).snap.Lookup(xds.ListenerType, "l")
		}
		if diff := gocmp.Diff(x.want, w.engine.fate(dO, dN), gocmp.AllowUnexported(fate{})); diff != "" {
			t.Errorf("%s (-want +got)\n%s", x.name, diff)
		}
	}
}
