package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// line is one line of a recorded session.
type line struct {
	T        time.Time           `json:"t"`
	Stream   uint64              `json:"stream"`
	Event    string              `json:"event"`
	Method   string              `json:"method"`
	Metadata map[string][]string `json:"metadata"`
	Raw      []byte              `json:"raw"`
	By       string              `json:"by"`
	Code     string              `json:"code"`
	Message  string              `json:"message"`
}

func session(t *testing.T, name string) []line {
	t.Helper()
	f, err := os.Open("../recordings/" + name + "/session.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []line
	for sc := bufio.NewReaderSize(z, 1<<20); ; {
		b, err := sc.ReadBytes('\n')
		if len(b) > 0 {
			var l line
			if err := json.Unmarshal(b, &l); err != nil {
				t.Fatal(err)
			}
			out = append(out, l)
		}
		if err != nil {
			return out
		}
	}
}

// rawCodec hands message bytes through, so that what was recorded is sent.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)   { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(b []byte, v any) error { *v.(*[]byte) = bytes.Clone(b); return nil }
func (rawCodec) Name() string                    { return "proto" }

// player plays a recorded session over the network: both ends are its own, and
// every message is awaited at the other end before the next one is sent, so that
// order is that of the recording.
type player struct {
	t       *testing.T
	srv     *grpc.Server
	addr    string
	arrived chan *end // streams that reached the server
	streams map[uint64]*played
	proxy   *proxy // when set, each message is awaited in its observer too
	last    string // the kind of the last message
	count   map[string]int
}

// end is the server's end of one stream.
type end struct {
	stream grpc.ServerStream
	got    chan []byte
	quit   chan error
}

// played is one stream while it is played.
type played struct {
	conn   *grpc.ClientConn
	cancel context.CancelFunc
	client grpc.ClientStream
	server *end
}

func newPlayer(t *testing.T) *player {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &player{t: t, addr: lis.Addr().String(), arrived: make(chan *end), streams: map[uint64]*played{}, count: map[string]int{}}
	p.srv = grpc.NewServer(grpc.ForceServerCodec(rawCodec{}), grpc.UnknownServiceHandler(p.handle), grpc.MaxRecvMsgSize(64<<20))
	go func() { _ = p.srv.Serve(lis) }()
	t.Cleanup(p.srv.Stop)
	return p
}

// handle keeps a stream open until the recording closes it.
func (p *player) handle(_ any, stream grpc.ServerStream) error {
	e := &end{stream: stream, got: make(chan []byte, 16), quit: make(chan error, 1)}
	p.arrived <- e
	go func() {
		for {
			var b []byte
			if err := stream.RecvMsg(&b); err != nil {
				return
			}
			e.got <- b
		}
	}()
	select {
	case err := <-e.quit:
		return err
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
}

// play plays lines through the proxy at target, to the end.
func (p *player) play(target string, lines []line) {
	p.t.Helper()
	if err := p.try(target, lines); err != nil {
		p.t.Fatal(err)
	}
}

// try plays lines until something fails, as when the proxy is killed.
func (p *player) try(target string, lines []line) error {
	defer p.end()
	for i, l := range lines {
		if i > 0 {
			pause(l.T.Sub(lines[i-1].T))
		}
		if err := p.step(target, l); err != nil {
			return fmt.Errorf("playing line %d (%s of stream %d): %w", i+1, l.Event, l.Stream, err)
		}
	}
	return nil
}

func (p *player) end() {
	for _, s := range p.streams {
		s.cancel()
		s.conn.Close()
	}
}

// pause keeps what a recorded silence means for settling, and not its length: a
// second without a push closes a group, more of it changes nothing.
func pause(recorded time.Duration) {
	if recorded >= time.Second {
		time.Sleep(1100 * time.Millisecond)
	}
}

func (p *player) step(target string, l line) error {
	s := p.streams[l.Stream]
	switch {
	case l.Event == "open":
		return p.open(target, l)
	case s == nil:
		return nil
	case l.Event == "request":
		p.inOrder("xdsproxy_requests_total")
		return s.request(l.Raw)
	case l.Event == "response":
		p.inOrder("xdsproxy_responses_total")
		return s.response(l.Raw)
	case l.Event == "close":
		delete(p.streams, l.Stream)
		return s.close(l)
	}
	return nil
}

// inOrder waits, where the direction changes, until the observer has read what
// went the other way: it promises order within a direction, not across.
func (p *player) inOrder(kind string) {
	if p.proxy != nil && p.last != "" && p.last != kind {
		for deadline := time.Now().Add(10 * time.Second); p.proxy.seen(p.last) < p.count[p.last] && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
	}
	p.last = kind
	p.count[kind]++
}

func (p *player) open(target string, l line) error {
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{}), grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(p.t.Context())
	md := metadata.MD{}
	for k, v := range l.Metadata {
		if k[0] != ':' && k != "content-type" && k != "user-agent" && k != "te" {
			md[k] = v
		}
	}
	cs, err := conn.NewStream(metadata.NewOutgoingContext(ctx, md), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, l.Method)
	if err != nil {
		cancel()
		return err
	}
	p.streams[l.Stream] = &played{conn: conn, cancel: cancel, client: cs, server: within(p.arrived)}
	if p.streams[l.Stream].server == nil {
		cancel()
		return errors.New("the stream did not arrive in 20 s")
	}
	return nil
}

func (s *played) request(raw []byte) error {
	if err := s.client.SendMsg(&raw); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	if got := within(s.server.got); !bytes.Equal(got, raw) {
		return fmt.Errorf("the server got %d bytes, sent were %d", len(got), len(raw))
	}
	return nil
}

func (s *played) response(raw []byte) error {
	if err := s.server.stream.SendMsg(&raw); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	var got []byte
	if err := s.client.RecvMsg(&got); err != nil {
		return fmt.Errorf("receiving: %w", err)
	}
	if !bytes.Equal(got, raw) {
		return fmt.Errorf("the client got %d bytes, sent were %d", len(got), len(raw))
	}
	return nil
}

func (s *played) close(l line) error {
	defer s.conn.Close()
	defer s.cancel()
	if l.By == "client" {
		return nil
	}
	s.server.quit <- status.Error(code(l.Code), l.Message)
	var b []byte
	if err := s.client.RecvMsg(&b); err == nil {
		return errors.New("a message instead of the end")
	}
	return nil
}

func code(name string) codes.Code {
	var c codes.Code
	for c = codes.OK; c <= codes.Unauthenticated; c++ {
		if c.String() == name {
			return c
		}
	}
	return codes.Unknown
}

// within receives, or returns the zero value after 20 s.
func within[T any](c <-chan T) T {
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		var zero T
		return zero
	}
}
