package faults

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// TestForeignBytes sends what is no discovery over HTTP/2, or is it in an unusual
// form, through one proxy: it arrives byte for byte.
func TestForeignBytes(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	x := start(t, config{upstream: p.addr})
	opaque := map[string][]byte{
		"HTTP/1.1":    []byte("GET /config_dump HTTP/1.1\r\nHost: istiod\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
		"TLS":         clientHello(t),
		"random":      []byte(noise(rand.New(rand.NewPCG(1, 1)), 200_000)),
		"half a hand": []byte(http2.ClientPreface[:20]),
		"prefaces":    []byte(strings.Repeat(http2.ClientPreface, 3)),
	}
	for name, b := range opaque {
		t.Run(name, func(t *testing.T) {
			s := connect(t, x.target, p)
			go s.client.swallow()
			if err := s.client.raw(b); err != nil {
				t.Fatal(err)
			}
			go s.met().swallow()
			s.came(s.client, s.server)
			if err := s.server.raw(b); err != nil {
				t.Fatal(err)
			}
			s.came(s.server, s.client)
			s.finish()
		})
	}
	for name, f := range unusual {
		t.Run(name, func(t *testing.T) {
			s := connect(t, x.target, p).open(adsSotW)
			f(s)
			s.finish()
		})
	}
	if n := x.metric("xdsproxy_unobserved_connections_total"); n < 3 {
		t.Errorf("%v connections counted as unobserved", n)
	}
	s := connect(t, x.target, p).open(adsSotW)
	s.request(firstRequest(t))
	s.update("after", cds(t, "after", 10, nil))
	s.finish()
	x.stop()
	seen := map[string]bool{}
	for _, push := range held(t, x.store).pushes() {
		seen[push.Version] = true
	}
	for _, v := range []string{"gzip", "padded", "large frame", "after"} {
		if !seen[v] {
			t.Errorf("the push %q was not recorded: %v", v, seen)
		}
	}
	verified(t, x.store)
}

// unusual are forms in which discovery may come, and a service that is none.
var unusual = map[string]func(*session){
	"gzip": func(s *session) {
		s.request(firstRequest(s.t))
		s.stream = 3
		headers(s.t, s.client, 3, false, ":method", "POST", ":scheme", "http", ":path", adsSotW, ":authority", "istiod",
			"content-type", "application/grpc", "te", "trailers", "grpc-accept-encoding", "gzip")
		headers(s.t, s.server, 3, false, ":status", "200", "content-type", "application/grpc", "grpc-encoding", "gzip")
		s.request(firstRequest(s.t))
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		_, _ = w.Write(cds(s.t, "gzip", 100, nil)) // into memory
		_ = w.Close()
		s.framed(s.server, s.client, prefixed(1, z.Bytes()), z.Bytes(), 0, 1000)
	},
	"padded": func(s *session) {
		s.request(firstRequest(s.t))
		b := cds(s.t, "padded", 100, nil)
		s.framed(s.server, s.client, prefixed(0, b), b, 255, 777)
	},
	"large frame": func(s *session) {
		s.request(firstRequest(s.t))
		b := cds(s.t, "large frame", 12_000, nil)
		s.framed(s.server, s.client, prefixed(0, b), b, 0, 1<<24-1)
	},
	"continuation": func(s *session) {
		b := block(":method", "POST", ":scheme", "http", ":path", adsDelta, ":authority", "istiod", "content-type", "application/grpc",
			"x-long", strings.Repeat("v", 20_000))
		err := s.client.do(func(f *http2.Framer) error {
			err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: b[:10]})
			for rest := b[10:]; len(rest) > 0; {
				n := min(len(rest), 999)
				err = errors.Join(err, f.WriteContinuation(3, n == len(rest), rest[:n]))
				rest = rest[n:]
			}
			return err
		})
		if err != nil {
			s.t.Fatal(err)
		}
		s.stream = 3
		s.request(content(s.t).first)
	},
	"unary": func(s *session) {
		s.stream = 3
		headers(s.t, s.client, 3, false, ":method", "POST", ":scheme", "http", ":path", "/istio.v1.auth.IstioCertificateService/CreateCertificate",
			":authority", "istiod", "content-type", "application/grpc")
		s.request([]byte("a signing request"))
		headers(s.t, s.server, 3, false, ":status", "200", "content-type", "application/grpc")
		s.push([]byte("a certificate"))
		headers(s.t, s.server, 3, true, "grpc-status", "0")
	},
	"unknown frames": func(s *session) {
		if err := s.server.do(func(f *http2.Framer) error {
			return errors.Join(f.WriteRawFrame(0xee, 0x55, 1, []byte("what is this")), f.WritePing(false, [8]byte{1}), f.WriteRawFrame(0xfe, 0, 0, nil))
		}); err != nil {
			s.t.Fatal(err)
		}
		s.request(firstRequest(s.t))
	},
}

// prefixed is a gRPC message with its head.
func prefixed(flag byte, b []byte) []byte {
	n := len(b)
	return append([]byte{flag, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, b...)
}

// framed sends wire in frames of one size, and awaits msg.
func (s *session) framed(from, to *end, wire, msg []byte, pad, size int) {
	s.t.Helper()
	sent := make(chan error, 1)
	go func() {
		sent <- from.do(func(f *http2.Framer) error {
			for rest := wire; len(rest) > 0; {
				n := min(len(rest), size)
				if err := f.WriteDataPadded(s.stream, false, rest[:n], make([]byte, pad)); err != nil {
					return err
				}
				rest = rest[n:]
			}
			return nil
		})
	}()
	got, err := to.next()
	if err != nil || got != messageOf(msg) {
		s.t.Errorf("other bytes arrived, or none: %v", err)
	}
	if err := <-sent; err != nil {
		s.t.Error(err)
	}
}

// clientHello is how a TLS client begins.
func clientHello(t *testing.T) []byte {
	t.Helper()
	client, server := net.Pipe()
	hello := make(chan []byte, 1)
	go func() {
		b := make([]byte, 4096)
		n, _ := server.Read(b)
		_ = server.Close()
		hello <- b[:n]
	}()
	_ = tls.Client(client, &tls.Config{ServerName: "istiod", NextProtos: []string{"h2"}}).HandshakeContext(t.Context()) // ends with the pipe
	return <-hello
}
