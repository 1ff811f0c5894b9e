package intercept

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// hanging is a TLS upstream that shakes hands with nobody until it is told to.
func hanging(t *testing.T) (l net.Listener, c Config, serve func(net.Conn) *tls.Conn) {
	t.Helper()
	cert, pool := selfSigned(t)
	l, addr := listen(t, "tcp")
	c = Config{Upstream: addr, Stats: &Stats{}, UpstreamTLS: always(&tls.Config{RootCAs: pool, ServerName: "localhost"})}
	return l, c, func(raw net.Conn) *tls.Conn {
		return tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}})
	}
}

func dialAccept(t *testing.T, r *Relay, l net.Listener) (client *net.TCPConn, server net.Conn) {
	t.Helper()
	c, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = c.Close(), server.Close() })
	return c.(*net.TCPConn), server
}

// TestClientLeavesDuringDial: a client that goes away while upstream hangs takes
// everything with it, whatever it had sent before.
func TestClientLeavesDuringDial(t *testing.T) {
	for name, leave := range map[string]func(*net.TCPConn){
		"reset":             func(c *net.TCPConn) { _ = c.SetLinger(0) },
		"closed":            func(*net.TCPConn) {},
		"closed after data": func(c *net.TCPConn) { _, _ = c.Write(clientHead()) },
	} {
		l, config, _ := hanging(t)
		client, server := dialAccept(t, startRelay(t, config), l)
		leave(client)
		_ = client.Close()
		if _, err := io.Copy(io.Discard, server); err != nil && !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("%s: %v, want the end", name, err)
		}
		eventually(t, func() bool { return config.Stats.Active.Load() == 0 && config.Stats.Abandoned.Load() == 1 })
		if n := config.Stats.DialFailures.Load(); n != 0 {
			t.Errorf("%s: %d failed dials counted", name, n)
		}
	}
}

// TestHangingDialsStopNobody: connections that wait for upstream leave the others
// alone.
func TestHangingDialsStopNobody(t *testing.T) {
	l, config, serve := hanging(t)
	r := startRelay(t, config)
	for range 50 {
		dialAccept(t, r, l)
	}
	client, server := dialAccept(t, r, l)
	in := recordedBytes(t, "13-istio-filters")
	exchange(t, "behind 50 that hang", client, serve(server), in[0], in[1])
}

// TestHalfCloseDuringDial: what a client sent, and that it sends no more, reaches
// an upstream that took its time.
func TestHalfCloseDuringDial(t *testing.T) {
	l, config, serve := hanging(t)
	client, raw := dialAccept(t, startRelay(t, config), l)
	_, _ = client.Write([]byte("early"))
	_ = client.CloseWrite()
	server := serve(raw)
	if b, err := io.ReadAll(server); err != nil || string(b) != "early" {
		t.Fatalf("%q, %v", b, err)
	}
	_, _ = server.Write([]byte("late"))
	b := make([]byte, 4)
	if _, err := io.ReadFull(client, b); err != nil || string(b) != "late" {
		t.Fatalf("%q, %v", b, err)
	}
}

// tlsPair connects through a relay with TLS on both sides.
func tlsPair(t *testing.T, config Config, protos []string, client *tls.Config) (down *tls.Conn, up chan *tls.Conn) {
	t.Helper()
	cert, pool := selfSigned(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protos})
	if err != nil {
		t.Fatal(err)
	}
	up = make(chan *tls.Conn, 1)
	var g sync.WaitGroup
	g.Go(func() {
		if c, err := l.Accept(); err == nil {
			_ = c.(*tls.Conn).Handshake()
			up <- c.(*tls.Conn)
		}
	})
	t.Cleanup(func() { _ = l.Close(); g.Wait() })
	config.Upstream, config.UpstreamTLS = l.Addr().String(), always(&tls.Config{RootCAs: pool, ServerName: "localhost"})
	own, trust := selfSigned(t)
	server, _ := config.listenTLS()
	server.Certificates = []tls.Certificate{own}
	config.ListenTLS = always(server)
	client.RootCAs, client.ServerName = trust, "localhost"
	c, err := net.Dial("tcp", startRelay(t, config).Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return tls.Client(c, client), up
}

func (c Config) listenTLS() (*tls.Config, error) {
	if c.ListenTLS == nil {
		return &tls.Config{}, nil
	}
	return c.ListenTLS()
}

// TestListenTLS: the bytes pass, and the client is answered the protocol that
// upstream chose of what the client offered.
func TestListenTLS(t *testing.T) {
	in := recordedBytes(t, "07-nack")
	for name, c := range map[string]struct {
		offers, speaks []string
		want           string
	}{
		"h2":      {[]string{"h2"}, []string{"h2"}, "h2"},
		"first":   {[]string{"h2", "http/1.1"}, []string{"http/1.1"}, "http/1.1"},
		"nothing": {nil, []string{"h2"}, ""},
		"no ALPN": {[]string{"h2"}, nil, ""},
	} {
		tap := &memory{}
		client, up := tlsPair(t, Config{Observer: newTestObserver(t, tap)}, c.speaks, &tls.Config{NextProtos: c.offers})
		if err := client.Handshake(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		server := <-up
		exchange(t, name, client, server, in[0], in[1])
		if got, above := client.ConnectionState().NegotiatedProtocol, server.ConnectionState().NegotiatedProtocol; got != c.want || above != c.want {
			t.Errorf("%s: %q below, %q above, want %q", name, got, above, c.want)
		}
		_, _ = client.Close(), server.Close()
		eventually(t, func() bool { return len(tap.kinds()) > 10 })
	}
}

// TestListenTLSRefused: a client without the certificate that is asked for is not
// let in, and upstream hears nothing but the end.
func TestListenTLSRefused(t *testing.T) {
	stats := &Stats{}
	config := Config{Stats: stats, ListenTLS: always(&tls.Config{ClientAuth: tls.RequireAndVerifyClientCert})}
	client, up := tlsPair(t, config, []string{"h2"}, &tls.Config{NextProtos: []string{"h2"}})
	_, _ = client.Write([]byte("hello")) // TLS 1.3: the client takes the handshake for done
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the client was let in")
	}
	if n, err := (<-up).Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("upstream read %d bytes, %v", n, err)
	}
	eventually(t, func() bool { return stats.HandshakeFailures.Load() == 1 && stats.Active.Load() == 0 })
}

// TestListenTLSDialFails: no upstream is a connection that ends, and counted as
// that.
func TestListenTLSDialFails(t *testing.T) {
	own, trust := selfSigned(t)
	l, addr := listen(t, "tcp")
	_ = l.Close()
	stats := &Stats{}
	r := startRelay(t, Config{Upstream: addr, Stats: stats, ListenTLS: always(&tls.Config{Certificates: []tls.Certificate{own}})})
	if _, err := tls.Dial("tcp", r.Addr().String(), &tls.Config{RootCAs: trust, ServerName: "localhost"}); err == nil {
		t.Error("shook hands")
	}
	eventually(t, func() bool { return stats.DialFailures.Load() == 1 && stats.HandshakeFailures.Load() == 0 })
}

// TestSockets: buffers are the kernel's own or bounded, on both sides, and dead
// peers are found.
func TestSockets(t *testing.T) {
	option := func(c net.Conn, level, name int) (v int) {
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err == nil {
			err = errors.Join(err, raw.Control(func(fd uintptr) { v, _ = unix.GetsockoptInt(int(fd), level, name) }))
		}
		if err != nil {
			t.Error(err)
		}
		return v
	}
	for _, buffer := range []int{0, 100 << 10} {
		l, addr := listen(t, "tcp")
		r := startRelay(t, Config{Upstream: addr, SocketBuffer: buffer})
		_, _ = dialAccept(t, r, l)
		eventually(t, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.open) == 2 })
		r.mu.Lock()
		for c := range r.open {
			for _, name := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF} {
				if v := option(c, unix.SOL_SOCKET, name); (v == 200<<10) != (buffer != 0) {
					t.Errorf("buffer %d: option %d is %d", buffer, name, v)
				}
			}
			if option(c, unix.SOL_SOCKET, unix.SO_KEEPALIVE) == 0 {
				t.Error("no keepalive")
			}
			if v := option(c, unix.IPPROTO_TCP, keepIdle); v != 15 {
				t.Errorf("keepalive after %d s", v)
			}
		}
		r.mu.Unlock()
	}
}
