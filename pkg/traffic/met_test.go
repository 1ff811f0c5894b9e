package traffic

import (
	"encoding/hex"
	"net/netip"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// This file holds what random configurations on a live Envoy (test/live) showed
// to be wrong once.

// TestPieces: what an HTTP connection manager does with less than a request.
func TestPieces(t *testing.T) {
	a, err := anypb.New(&hcmv3.HttpConnectionManager{StatPrefix: "h", RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{Name: "r"}}})
	if err != nil {
		t.Fatal(err)
	}
	web := tcpListener("web", 80, &listenerv3.FilterChain{Filters: []*listenerv3.Filter{{Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: a}}}})
	w := newWorld()
	v := w.engine.View(w.handMade(t, outbound(t, "pt"), web).snap, Env{Istio: true})
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
