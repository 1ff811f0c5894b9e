package traffic

import (
	"slices"
	"strings"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rawv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// tlsEnd is a chain's own transport socket where that is TLS.
type tlsEnd struct {
	name    string
	alpn    []string      // in the order in which Envoy prefers them
	timeout time.Duration // of the handshake; 0 waits for ever
}

// compileTLSEnd returns nil for a chain that takes plaintext, and why a transport
// socket is not evaluated.
func compileTLSEnd(fc *listenerv3.FilterChain) (*tlsEnd, string) {
	ts := fc.GetTransportSocket()
	if ts == nil || ts.GetTypedConfig() == nil && strings.HasSuffix(ts.GetName(), "raw_buffer") {
		return nil, ""
	}
	m, err := decode.Any(ts.GetTypedConfig())
	if err != nil {
		return nil, "transport socket " + ts.GetName() + " is not evaluated: " + err.Error()
	}
	switch m := m.(type) {
	case *rawv3.RawBuffer:
		return nil, ""
	case *tlsv3.DownstreamTlsContext:
		return &tlsEnd{ts.GetName(), m.GetCommonTlsContext().GetAlpnProtocols(), fc.GetTransportSocketConnectTimeout().AsDuration()}, ""
	}
	return nil, "transport socket " + ts.GetName() + " is not evaluated"
}

// terminate is what a chain's own transport socket makes of the client: what is
// not TLS is closed, and inside TLS nothing is known but what the signal says.
func (x *conn) terminate(c *chain) (xds.Verdict, bool) {
	if c.hangsUp() {
		return xds.Verdict{Kind: xds.NoChain, Reason: "a filter answers and closes before the TLS handshake"}, true
	}
	switch vd, st := x.handshake(c.end); {
	case st == waiting && x.f.size == 0:
		return x.beforeBytes(c.filters, vd), true
	case st != decided:
		return vd, true
	}
	inner := &flight{kind: xds.Bytes, size: x.f.size, opaque: true}
	if q := x.f.inner; q != nil {
		q = q.over(c.end.negotiates(x.f.hello.alpn))
		inner = &flight{kind: q.proto, size: x.f.size, line: string(q.proto), req: q}
	}
	x.f, x.insideTLS = inner, true
	x.step("TLS ends here")
	return xds.Verdict{}, false
}

// hangsUp reports a filter that answers when the connection starts: behind TLS its
// answer goes nowhere, and the connection is closed.
func (c *chain) hangsUp() bool {
	for _, n := range c.filters {
		switch n := n.(type) {
		case answers:
			return n.atOnce
		case undecided, *tcpProxy, *hcm:
			return false
		}
	}
	return false
}

// handshake says whether there will be one, and the verdict where there is none.
func (x *conn) handshake(t *tlsEnd) (xds.Verdict, progress) {
	h, st := x.f.hello, decided
	if x.f.exact {
		h, st = parseHello(x.f.raw, maxHello)
	} else if x.f.size == 0 {
		st = waiting
	}
	switch {
	case st == waiting:
		return t.expires(), waiting
	case st != decided:
		return unknown("what TLS makes of these bytes is not evaluated"), unclear
	case h == nil:
		return xds.Verdict{Kind: xds.NoChain, Reason: "the chain wants TLS (" + t.name + ")"}, closing
	case x.f.exact:
		return unknown("the first flight is the begin of a handshake, and how it goes on is not known"), unclear
	}
	return xds.Verdict{}, decided
}

// expires is the end of a handshake that does not go on
// (transport_socket_connect_timeout in source/common/listener_manager/active_tcp_listener.cc).
func (t *tlsEnd) expires() xds.Verdict {
	switch {
	case t.timeout == 0:
		return xds.Verdict{Kind: xds.Stall, Reason: "the chain waits for a TLS handshake, without a timeout"}
	case t.timeout >= patience:
		return unknown("the chain waits " + t.timeout.String() + " for a TLS handshake and closes then: a stall or a close, by who gives up first")
	}
	return xds.Verdict{Kind: xds.NoChain, Reason: "the chain waits for a TLS handshake until the timeout closes the connection"}
}

// negotiates is what both sides speak inside: Envoy's preference decides, HTTP/1.1
// is what is left (ContextImpl::parseAlpnProtocols in source/common/tls/context_impl.cc).
func (t *tlsEnd) negotiates(offered []string) xds.SignalKind {
	for _, p := range t.alpn {
		if slices.Contains(offered, p) && p == "h2" {
			return xds.H2C
		} else if slices.Contains(offered, p) {
			break
		}
	}
	return xds.HTTP11
}
