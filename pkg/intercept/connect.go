package intercept

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// errGone ends a dial that nobody waits for any more.
var errGone = errors.New("the client has gone")

// handshakeTime is how long a client may take for its part of a TLS handshake.
// What upstream takes meanwhile is not counted.
const handshakeTime = 10 * time.Second

// greetError is a TLS handshake downstream that failed.
type greetError struct{ error }

func (e *greetError) Unwrap() error { return e.error }

// connect dials upstream for a client, and shakes hands with the client where
// there is TLS on its side.
func (r *Relay) connect(hard context.Context, raw net.Conn) (down, up net.Conn, err error) {
	if r.cfg.ListenTLS != nil {
		return r.greet(hard, raw)
	}
	up, err = r.dial(hard, raw, []string{"h2"})
	return raw, up, err
}

// greet shakes hands with a client. Upstream is dialled in the middle of it, when
// the client has said what it speaks: it is answered what upstream chose of that.
func (r *Relay) greet(hard context.Context, raw net.Conn) (down, up net.Conn, err error) {
	var dialled error
	server := tls.Server(raw, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		_ = raw.SetDeadline(time.Time{})
		defer func() { _ = raw.SetDeadline(time.Now().Add(handshakeTime)) }()
		config, err := r.cfg.ListenTLS()
		if err != nil {
			return nil, err
		}
		if up, dialled = r.dial(hard, raw, hello.SupportedProtos); dialled != nil {
			return nil, dialled
		}
		return speaking(config, chosen(up, hello.SupportedProtos)), nil
	}})
	_ = raw.SetDeadline(time.Now().Add(handshakeTime))
	err = server.HandshakeContext(hard)
	_ = raw.SetDeadline(time.Time{})
	switch {
	case dialled != nil:
		return nil, nil, dialled
	case err != nil:
		if up != nil {
			reset(up)
		}
		return nil, nil, &greetError{fmt.Errorf("TLS with the client %s: %w", peerOf(raw), err)}
	}
	return server, up, nil
}

// dial connects to upstream, for as long as the client is there.
func (r *Relay) dial(hard context.Context, raw net.Conn, protos []string) (net.Conn, error) {
	ctx, cancel := context.WithCancelCause(hard)
	defer cancel(nil)
	stop := watch(raw, func() { cancel(errGone) })
	up, err := r.dialTLS(ctx, protos)
	stop()
	switch {
	case err == nil:
		r.cfg.Stats.DialedAt.Store(time.Now().UnixNano())
		return up, nil
	case errors.Is(context.Cause(ctx), errGone):
		return nil, errGone
	}
	return nil, fmt.Errorf("connecting to upstream %s: %w", r.upstream, err)
}

func (r *Relay) dialTLS(ctx context.Context, protos []string) (net.Conn, error) {
	if r.cfg.UpstreamTLS == nil {
		return r.upstream.dial(ctx, nil, r.cfg.SocketBuffer)
	}
	config, err := r.cfg.UpstreamTLS()
	if err != nil {
		return nil, err
	}
	return r.upstream.dial(ctx, speaking(config, protos), r.cfg.SocketBuffer)
}

// speaking is c with other protocols for ALPN.
func speaking(c *tls.Config, protos []string) *tls.Config {
	c = c.Clone()
	c.NextProtos = protos
	return c
}

// chosen is what upstream speaks of what was offered. Without TLS that is HTTP/2
// with prior knowledge.
func chosen(up net.Conn, offered []string) []string {
	if t, ok := up.(*tls.Conn); ok {
		if p := t.ConnectionState().NegotiatedProtocol; p != "" {
			return []string{p}
		}
		return nil
	}
	if slices.Contains(offered, "h2") {
		return []string{"h2"}
	}
	return nil
}
