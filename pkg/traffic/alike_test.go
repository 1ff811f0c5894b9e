package traffic

import (
	"fmt"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// TestAlikeSameShifts: regions that are taken for alike shift what they would if
// each was looked at, down to the last cell; and some are.
func TestAlikeSameShifts(t *testing.T) {
	worlds := []string{"recordings/06-registry-only/*.json.gz", "oracle/istio-http/config_dump.json.gz", "oracle/istio-conflicts/config_dump.json.gz", "oracle/istio-matrix/config_dump.json.gz"}
	if !raced {
		worlds = append(worlds, "recordings/10-large/envoy-config-dump-30-capture-7005.json.gz")
	}
	repeated := 0
	for _, pattern := range worlds {
		w := loadWorld(t, pattern)
		w.snaps = append(w.snaps, w.flipped(t), w.blocked(t))
		for i := 1; i < len(w.snaps); i++ {
			for _, step := range [][2]*state.Snapshot{{w.snaps[i-1], w.snaps[i]}, {w.snaps[i], w.snaps[0]}} {
				old, new := w.engine.View(step[0], w.env), w.engine.View(step[1], w.env)
				m := movedBetween(old, new)
				if m == nil {
					t.Fatalf("%s: everything may have moved", pattern)
				}
				each, fast := w.engine.comparison(old, new, m), w.engine.comparison(old, new, m)
				each.alike = nil
				if diff := gocmp.Diff(each.run(), fast.run()); diff != "" {
					t.Errorf("%s step %d (-each +alike)\n%s", pattern, i, diff)
				}
				repeated += fast.repeated
			}
		}
	}
	if repeated == 0 {
		t.Error("no region is like another")
	}
}

// blocked is the other half of REGISTRY_ONLY: what no virtual host names is
// answered by Envoy, and every third route configuration loses a host besides.
func (w *world) blocked(t *testing.T) *state.Snapshot {
	s, n := w.snaps[0], 0
	for name, d := range s.All(xds.RouteType) {
		m, err := decode.As[*routev3.RouteConfiguration](w.engine.bodies, d)
		if err != nil {
			t.Fatal(err)
		}
		m = proto.CloneOf(m)
		for _, vh := range m.GetVirtualHosts() {
			if vh.GetName() == "allow_any" {
				vh.Name, vh.Routes[0].Action = "block_all", &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 502}}
			}
		}
		if n++; n%3 == 0 && len(m.VirtualHosts) > 2 {
			m.VirtualHosts = m.VirtualHosts[1:]
		}
		s = w.with(t, s, xds.RouteType, name, m)
	}
	return s
}

// TestAlikeNot: listeners that differ in what decides are not taken for alike,
// whatever the names.
func TestAlikeNot(t *testing.T) {
	w := newWorld()
	w.env.Istio = true
	port := func(n int, edit func(*listenerv3.Listener)) (was, is *listenerv3.Listener) {
		was = tcpListener(fmt.Sprint("0.0.0.0_", n), uint32(n), tcpChain(t, "", "", "a"))
		if edit != nil {
			edit(was)
		}
		is = proto.CloneOf(was)
		is.FilterChains[0].Filters = tcpChain(t, "", "", "b").Filters
		return was, is
	}
	ten := func(l *listenerv3.Listener) {
		l.FilterChains = append([]*listenerv3.FilterChain{tcpChain(t, "", "10.0.0.0", "c")}, l.FilterChains...)
	}
	var old, new []proto.Message
	for n, edit := range map[int]func(*listenerv3.Listener){81: nil, 82: nil, 83: ten, 84: ten} {
		was, is := port(n, edit)
		old, new = append(old, was), append(new, is)
	}
	old, new = append(old, outbound(t, "pt")), append(new, outbound(t, "pt"))
	a, b := w.engine.View(w.handMade(t, old...).snap, w.env), w.engine.View(w.handMade(t, new...).snap, w.env)
	want := []string{"a -> b: [81-82 0.0.0.0/0]", "c -> b: [83-84 10.0.0.0/8]"}
	c := w.engine.comparison(a, b, movedBetween(a, b))
	if diff := gocmp.Diff(want, show(c.run())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if c.repeated != 2 {
		t.Errorf("%d regions were like another, want 2", c.repeated)
	}
}
