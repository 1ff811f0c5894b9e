package traffic

import (
	"net/netip"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

var fuzzTypes = []string{xds.ListenerType, xds.ClusterType, xds.RouteType, xds.EndpointType}

// FuzzResource puts one mutated resource among real ones and asks everything
// about it: whatever Envoy would reject gives unknown or another verdict, never a
// panic.
func FuzzResource(f *testing.F) {
	w := loadWorld(f, "oracle/synth-listeners/config_dump.json.gz")
	base := w.snaps[0]
	for i, typ := range fuzzTypes {
		n := 0
		for _, d := range base.All(typ) {
			if n++; n <= 25 {
				f.Add(i, w.bodies[d])
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind int, body []byte) {
		typ := fuzzTypes[uint(kind)%uint(len(fuzzTypes))]
		d := xds.DigestOf(body)
		bodies := func(x xds.Digest) ([]byte, bool) {
			if x == d {
				return body, true
			}
			b, ok := w.bodies[x]
			return b, ok
		}
		e := NewEngine(decode.New(bodies, 0))
		s := base
		for _, name := range []string{"fuzzed", "c1", "inline"} {
			s = s.With(typ, name, d)
		}
		askAll(e, s, typ, d, w.env)
	})
}

func askAll(e *Engine, s *state.Snapshot, typ string, d xds.Digest, env Env) {
	v := e.View(s, env)
	src := netip.MustParseAddr("10.0.0.9")
	dsts := []netip.AddrPort{netip.MustParseAddrPort("8.8.8.8:23022"), netip.MustParseAddrPort("[2001:db8::5]:23014")}
	if typ == xds.ListenerType {
		l := e.listener(d)
		dsts = append(dsts, l.keys...)
		v.fingerprint(l)
	}
	for _, dst := range dsts {
		for _, c := range v.Classes(dst, src) {
			v.Owner(c)
		}
		v.Resolve(dst, netip.Addr{}, xds.Signal{Kind: xds.HTTP11, Host: "a.ex", Path: "/x?y=1"})
	}
	e.Refs(typ, d)
	e.Deps(typ, d)
	v.Cluster("fuzzed")
	e.Compare(e.View(s.Without(typ, "fuzzed"), env), v)
}

// FuzzFlight classifies any first flight; a flight that is TLS to one reader is
// no HTTP to the other.
func FuzzFlight(f *testing.F) {
	for _, s := range []string{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", h2Preface, "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "*1\r\n$4\r\nPING\r\n", "\x80\x2e\x01\x03\x01", "PRI * HTTP"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fl := flight{exact: true, raw: b, size: len(b)}
		fl.classify()
		fl.unfinished()
		h, _ := fl.tlsState(maxHello)
		line, _ := fl.httpState()
		if h != nil && line != "" {
			t.Errorf("%q is both TLS and HTTP", b)
		}
	})
}
