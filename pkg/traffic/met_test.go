package traffic

import (
	"encoding/hex"
	"net/netip"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// This file holds what random configurations on a live Envoy (test/live) showed
// to be wrong once.

// webView has an HTTP listener on port 80, with faults and these virtual hosts.
func webView(t *testing.T, hosts ...*routev3.VirtualHost) *View {
	t.Helper()
	packed := func(m proto.Message) *anypb.Any {
		a, err := anypb.New(m)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	filter := func(name string, m proto.Message) *hcmv3.HttpFilter {
		return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(m)}}
	}
	abort := packed(&faultv3.HTTPFault{Abort: &faultv3.FaultAbort{ErrorType: &faultv3.FaultAbort_HttpStatus{HttpStatus: 555}, Percentage: &typev3.FractionalPercent{Numerator: 100}}})
	for _, h := range hosts {
		h.TypedPerFilterConfig = map[string]*anypb.Any{"fault": abort}
	}
	m := &hcmv3.HttpConnectionManager{StatPrefix: "h", RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{Name: "r", VirtualHosts: hosts}},
		HttpFilters: []*hcmv3.HttpFilter{filter("fault", &faultv3.HTTPFault{}), filter("router", &routerv3.Router{})}}
	web := tcpListener("web", 80, &listenerv3.FilterChain{Filters: []*listenerv3.Filter{{Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(m)}}}})
	w := newWorld()
	return w.engine.View(w.handMade(t, outbound(t, "pt"), web).snap, Env{Istio: true})
}

// TestOverrideNeedsRoute: the filters of a virtual host do not act on requests
// that none of its routes matches.
func TestOverrideNeedsRoute(t *testing.T) {
	v := webView(t, &routev3.VirtualHost{Name: "v", Domains: []string{"*"}, Routes: []*routev3.Route{{
		Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/x"}},
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 200}}}}})
	for path, want := range map[string]xds.Verdict{"/x": {Kind: xds.LocalReply, Status: 555}, "/y": {Kind: xds.NoRoute}} {
		vd := v.Resolve(netip.MustParseAddrPort("8.8.8.8:80"), netip.Addr{}, xds.Signal{Kind: xds.HTTP11, Host: "a", Path: path})
		if vd.Kind != want.Kind || vd.Status != want.Status {
			t.Errorf("%s: %s %d, want %s %d", path, vd.Kind, vd.Status, want.Kind, want.Status)
		}
	}
}

// TestMissingIsEmpty: a missing header that counts as an empty one is present.
func TestMissingIsEmpty(t *testing.T) {
	for _, present := range []bool{true, false} {
		h := compileHeader(&routev3.HeaderMatcher{Name: "x", TreatMissingHeaderAsEmpty: true, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: present}})
		if h.matches(newRequest(xds.Signal{Kind: xds.HTTP11})) != present {
			t.Errorf("present_match %v: want %v", present, present)
		}
	}
}

// TestPieces: what an HTTP connection manager does with less than a request.
func TestPieces(t *testing.T) {
	v := webView(t)
	for _, c := range []struct {
		flight string
		kind   xds.VerdictKind
		status int
	}{
		{"\x80F\x01\x03", xds.Stall, 0}, {"\xff\xff", xds.Stall, 0}, {"\x7f\x00", xds.Stall, 0}, {"G\x01", xds.Stall, 0}, {"*1", xds.Stall, 0}, {"SSH-2.0-x", xds.Stall, 0}, {"a b c", xds.Stall, 0},
		{"\x01\x02", xds.LocalReply, 400}, {"\x16\x03\x01", xds.LocalReply, 400}, {" \x00", xds.LocalReply, 400}, {"\xff\n", xds.LocalReply, 400}, {"SSH-2.0-x\r\n", xds.LocalReply, 400},
		{"GET /\r\n", xds.LocalReply, 426}, {"GET /\n", xds.LocalReply, 426}, {"GET\r\n", xds.LocalReply, 400}, {"FOO / HTTP/1.1\r\n", xds.LocalReply, 400}, {"get / HTTP/1.1\r\n", xds.LocalReply, 400},
		{"GET / HTTX/1.1\r\n", xds.LocalReply, 400}, {"GET / HTTP/1.1\r\n", xds.Stall, 0}, {"GET / HTTP/2.0\r\n", xds.Stall, 0},
	} {
		vd := v.Resolve(netip.MustParseAddrPort("8.8.8.8:80"), netip.Addr{}, xds.Signal{Kind: xds.Bytes, Hex: hex.EncodeToString([]byte(c.flight))})
		if vd.Kind != c.kind || vd.Status != c.status {
			t.Errorf("%q: %s %d, want %s %d", c.flight, vd.Kind, vd.Status, c.kind, c.status)
		}
	}
}

// TestAddressTwice: a listener may name an address twice.
func TestAddressTwice(t *testing.T) {
	l := tcpListener("twice", 80, tcpChain(t, "", "", "m"))
	l.AdditionalAddresses = []*listenerv3.AdditionalAddress{{Address: l.Address}}
	w := newWorld()
	v := w.engine.View(w.handMade(t, outbound(t, "pt"), l).snap, Env{Istio: true})
	if vd := v.Resolve(netip.MustParseAddrPort("10.1.7.7:80"), netip.Addr{}, xds.Signal{Kind: xds.Bytes}); vd.Listener != "twice" || vd.Kind == xds.Unknown {
		t.Errorf("%+v", vd)
	}
}

// TestDisabledBeforeRestored: an inspector of virtualOutbound runs before the
// destination is restored, so its own port decides whether it is disabled.
func TestDisabledBeforeRestored(t *testing.T) {
	for _, c := range []struct {
		from, to int32
		want     xds.VerdictKind
	}{{15001, 15002, xds.NoCluster}, {3306, 3307, xds.Stall}} {
		l := inspecting(t, outbound(t, "pt"))
		l.ListenerFilters[0].FilterDisabled = &listenerv3.ListenerFilterChainMatchPredicate{Rule: &listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange{
			DestinationPortRange: &typev3.Int32Range{Start: c.from, End: c.to}}}
		w := newWorld()
		v := w.engine.View(w.handMade(t, l).snap, Env{Istio: true})
		if vd := v.Resolve(netip.MustParseAddrPort("10.1.7.7:3306"), netip.Addr{}, xds.Signal{Kind: xds.ServerFirst}); vd.Kind != c.want {
			t.Errorf("disabled for %d: %s %s, want %s", c.from, vd.Kind, vd.Reason, c.want)
		}
	}
}

// TestWiderRange: a matcher goes on with the next wider range where the tree below
// a range finds nothing.
func TestWiderRange(t *testing.T) {
	deeper := &matchTree{input: func(*query) (string, bool) { return "raw_buffer", true }, exact: map[string]*onMatch{"tls": {name: "narrow"}}}
	tree := &matchTree{input: func(q *query) (string, bool) { return q.dst.Addr().String(), true }, noMatch: &onMatch{name: "none"},
		ips: []ipMatch{{netip.MustParsePrefix("10.1.0.0/16"), false, &onMatch{tree: deeper}}, {netip.MustParsePrefix("10.0.0.0/8"), false, &onMatch{name: "wide"}}}}
	for dst, want := range map[string]string{"10.1.3.0:80": "wide", "10.2.0.0:80": "wide", "11.0.0.0:80": "none"} {
		if name, _, why := tree.match(&query{dst: netip.MustParseAddrPort(dst)}); name != want {
			t.Errorf("%s: %s %s, want %s", dst, name, why, want)
		}
	}
}

// TestShorterPrefix: so does one with the next shorter prefix; a range that is
// exclusive is only tried first.
func TestShorterPrefix(t *testing.T) {
	nothing := &onMatch{tree: &matchTree{list: []listMatch{}}}
	tree := &matchTree{input: func(q *query) (string, bool) { return q.dst.Addr().String(), true }, noMatch: &onMatch{name: "none"},
		prefix: []prefixMatch{{"10.1", nothing}, {"10", &onMatch{name: "short"}}},
		ips:    []ipMatch{{netip.MustParsePrefix("9.1.0.0/16"), false, nothing}, {netip.MustParsePrefix("9.0.0.0/8"), true, &onMatch{name: "wide"}}}}
	for dst, want := range map[string]string{"10.1.3.0:80": "short", "10.2.0.0:80": "short", "11.0.0.0:80": "none", "9.1.0.0:80": "none", "9.2.0.0:80": "wide"} {
		if name, _, why := tree.match(&query{dst: netip.MustParseAddrPort(dst)}); name != want {
			t.Errorf("%s: %s %s, want %s", dst, name, why, want)
		}
	}
}

// TestMappedAddress: a listener on an IPv4-mapped address has the IPv4 address
// only with ipv4_compat.
func TestMappedAddress(t *testing.T) {
	for _, compat := range []bool{false, true} {
		l := tcpListener("mapped", 80, tcpChain(t, "", "", "m"))
		l.Address.GetSocketAddress().Address, l.Address.GetSocketAddress().Ipv4Compat = "::ffff:10.1.7.7", compat
		w := newWorld()
		v := w.engine.View(w.handMade(t, outbound(t, "pt"), l).snap, Env{Istio: true})
		want := map[bool]string{false: "virtualOutbound", true: "mapped"}[compat]
		if vd := v.Resolve(netip.MustParseAddrPort("10.1.7.7:80"), netip.Addr{}, xds.Signal{Kind: xds.Bytes}); vd.Listener != want {
			t.Errorf("ipv4_compat %v: %s, want %s", compat, vd.Listener, want)
		}
	}
}
