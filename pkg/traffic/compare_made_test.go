package traffic

import (
	"net/netip"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsinspv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// outbound is a virtualOutbound on port 15001 that ends at cluster.
func outbound(t testing.TB, cluster string) *listenerv3.Listener {
	l := tcpListener("virtualOutbound", 15001, tcpChain(t, "", "", cluster))
	l.UseOriginalDst = wrapperspb.Bool(true)
	return l
}

func inspecting(t testing.TB, l *listenerv3.Listener) *listenerv3.Listener {
	t.Helper()
	a, err := anypb.New(&tlsinspv3.TlsInspector{})
	if err != nil {
		t.Fatal(err)
	}
	l.ListenerFilters = []*listenerv3.ListenerFilter{{Name: "envoy.filters.listener.tls_inspector", ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: a}}}
	l.ListenerFiltersTimeout = durationpb.New(0)
	return l
}

// TestCompareMade: what no recording shows. Clusters are not there, so that a
// verdict tells the cluster by name all the same.
func TestCompareMade(t *testing.T) {
	web := func(cluster string) *listenerv3.Listener { return tcpListener("web", 80, tcpChain(t, "", "", cluster)) }
	local := web("w")
	local.FilterChains[0].FilterChainMatch = &listenerv3.FilterChainMatch{SourceType: listenerv3.FilterChainMatch_EXTERNAL}
	local.FilterChains = append(local.FilterChains, tcpChain(t, "self", "", "self"))
	local.FilterChains[1].FilterChainMatch = &listenerv3.FilterChainMatch{SourceType: listenerv3.FilterChainMatch_SAME_IP_OR_LOOPBACK}
	moved := web("w")
	moved.Name = "other"
	for _, c := range []struct {
		name     string
		old, new []proto.Message
		want     []string
		drained  []string
	}{
		{"an inspector on virtualOutbound stalls what it hands over", []proto.Message{outbound(t, "pt"), web("w")}, []proto.Message{inspecting(t, outbound(t, "pt")), web("w")},
			[]string{"w -> stall: [80 0.0.0.0/0 server-first]", "pt -> stall: [1-79,81-65535 0.0.0.0/0 server-first]"}, []string{"virtualOutbound"}},
		{"virtualOutbound ends elsewhere: others stay", []proto.Message{outbound(t, "pt"), web("w")}, []proto.Message{outbound(t, "bh"), web("w")},
			[]string{"pt -> bh: [1-79,81-65535 0.0.0.0/0]"}, []string{"virtualOutbound"}},
		{"its own address", []proto.Message{outbound(t, "pt"), web("w")}, []proto.Message{outbound(t, "pt"), local},
			[]string{"w -> self: [80 10.9.9.9/32]"}, []string{"web"}},
		{"the same listener under another name", []proto.Message{outbound(t, "pt"), web("w")}, []proto.Message{outbound(t, "pt"), moved}, nil, []string{"web"}},
		{"no virtualOutbound any more", []proto.Message{outbound(t, "pt"), web("w")}, []proto.Message{web("w")},
			[]string{"w -> refused: [80 0.0.0.0/0]", "pt -> refused: [1-79,81-65535 0.0.0.0/0]"}, []string{"virtualOutbound"}},
	} {
		w := newWorld()
		env := Env{Istio: true, Node: &corev3.Node{Id: "sidecar~10.9.9.9~a.b~b.svc.cluster.local"}}
		old, new := w.engine.View(w.handMade(t, c.old...).snap, env), w.engine.View(w.handMade(t, c.new...).snap, env)
		if diff := gocmp.Diff(c.want, show(w.engine.Compare(old, new))); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, diff)
		}
		if diff := gocmp.Diff(c.drained, w.engine.Drained(old, new)); diff != "" {
			t.Errorf("%s: drained (-want +got)\n%s", c.name, diff)
		}
	}
}

// TestCompareInterception: what is not intercepted is in no cell.
func TestCompareInterception(t *testing.T) {
	w := newWorld()
	notes, err := structpb.NewStruct(map[string]any{"ANNOTATIONS": map[string]any{
		annotation + "excludeOutboundPorts": "3306", annotation + "excludeOutboundIPRanges": "10.0.0.0/8",
	}})
	if err != nil {
		t.Fatal(err)
	}
	env := Env{Istio: true, Node: &corev3.Node{Id: "sidecar~10.9.9.9~a.b~b.svc.cluster.local", Metadata: notes}}
	old, new := w.engine.View(w.handMade(t, outbound(t, "pt")).snap, env), w.engine.View(w.handMade(t, outbound(t, "bh")).snap, env)
	open := w.engine.View(old.snap, Env{Istio: true, Node: &corev3.Node{Id: env.Node.Id}})
	for _, c := range []struct {
		dst            string
		policy, opened int // cells that hold it when virtualOutbound ends elsewhere, and when the exclusions go
	}{
		{"198.51.100.1:443", 1, 0}, {"198.51.100.1:3306", 0, 1}, {"10.0.0.0:443", 0, 1}, {"10.255.255.255:443", 0, 1}, {"11.0.0.0:443", 1, 0}, {"9.255.255.255:443", 1, 0},
		{"10.1.1.1:3306", 0, 1}, {"[2001:db8::1]:443", 0, 0}, {"[2001:db8::1]:3306", 0, 1},
	} {
		dst := netip.MustParseAddrPort(c.dst)
		policy := inCells(t, w.engine.Compare(old, new), dst, xds.Signal{Kind: xds.Bytes})
		opened := inCells(t, w.engine.Compare(old, open), dst, xds.Signal{Kind: xds.Bytes})
		if policy != c.policy || opened != c.opened {
			t.Errorf("%s: in %d and %d cells, want %d and %d", c.dst, policy, opened, c.policy, c.opened)
		}
	}
}

// TestCompareKinds: the verdicts of a shift are whole, with path and listener.
func TestCompareKinds(t *testing.T) {
	w := loadWorld(t, "recordings/01-seed-mysql-delta/envoy-config-dump-[12]0*.json.gz")
	shifts := w.engine.Compare(w.views[0], w.views[1])
	if len(shifts) != 1 {
		t.Fatal(show(shifts))
	}
	s := shifts[0]
	want := []xds.Cell{{Ports: "3306", Destinations: []string{"0.0.0.0/0"}, Except: []string{"10.68.228.107/32"}}}
	if diff := gocmp.Diff(want, s.Cells); diff != "" {
		t.Error(diff)
	}
	if s.Before.Kind != xds.Passthrough || s.After.Kind != xds.NoEndpoints || s.After.Listener != "0.0.0.0_3306" || len(s.After.Path) == 0 || s.Open != xds.Kept {
		t.Errorf("%+v", s)
	}
}
