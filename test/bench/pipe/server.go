package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"strconv"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// controlMethod is the way round all proxies: clients tell the server to push.
const controlMethod = "/bench.Control/Do"

// server is the control plane.
type server struct {
	rec *recording

	mu        sync.Mutex // guards what follows
	templates map[string]*payload
	sessions  map[string][]*session
}

// session is a stream that was asked for.
type session struct {
	stream grpc.ServerStream
	load   *payload
	churn  float64
	sum    hash.Hash // nil: nobody asks for it
}

// order is what a client tells over the control stream.
type order struct {
	Key    string `json:"key"`
	Digest bool   `json:"digest,omitempty"` // say what was sent, instead of pushing
	Ask    bool   `json:"ask,omitempty"`    // say how many streams there are, instead of pushing
}

// result is the answer to an order.
type result struct {
	Streams int    `json:"streams"`
	Digest  string `json:"digest,omitempty"`
}

// started is what a role says once it works.
type started struct {
	Addr string `json:"addr"`
	TLS  string `json:"tls,omitempty"`
	TID  int    `json:"tid,omitempty"` // of the recorder's thread
}

func serverRole(ctx context.Context, cert, key string, out io.Writer) error {
	rec, err := large()
	if err != nil {
		return err
	}
	s := &server{rec: rec, templates: map[string]*payload{}, sessions: map[string][]*session{}}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	at := started{Addr: plain.Addr().String()}
	serve := func(l net.Listener, c credentials.TransportCredentials) {
		g := grpc.NewServer(append(serverOptions(c), grpc.UnknownServiceHandler(s.handle))...)
		context.AfterFunc(ctx, g.Stop)
		go func() { _ = g.Serve(l) }()
	}
	serve(plain, insecure.NewCredentials())
	if cert != "" {
		creds, err := credentials.NewServerTLSFromFile(cert, key)
		if err != nil {
			return err
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		at.TLS = l.Addr().String()
		serve(l, creds)
	}
	if err := json.NewEncoder(out).Encode(at); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (s *server) handle(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	if method == controlMethod {
		return s.control(stream)
	}
	md, _ := metadata.FromIncomingContext(stream.Context())
	get := func(k string) string {
		if v := md.Get("bench-" + k); len(v) > 0 {
			return v[0]
		}
		return ""
	}
	se, err := s.open(stream, get)
	if err != nil {
		return err
	}
	var f frame
	if err := stream.RecvMsg(&f); err != nil {
		return err
	}
	f.free()
	key := get("key")
	s.mu.Lock()
	s.sessions[key] = append(s.sessions[key], se)
	s.mu.Unlock()
	defer s.close(key, se)
	burst, _ := strconv.Atoi(get("burst"))
	if get("echo") != "" {
		burst = 1
	}
	return s.talk(se, burst, get("echo") != "")
}

// talk answers the first request with a burst of responses; later ones only where
// echo is asked for, else they are answers themselves.
func (s *server) talk(se *session, burst int, echo bool) error {
	for n := burst; ; {
		for range n {
			if err := se.push(); err != nil {
				return err
			}
		}
		var f frame
		if err := se.stream.RecvMsg(&f); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		f.free()
		if n = 0; echo {
			n = 1
		}
	}
}

func (s *server) open(stream grpc.ServerStream, get func(string) string) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := get("payload")
	t := s.templates[name]
	if t == nil {
		var err error
		if t, err = s.make(name); err != nil {
			return nil, err
		}
		s.templates[name] = t
	}
	se := &session{stream: stream, load: t}
	se.churn, _ = strconv.ParseFloat(get("churn"), 64)
	if se.churn > 0 {
		se.load = t.clone()
	}
	if get("digest") != "" {
		se.sum = sha256.New()
	}
	return se, nil
}

// make builds a payload: eds, or a number of bytes of clusters.
func (s *server) make(name string) (*payload, error) {
	if name == "eds" {
		return s.rec.kilobyte()
	}
	size, err := strconv.Atoi(name)
	if err != nil {
		return nil, fmt.Errorf("a payload of %q bytes: %w", name, err)
	}
	one, err := s.rec.multiply(xds.ClusterType, 1, largeNames)
	if err != nil {
		return nil, err
	}
	all, err := s.rec.multiply(xds.ClusterType, max(1, size/(len(one[0])+3)), largeNames)
	if err != nil {
		return nil, err
	}
	return newPayload(xds.ClusterType, all), nil
}

func (s *server) close(key string, se *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.sessions[key]
	for i, x := range all {
		if x == se && se.sum == nil { // digests are asked for at the end
			s.sessions[key] = append(all[:i:i], all[i+1:]...)
			return
		}
	}
}

// push sends the payload, stamped with the time just before.
func (se *session) push() error {
	if se.churn > 0 {
		se.load.churn(se.churn)
	}
	f := se.load.stamped(now())
	if se.sum != nil {
		for _, b := range f.data {
			se.sum.Write(b.ReadOnlyData())
		}
	}
	return se.stream.SendMsg(f)
}

// control pushes to all streams of a key, one after the other, and says when the
// last was handed to gRPC.
func (s *server) control(stream grpc.ServerStream) error {
	for {
		var f frame
		if err := stream.RecvMsg(&f); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var o order
		err := json.Unmarshal(f.data.Materialize(), &o)
		f.free()
		if err != nil {
			return err
		}
		r, err := s.do(o)
		if err != nil {
			return err
		}
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if err := stream.SendMsg(plain(b)); err != nil {
			return err
		}
	}
}

func (s *server) do(o order) (result, error) {
	s.mu.Lock()
	all := append([]*session(nil), s.sessions[o.Key]...)
	s.mu.Unlock()
	r := result{Streams: len(all)}
	for _, se := range all {
		if o.Ask {
			continue
		}
		if o.Digest {
			if se.sum != nil {
				r.Digest = hex.EncodeToString(se.sum.Sum(nil))
			}
		} else if err := se.push(); err != nil {
			return r, fmt.Errorf("pushing to %s: %w", o.Key, err)
		}
	}
	return r, nil
}
