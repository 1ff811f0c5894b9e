package faults

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

const (
	adsSotW  = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
	adsDelta = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
)

// plane is a control plane that hands each connection to the test.
type plane struct {
	net.Listener
	addr    string
	arrived chan net.Conn
}

func newPlane(t *testing.T) *plane {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return planeOn(t, l)
}

func planeOn(t *testing.T, l net.Listener) *plane {
	p := &plane{Listener: l, addr: l.Addr().String(), arrived: make(chan net.Conn, 2048)}
	var heard sync.WaitGroup
	heard.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			heard.Go(func() { p.hear(c.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		heard.Wait()
	})
	return p
}

// hear hands a connection over once it has said something: one that ends before
// was a probe.
func (p *plane) hear(c *net.TCPConn) {
	r := bufio.NewReader(c)
	if _, err := r.Peek(1); err != nil {
		_ = c.Close()
		return
	}
	p.arrived <- heard{c, r}
}

// heard is a connection that has said something.
type heard struct {
	*net.TCPConn
	r *bufio.Reader
}

func (h heard) Read(b []byte) (int, error) { return h.r.Read(b) }

// accept is the next connection that has said something.
func (p *plane) accept(t *testing.T) net.Conn {
	t.Helper()
	select {
	case c := <-p.arrived:
		return c
	case <-time.After(patience):
		t.Fatal("no connection reached the control plane")
		return nil
	}
}

// session is both ends of one forwarded connection, and one stream on it.
type session struct {
	t              *testing.T
	plane          *plane
	client, server *end
	stream         uint32
}

// connect connects through target to p. What arrives there next is the other end:
// one at a time.
func connect(t *testing.T, target string, p *plane) *session {
	t.Helper()
	s := &session{t: t, client: newEnd(dial(t, target)), plane: p, stream: 1}
	t.Cleanup(func() { _ = s.client.Close() })
	return s
}

// met waits for the other end, which is there once the client has said something.
func (s *session) met() *end {
	s.t.Helper()
	if s.server == nil {
		s.server = newEnd(s.plane.accept(s.t))
		s.t.Cleanup(func() { _ = s.server.Close() })
	}
	return s.server
}

// dial connects to host:port or, when target begins with /, to a Unix socket.
func dial(t *testing.T, target string) net.Conn {
	t.Helper()
	c, err := dialRaw(target)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func dialRaw(target string) (net.Conn, error) {
	network := "tcp"
	if target[0] == '/' {
		network = "unix"
	}
	return net.DialTimeout(network, target, patience)
}

// open begins HTTP/2 and a discovery stream.
func (s *session) open(method string) *session {
	s.t.Helper()
	s.begin()
	s.stream1(method)
	return s
}

// begin begins HTTP/2.
func (s *session) begin() {
	s.t.Helper()
	go s.client.listen(false)
	if err := s.client.greet(true); err != nil {
		s.t.Fatal(err)
	}
	go s.met().listen(true)
	if err := s.server.greet(false); err != nil {
		s.t.Fatal(err)
	}
}

func (s *session) stream1(method string) {
	s.t.Helper()
	headers(s.t, s.client, s.stream, false, ":method", "POST", ":scheme", "http", ":path", method, ":authority", "istiod",
		"content-type", "application/grpc", "te", "trailers")
	headers(s.t, s.server, s.stream, false, ":status", "200", "content-type", "application/grpc")
}

// request sends raw to the control plane and waits until it is there.
func (s *session) request(raw []byte) {
	s.t.Helper()
	if err := carry(s.client, s.server, s.stream, raw); err != nil {
		s.t.Fatalf("a request of %d bytes: %v", len(raw), err)
	}
}

// push sends raw to the client and waits until it is there.
func (s *session) push(raw []byte) {
	s.t.Helper()
	if err := s.tryPush(raw); err != nil {
		s.t.Fatalf("a push of %d bytes: %v", len(raw), err)
	}
}

func (s *session) tryPush(raw []byte) error { return carry(s.server, s.client, s.stream, raw) }

func carry(from, to *end, stream uint32, raw []byte) error {
	sent := make(chan error, 1)
	go func() { sent <- from.send(stream, raw) }()
	got, err := to.next()
	if err != nil {
		return err
	}
	if got != messageOf(raw) {
		return errors.New("other bytes arrived")
	}
	return <-sent
}

// update sends a push and its ACK.
func (s *session) update(nonce string, push []byte) {
	s.t.Helper()
	s.push(push)
	s.request(ack(nonce))
}

// finish ends the connection in order, and compares what each end read with what
// the other wrote, byte for byte.
func (s *session) finish() {
	s.t.Helper()
	_ = s.client.halfClose() // an end that is gone shows below
	if err := s.server.ended(); !errors.Is(err, io.EOF) {
		s.t.Errorf("the server's end: %v", err)
	}
	_ = s.server.Close()
	if err := s.client.ended(); !errors.Is(err, io.EOF) {
		s.t.Errorf("the client's end: %v", err)
	}
	_ = s.client.Close()
	s.identical()
}

// identical fails unless both ends read what the other wrote.
func (s *session) identical() {
	s.t.Helper()
	if up, down := s.client.wrote.String(), s.server.read.String(); up != down {
		s.t.Errorf("upwards: sent %s, arrived %s", up, down)
	}
	if down, up := s.server.wrote.String(), s.client.read.String(); up != down {
		s.t.Errorf("downwards: sent %s, arrived %s", down, up)
	}
}
