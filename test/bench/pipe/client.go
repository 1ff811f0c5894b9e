package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// command is what the client is told, one JSON object a line.
type command struct {
	Op      string  `json:"op"`             // open, push, ping, read, close, digest
	ID      string  `json:"id"`             // of the group of streams
	Node    string  `json:"node,omitempty"` // what the clients call themselves; default ID
	Addr    string  `json:"addr,omitempty"`
	CA      string  `json:"ca,omitempty"` // speak TLS
	Streams int     `json:"streams,omitempty"`
	Payload string  `json:"payload,omitempty"`
	Churn   float64 `json:"churn,omitempty"`
	Burst   int     `json:"burst,omitempty"` // responses to the first request
	Echo    bool    `json:"echo,omitempty"`
	Wide    bool    `json:"wide,omitempty"` // windows that never fill
	Digest  bool    `json:"digest,omitempty"`
	Count   int     `json:"count,omitempty"`
}

// reply is the answer to a command, in nanoseconds.
type reply struct {
	Error   string  `json:"error,omitempty"`
	Latency []int64 `json:"latency,omitempty"` // of each message: server sends to client has it
	Wall    []int64 `json:"wall,omitempty"`    // of each step: beginning to last message
	Bytes   int64   `json:"bytes"`             // received
	Count   int     `json:"count"`             // messages received
	Digest  string  `json:"digest,omitempty"`
}

// client holds the streams of all groups.
type client struct {
	node    []byte
	control grpc.ClientStream
	groups  map[string]*group
}

type group struct {
	id      string
	typ     string
	streams []*clientStream
}

// clientStream is a connection of its own with one stream.
type clientStream struct {
	conn   *grpc.ClientConn
	stream grpc.ClientStream
	sum    hash.Hash
	typ    string
}

func clientRole(ctx context.Context, server string, in io.Reader, out io.Writer) error {
	rec, err := large()
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient("passthrough:///"+server, clientOptions(insecure.NewCredentials(), false)...)
	if err != nil {
		return err
	}
	c := &client{node: rec.node, groups: map[string]*group{}}
	if c.control, err = conn.NewStream(ctx, &anything, controlMethod); err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	if err := enc.Encode(started{}); err != nil {
		return err
	}
	for l := bufio.NewScanner(in); l.Scan(); {
		var cmd command
		if err := json.Unmarshal(l.Bytes(), &cmd); err != nil {
			return err
		}
		r, err := c.do(ctx, cmd)
		if err != nil {
			r.Error = fmt.Sprintf("%s %s: %v", cmd.Op, cmd.ID, err)
		}
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) do(ctx context.Context, cmd command) (r reply, err error) {
	if cmd.Op == "open" {
		return c.open(ctx, cmd)
	}
	g := c.groups[cmd.ID]
	if g == nil {
		return r, errors.New("no such group")
	}
	switch cmd.Op {
	case "push":
		for range max(cmd.Count, 1) {
			if err = c.push(g, &r); err != nil {
				return r, err
			}
		}
		return r, nil
	case "ping":
		return r, g.ping(cmd.Count, &r)
	case "read":
		return r, g.readAll(cmd.Count, &r)
	case "close":
		for _, s := range g.streams {
			_ = s.conn.Close()
		}
		delete(c.groups, cmd.ID)
		return r, nil
	case "digest":
		return c.digest(g)
	}
	return r, errors.New("no such command")
}

// open connects all streams of a group at once and sends their first requests.
func (c *client) open(ctx context.Context, cmd command) (r reply, err error) {
	g := &group{id: cmd.ID, typ: typeOf(cmd.Payload)}
	creds := insecure.NewCredentials()
	if cmd.CA != "" {
		if creds, err = credentials.NewClientTLSFromFile(cmd.CA, "localhost"); err != nil {
			return r, err
		}
	}
	n := max(cmd.Streams, 1)
	g.streams = make([]*clientStream, n)
	c.groups[cmd.ID] = g
	began := now()
	err = g.each(func(i int) error {
		s, err := c.connect(ctx, cmd, creds, g.typ, i)
		g.streams[i] = s
		return err
	})
	r.Wall = append(r.Wall, now()-began)
	if err != nil {
		return r, err
	}
	if cmd.Echo {
		return r, g.once(&r, false)
	}
	return r, c.known(g)
}

// known waits until the server has seen all streams of a group.
func (c *client) known(g *group) error {
	for {
		if err := c.tell(order{Key: g.id, Ask: true}); err != nil {
			return err
		}
		told, err := c.told()
		if err != nil || told.Streams == len(g.streams) {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// each does something for all streams at once.
func (g *group) each(do func(int) error) error {
	if len(g.streams) == 1 {
		return do(0)
	}
	errs := make([]error, len(g.streams))
	var wait sync.WaitGroup
	for i := range g.streams {
		wait.Go(func() { errs[i] = do(i) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (c *client) connect(ctx context.Context, cmd command, creds credentials.TransportCredentials, typ string, i int) (*clientStream, error) {
	conn, err := grpc.NewClient("passthrough:///"+cmd.Addr, clientOptions(creds, cmd.Wide)...)
	if err != nil {
		return nil, err
	}
	md := metadata.Pairs("bench-key", cmd.ID, "bench-payload", cmd.Payload, "bench-churn", fmt.Sprint(cmd.Churn), "bench-burst", strconv.Itoa(cmd.Burst))
	if cmd.Echo {
		md.Set("bench-echo", "1")
	}
	s := &clientStream{conn: conn, typ: typ}
	if cmd.Digest {
		s.sum = sha256.New()
		md.Set("bench-digest", "1")
	}
	s.stream, err = conn.NewStream(metadata.NewOutgoingContext(ctx, md), &anything, adsMethod, grpc.WaitForReady(true))
	if err != nil {
		return s, err
	}
	node := named(c.node, nodeID(fmt.Sprintf("%s-%d", cmp.Or(cmd.Node, cmd.ID), i)))
	return s, s.stream.SendMsg(plain(request(typ, "", "", node)))
}

// receive reads a response and acknowledges it. The time is taken when RecvMsg
// returns.
func (s *clientStream) receive(ack bool) (sent, got int64, size int, err error) {
	var f frame
	if err := s.stream.RecvMsg(&f); err != nil {
		return 0, 0, 0, err
	}
	got = now()
	nonce, sent, err := f.sentAt()
	size = f.data.Len()
	if s.sum != nil {
		for _, b := range f.data {
			s.sum.Write(b.ReadOnlyData())
		}
	}
	f.free()
	if err == nil && ack {
		err = s.stream.SendMsg(plain(request(s.typ, "2026-11-22T19:39:43Z/1", nonce, nil)))
	}
	return sent, got, size, err
}

// tell gives the server an order, past the proxies.
func (c *client) tell(o order) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return c.control.SendMsg(plain(b))
}

func (c *client) told() (r result, err error) {
	var f frame
	if err := c.control.RecvMsg(&f); err != nil {
		return r, err
	}
	defer f.free()
	return r, json.Unmarshal(f.data.Materialize(), &r)
}

// push is one push to all streams of a group, each acknowledged.
func (c *client) push(g *group, r *reply) error {
	if err := c.tell(order{Key: g.id}); err != nil {
		return err
	}
	if err := g.once(r, true); err != nil {
		return err
	}
	told, err := c.told()
	if err == nil && told.Streams != len(g.streams) {
		err = fmt.Errorf("pushed to %d of %d streams", told.Streams, len(g.streams))
	}
	return err
}

// once reads one response on each stream.
func (g *group) once(r *reply, ack bool) error {
	var mu sync.Mutex
	first, last := int64(0), int64(0)
	err := g.each(func(i int) error {
		sent, got, size, err := g.streams[i].receive(ack)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if first == 0 || sent < first {
			first = sent
		}
		last = max(last, got)
		r.Latency, r.Bytes, r.Count = append(r.Latency, got-sent), r.Bytes+int64(size), r.Count+1
		return nil
	})
	r.Wall = append(r.Wall, last-first)
	return err
}

func (g *group) readAll(n int, r *reply) error {
	for range n {
		if err := g.once(r, true); err != nil {
			return err
		}
	}
	return nil
}

// ping is a request and its response, one after the other.
func (g *group) ping(n int, r *reply) error {
	req := request(g.typ, "2026-11-22T19:39:43Z/1", "", nil)
	s := g.streams[0]
	for range n {
		t := now()
		if err := s.stream.SendMsg(plain(req)); err != nil {
			return err
		}
		_, got, size, err := s.receive(false)
		if err != nil {
			return err
		}
		r.Latency, r.Bytes, r.Count = append(r.Latency, got-t), r.Bytes+int64(size), r.Count+1
	}
	return nil
}

// digest compares what the server has sent with what has arrived.
func (c *client) digest(g *group) (r reply, err error) {
	if err := c.tell(order{Key: g.id, Digest: true}); err != nil {
		return r, err
	}
	told, err := c.told()
	if err != nil {
		return r, err
	}
	if r.Digest = hex.EncodeToString(g.streams[0].sum.Sum(nil)); r.Digest != told.Digest {
		err = fmt.Errorf("sent %s, received %s", told.Digest, r.Digest)
	}
	return r, err
}
