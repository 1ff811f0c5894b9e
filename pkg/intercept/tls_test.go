package intercept

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"runtime"
	"testing"
	"time"
)

// selfSigned is a certificate for localhost and the pool that trusts it.
func selfSigned(tb testing.TB) (tls.Certificate, *x509.CertPool) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func always(c *tls.Config) func() (*tls.Config, error) {
	return func() (*tls.Config, error) { return c, nil }
}

// TestUpstreamTLS: plaintext below, TLS above, ALPN h2, the same bytes.
func TestUpstreamTLS(t *testing.T) {
	cert, pool := selfSigned(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tap := &memory{}
	in := recordedBytes(t, "07-nack")
	for mode, c := range modes(t, tap) {
		c.Upstream, c.UpstreamTLS = l.Addr().String(), always(&tls.Config{RootCAs: pool, ServerName: "localhost"})
		r := startRelay(t, c)
		client, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, mode, client, server, in[0], in[1])
		if p := server.(*tls.Conn).ConnectionState().NegotiatedProtocol; p != "h2" {
			t.Errorf("%s: negotiated %q", mode, p)
		}
		_, _ = client.Close(), server.Close()
	}
	eventually(t, func() bool { return len(tap.kinds()) > 10 })
}

// TestUpstreamTLSRefused: a certificate that does not fit is a failed dial.
func TestUpstreamTLSRefused(t *testing.T) {
	cert, _ := selfSigned(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			_ = c.(*tls.Conn).Handshake()
			_ = c.Close()
		}
	}()
	stats := &Stats{}
	r := startRelay(t, Config{Upstream: l.Addr().String(), UpstreamTLS: always(&tls.Config{ServerName: "localhost"}), Stats: stats})
	client, err := net.Dial("tcp", r.Addr().String())
	if err == nil {
		_, err = client.Read(make([]byte, 1))
		_ = client.Close()
	}
	if err == nil || errors.Is(err, io.EOF) {
		t.Errorf("%v, want a reset", err)
	}
	eventually(t, func() bool { return stats.DialFailures.Load() == 1 })
}

// TestIdleConnections: what a connection costs that has nothing to say.
func TestIdleConnections(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has its own memory")
	}
	l, addr := listen(t, "tcp")
	r := startRelay(t, Config{Upstream: addr, Observer: newTestObserver(t, &memory{})})
	const n = 300
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	conns := make([]net.Conn, 0, 2*n)
	for range n {
		c, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(clientHead())
		_, _ = io.ReadFull(s, make([]byte, len(clientHead())))
		conns = append(conns, c, s)
	}
	goroutines := runtime.NumGoroutine()
	runtime.GC()
	runtime.ReadMemStats(&after)
	for _, c := range conns {
		_ = c.Close()
	}
	each := (int64(after.HeapInuse+after.StackInuse) - int64(before.HeapInuse+before.StackInuse)) / n
	t.Logf("%d KiB and %.1f goroutines for each connection with one stream, both ends' sockets included", each>>10, float64(goroutines)/n)
	if each > 40<<10 {
		t.Errorf("%d KiB for each idle connection", each>>10)
	}
}
