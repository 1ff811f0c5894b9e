package traffic_test

import (
	"net/netip"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func largeSession(b *testing.B) (*session, *state.Snapshot, traffic.Env) {
	b.Helper()
	s := openSession(b, filepath.Join(recordings, "10-large"))
	s.until(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
	id := s.fold.Sidecars()[0]
	v, _ := s.fold.View(id)
	return s, v.Active, traffic.Env{Node: s.node(b, v.Node), Istio: true}
}

func BenchmarkResolve(b *testing.B) {
	s, snap, env := largeSession(b)
	v := s.engine.View(snap, env)
	for _, c := range []struct {
		name, dst string
		sig       xds.Signal
	}{
		{"passthrough", "8.8.8.8:3306", xds.Signal{Kind: xds.ServerFirst}},
		{"http", "8.8.8.8:8080", xds.Signal{Kind: xds.HTTP11, Host: "svc-0060.team00.svc.cluster.local", Path: "/x"}},
		{"http-other", "8.8.8.8:8080", xds.Signal{Kind: xds.HTTP11, Host: "nobody.example", Path: "/x"}},
		{"tls", "8.8.8.8:443", xds.Signal{Kind: xds.TLS, SNI: "a.example"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			dst, src := netip.MustParseAddrPort(c.dst), netip.MustParseAddr("10.0.0.9")
			v.Resolve(dst, src, c.sig)
			b.ReportAllocs()
			for b.Loop() {
				v.Resolve(dst, src, c.sig)
			}
		})
	}
}

// BenchmarkFirstView compiles all listeners of a snapshot of about 3,000 services.
func BenchmarkFirstView(b *testing.B) {
	s, snap, env := largeSession(b)
	b.ReportAllocs()
	for b.Loop() {
		e := traffic.NewEngine(s.cache())
		e.View(snap, env).Resolve(netip.MustParseAddrPort("8.8.8.8:3306"), netip.Addr{}, xds.Signal{Kind: xds.ServerFirst})
	}
}

// BenchmarkNextView is a view after one listener has gone.
func BenchmarkNextView(b *testing.B) {
	s, snap, env := largeSession(b)
	dst := netip.MustParseAddrPort("8.8.8.8:3306")
	s.engine.View(snap, env).Resolve(dst, netip.Addr{}, xds.Signal{Kind: xds.ServerFirst})
	other := snap.Without(xds.ListenerType, "0.0.0.0_8080")
	runtime.GC()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.engine.View([]*state.Snapshot{other, snap}[i%2], env).Resolve(dst, netip.Addr{}, xds.Signal{Kind: xds.ServerFirst})
	}
}
