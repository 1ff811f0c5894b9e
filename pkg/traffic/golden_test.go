package traffic_test

import (
	"net/netip"
	"path/filepath"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

type golden struct {
	dump, dst string
	sig       xds.Signal
	want      string // kind, then inspection or target
	cluster   string
}

func kind(k xds.SignalKind) xds.Signal { return xds.Signal{Kind: k} }
func http(host string) xds.Signal      { return xds.Signal{Kind: xds.HTTP11, Host: host, Path: "/"} }
func tlsTo(sni string) xds.Signal      { return xds.Signal{Kind: xds.TLS, SNI: sni} }
func recorded(dir, step string) string {
	return recordings + "/" + dir + "/envoy-config-dump-" + step + ".json"
}

// The shapes that everything is about, as real istiods generate them.
func TestGolden(t *testing.T) {
	cidr := recorded("05-cidr-and-exact", "20-all-five")
	before, after := recorded("01-seed-mysql-delta", "10-before"), recorded("01-seed-mysql-delta", "20-capture")
	cured := recorded("01-seed-mysql-delta", "30-cure-deleted")
	http20, tcp30 := recorded("04-default-chain-flip", "20-http-se"), recorded("04-default-chain-flip", "30-tcp-se")
	zero := oracleDir + "/istio-zero-cidr/config_dump.json"
	for _, c := range []golden{
		// Longest prefix decides before SNI and ALPN, an exact listener before all.
		{cidr, "10.1.2.3:5008", kind(xds.ServerFirst), "service original-dst", "outbound|5008||v.example"},
		{cidr, "10.1.9.9:5008", http("x.example"), "service original-dst", "outbound|5008||y.example"},
		{cidr, "10.9.9.9:5008", tlsTo("w.example"), "service original-dst", "outbound|5008||z.example"},
		{cidr, "8.8.8.8:5008", tlsTo("w.example"), "service original-dst", "outbound|5008||w.example"},
		{cidr, "8.8.8.8:5008", tlsTo("other.ex"), "passthrough sniffed", "PassthroughCluster"},
		{cidr, "8.8.8.8:5008", http("x.example"), "service original-dst", "outbound|5008||x.example"},
		{cidr, "8.8.8.8:5008", http("other.ex"), "passthrough http", "PassthroughCluster"},
		{cidr, "8.8.8.8:5008", kind(xds.HTTP10), "passthrough sniffed", "PassthroughCluster"},
		{cidr, "8.8.8.8:5008", kind(xds.Bytes), "passthrough sniffed", "PassthroughCluster"},
		{cidr, "8.8.8.8:5008", kind(xds.ServerFirst), "stall", ""},
		{cidr, "10.9.9.9:5008", kind(xds.ServerFirst), "stall", ""},
		{cidr, "[2001:db8::5]:5008", kind(xds.Bytes), "refused", ""},
		// A ServiceEntry without addresses takes the whole port.
		{before, "10.10.13.110:3306", kind(xds.ServerFirst), "passthrough none", "PassthroughCluster"},
		{after, "10.10.13.110:3306", kind(xds.ServerFirst), "no-endpoints", "outbound|3306||mysql.demo"},
		{after, "10.68.228.107:3306", kind(xds.ServerFirst), "service endpoints", "outbound|3306||mysql.shop.svc.cluster.local"},
		{after, "10.10.13.110:3307", kind(xds.ServerFirst), "passthrough none", "PassthroughCluster"},
		{cured, "10.10.13.110:3306", kind(xds.ServerFirst), "passthrough none", "PassthroughCluster"},
		// An HTTP port's default chain flips: no new listener, and all but HTTP is taken.
		{http20, "10.44.0.1:9000", kind(xds.Bytes), "passthrough sniffed", "PassthroughCluster"},
		{tcp30, "10.44.0.1:9000", kind(xds.Bytes), "service endpoints", "outbound|9000||legacy.partner.example"},
		{tcp30, "10.44.0.1:9000", http("unknown.example"), "passthrough http", "PassthroughCluster"},
		// The same entry is harmless where DNS is captured.
		{recorded("11-dns-capture", "20-se-plain"), "10.10.13.110:3306", kind(xds.ServerFirst), "service endpoints", "outbound|3306||mysql.demo"},
		{recorded("11-dns-capture", "20-se-dnscapture"), "10.10.13.110:3306", kind(xds.ServerFirst), "passthrough none", "PassthroughCluster"},
		{recorded("11-dns-capture", "20-se-dnscapture"), "240.240.0.5:3306", kind(xds.ServerFirst), "service endpoints", "outbound|3306||mysql.demo"},
		// The key raw_buffer of an HTTP chain hides a chain that matches everything.
		{zero, "8.8.8.8:7401", kind(xds.Bytes), "passthrough sniffed", "PassthroughCluster"},
		{zero, "8.8.8.8:7401", kind(xds.HTTP10), "passthrough sniffed", "PassthroughCluster"},
		{zero, "8.8.8.8:7401", tlsTo("other.test"), "service endpoints", "outbound|7401||z-tcp.zero.ex"},
		{zero, "8.8.8.8:7401", tlsTo("z-tls.zero.ex"), "service endpoints", "outbound|7401||z-tls.zero.ex"},
	} {
		_, v := dumpView(t, readAll(t, c.dump))
		vd := v.Resolve(netip.MustParseAddrPort(c.dst), netip.MustParseAddr("10.0.0.9"), c.sig)
		got := string(vd.Kind)
		if s := vd.Inspection + vd.Target; s != "" {
			got += " " + s
		}
		if got != c.want || vd.Cluster != c.cluster {
			t.Errorf("%s %s %+v: %s %q (%s) %v, want %s %q", filepath.Base(c.dump), c.dst, c.sig, got, vd.Cluster, vd.Reason, vd.Path, c.want, c.cluster)
		}
	}
}

// What pod annotations take away from interception never reaches Envoy.
func TestInterception(t *testing.T) {
	notes, err := structpb.NewStruct(map[string]any{"ANNOTATIONS": map[string]any{
		"traffic.sidecar.istio.io/excludeOutboundPorts":    "3306, 9000",
		"traffic.sidecar.istio.io/excludeOutboundIPRanges": "10.96.0.0/14",
		"traffic.sidecar.istio.io/includeOutboundIPRanges": "10.0.0.0/8",
		"traffic.sidecar.istio.io/includeOutboundPorts":    "443",
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := openSession(t, recordings+"/01-seed-mysql-delta")
	s.until(readProbes(t, recordings+"/01-seed-mysql-delta/truth.jsonl")[0].T)
	v := s.engine.View(s.fold.Active(s.fold.Sidecars()[0]), traffic.Env{Istio: true, Node: &corev3.Node{Id: "sidecar~10.0.0.9~a.b~b.svc", Metadata: notes}})
	for dst, want := range map[string]xds.VerdictKind{
		"10.10.13.110:3306": xds.NotIntercepted, "10.97.1.1:80": xds.NotIntercepted, "8.8.8.8:80": xds.NotIntercepted,
		"8.8.8.8:443": xds.Passthrough, "10.1.1.1:81": xds.Passthrough, "127.0.0.1:81": xds.NotIntercepted,
	} {
		if vd := v.Resolve(netip.MustParseAddrPort(dst), netip.Addr{}, kind(xds.ServerFirst)); vd.Kind != want {
			t.Errorf("%s: %s (%s), want %s", dst, vd.Kind, vd.Reason, want)
		}
	}
}

// A snapshot of names without bodies answers nothing that it does not know.
func TestBodyless(t *testing.T) {
	s := openSession(t, recordings+"/01-seed-mysql-delta")
	s.until(readProbes(t, recordings+"/01-seed-mysql-delta/truth.jsonl")[0].T)
	snap := s.fold.Active(s.fold.Sidecars()[0])
	e := traffic.NewEngine(decode.New(func(xds.Digest) ([]byte, bool) { return nil, false }, 0))
	for _, view := range []*traffic.View{
		e.View(snap, traffic.Env{Istio: true}),
		s.engine.View(snap.With(xds.ListenerType, "virtualOutbound", xds.Bodyless), traffic.Env{Istio: true}),
		s.engine.View(snap.With(xds.ListenerType, "who-knows", xds.Bodyless), traffic.Env{Istio: true}),
		s.engine.View(snap.With(xds.ClusterType, "PassthroughCluster", xds.Bodyless), traffic.Env{Istio: true}),
	} {
		if vd := view.Resolve(netip.MustParseAddrPort("10.10.13.110:3306"), netip.Addr{}, kind(xds.Bytes)); vd.Kind != xds.Unknown || vd.Reason == "" {
			t.Errorf("%s %s %v", vd.Kind, vd.Reason, vd.Path)
		}
	}
}

// A cluster that nobody sent may be static, unless the node is Istio's.
func TestStaticClusters(t *testing.T) {
	e := traffic.NewEngine(decode.New(func(xds.Digest) ([]byte, bool) { return nil, false }, 0))
	for _, c := range []struct {
		env  traffic.Env
		name string
		want xds.VerdictKind
	}{
		{traffic.Env{Istio: true}, "nobody", xds.NoCluster},
		{traffic.Env{Istio: true}, "zipkin", xds.Unknown},
		{traffic.Env{}, "nobody", xds.Unknown},
	} {
		if got := e.View(nil, c.env).Cluster(c.name); got.Kind != c.want {
			t.Errorf("%+v %s: %s, want %s", c.env, c.name, got.Kind, c.want)
		}
	}
}

// A body that comes later is read, although it was missed before.
func TestBodyComesLater(t *testing.T) {
	s := openSession(t, recordings+"/01-seed-mysql-delta")
	s.until(readProbes(t, recordings+"/01-seed-mysql-delta/truth.jsonl")[0].T)
	snap, there := s.fold.Active(s.fold.Sidecars()[0]), false
	e := traffic.NewEngine(decode.New(func(d xds.Digest) ([]byte, bool) {
		b, ok := s.bodies(d)
		return b, ok && there
	}, 0))
	for _, want := range []xds.VerdictKind{xds.Unknown, xds.Passthrough} {
		// Another node makes the view start from scratch.
		v := e.View(snap, traffic.Env{Istio: true, Node: &corev3.Node{}})
		if vd := v.Resolve(netip.MustParseAddrPort("10.10.13.110:3306"), netip.Addr{}, kind(xds.Bytes)); vd.Kind != want {
			t.Errorf("%s (%s), want %s", vd.Kind, vd.Reason, want)
		}
		there = true
	}
}
