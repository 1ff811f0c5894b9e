package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key = a.sign(&x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}, nil)
	return a
}

// sign makes a certificate and its key; without a parent it signs itself.
func (a *authority) sign(c *x509.Certificate, parent *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	by, with := c, key
	if parent != nil {
		by, with = parent.cert, parent.key
	}
	der, err2 := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, with)
	leaf, err3 := x509.ParseCertificate(der)
	if err := errors.Join(err, err2, err3); err != nil {
		a.t.Fatal(err)
	}
	return leaf, key
}

// files writes a certificate for localhost and for a URI, its key, and the
// authority's own certificate, in place of what stood there.
func (a *authority) files(dir, uri string) (cert, key, ca string) {
	a.t.Helper()
	id, _ := url.Parse(uri)
	leaf, k := a.sign(&x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, URIs: []*url.URL{id}}, a)
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})
		if err := errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path)); err != nil {
			a.t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", leaf.Raw), write("key.pem", "EC PRIVATE KEY", der), write("ca.pem", "CERTIFICATE", a.cert.Raw)
}

// side is one end's files, and the tls.Config that they make for a test.
type side struct {
	t              *testing.T
	dir, uri       string
	cert, key, own string
}

func newSide(t *testing.T, uri string, a *authority) *side {
	s := &side{t: t, dir: t.TempDir(), uri: uri}
	s.rotate(a)
	return s
}

func (s *side) rotate(a *authority) { s.cert, s.key, s.own = a.files(s.dir, s.uri) }

func (s *side) config(trust *side) *tls.Config {
	s.t.Helper()
	pair, err := loadPair(s.cert, s.key)
	pool, err2 := loadPool(trust.own)
	if err := errors.Join(err, err2); err != nil {
		s.t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool, ServerName: "localhost",
		ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2"}}
}

// TestProxyCertificates: TLS and client certificates on both sides. Every file of
// every side changes while connections are open: these stay, and new ones are made
// with what the files say then. Files that are no good change nothing.
func TestProxyCertificates(t *testing.T) {
	old := newAuthority(t)
	client, below := newSide(t, "spiffe://mesh/ns/shop/sa/web", old), newSide(t, "spiffe://mesh/proxy", old)
	above, server := newSide(t, "spiffe://mesh/proxy", old), newSide(t, "spiffe://mesh/istiod", old)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return server.config(above), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	go echo(l)
	defer l.Close()
	p := startTestProxy(t, proxyOptions{upstream: l.Addr().String(), relayOnly: true, serverName: "localhost",
		ca: server.own, cert: above.cert, key: above.key, listenCert: below.cert, listenKey: below.key, clientCA: client.own,
		clientNames: []string{"spiffe://mesh/ns/*/sa/web"}})
	try := func() (*tls.Conn, error) {
		c, err := tls.Dial("tcp", p.said("listen"), client.config(below))
		if err == nil {
			t.Cleanup(func() { _ = c.Close() })
			err = ping(c)
		}
		return c, err
	}
	first, err := try()
	if err != nil {
		t.Fatal(err)
	}
	renewed := newAuthority(t)
	for name, s := range map[string]*side{"client": client, "listen": below, "upstream": above, "server": server} {
		s.rotate(renewed)
		if _, err := try(); err != nil {
			t.Errorf("after the %s side's files changed: %v", name, err)
		}
	}
	if err := os.WriteFile(below.cert, []byte("half of a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := try(); err != nil {
		t.Errorf("with a broken certificate file: %v", err)
	}
	p.await("the old ones hold")
	if err := ping(first); err != nil {
		t.Errorf("the first connection: %v", err)
	}
	client.uri = "spiffe://mesh/ns/shop/sa/web/other"
	client.rotate(renewed)
	if _, err := try(); err == nil {
		t.Error("a client of another name was let in")
	}
	p.await("none of --listen-client-name")
	p.stop()
}

// echo gives every client back what it says.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}()
	}
}

func ping(c net.Conn) error {
	if _, err := c.Write([]byte("ping")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 4))
	return err
}

// TestByteSize reads what people write and writes it back.
func TestByteSize(t *testing.T) {
	for in, want := range map[string]string{"32MiB": "32MiB", "1.5GiB": "1536MiB", "1000": "1000", "2048": "2KiB", "0": "", "-1MiB": "", "1MB": "",
		"": "", "MiB": "", "NaN": "", "1e30": ""} {
		var n int64
		s := newByteSize(&n, 1)
		if err := s.Set(in); (err == nil) != (want != "") || err == nil && s.String() != want {
			t.Errorf("%q: %v, %q, want %q", in, err, s, want)
		}
	}
}
