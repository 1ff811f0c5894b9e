package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xdsproxy/xdsproxy/pkg/intercept"
	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/store"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// relayConfig says what a relay does.
type relayConfig struct {
	Mode     string
	Upstream string
	CA       string // speak TLS to upstream
	Cert     string // speak TLS to clients
	Key      string
	Store    string
}

// relayRole is one of the proxies that xdsproxy is compared with, or xdsproxy's own
// parts with the recorder on a thread of its own.
func relayRole(ctx context.Context, c relayConfig, out io.Writer) error {
	var up, down *tls.Config
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return err
		}
		up = &tls.Config{ServerName: "localhost", RootCAs: x509.NewCertPool(), NextProtos: []string{"h2"}}
		up.RootCAs.AppendCertsFromPEM(pem)
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return err
		}
		down = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}}
	}
	switch c.Mode {
	case "split":
		return split(ctx, c, down, up, out)
	case "grpc-ref", "grpc-decode":
		return grpcRelay(ctx, c, out)
	case "splice", "copy":
		return byteRelay(ctx, c, down, up, out)
	}
	return fmt.Errorf("no relay of mode %q", c.Mode)
}

func byteRelay(ctx context.Context, c relayConfig, down, up *tls.Config, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	if err := json.NewEncoder(out).Encode(started{Addr: l.Addr().String()}); err != nil {
		return err
	}
	for {
		in, err := l.Accept()
		if err != nil {
			return nil //nolint:nilerr // closed at the end
		}
		go forward(in, c, down, up)
	}
}

// forward is one connection: with splice the kernel copies where it can, with copy
// 64 KiB at a time go through this process.
func forward(in net.Conn, c relayConfig, down, up *tls.Config) {
	defer in.Close()
	out, err := net.Dial("tcp", c.Upstream)
	if err != nil {
		return
	}
	defer out.Close()
	if up != nil {
		out = tls.Client(out, up)
	}
	if down != nil {
		in = tls.Server(in, down)
	}
	one := func(dst, src net.Conn) {
		if c.Mode == "splice" {
			_, _ = io.Copy(dst, src)
		} else {
			_, _ = io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, 64<<10))
		}
		if h, ok := dst.(interface{ CloseWrite() error }); ok {
			_ = h.CloseWrite()
		}
	}
	var other sync.WaitGroup
	other.Go(func() { one(out, in) })
	one(in, out)
	other.Wait()
}

// split is what `xdsproxy proxy` wires together, with the recorder locked to one
// thread: what the other threads use is the cost of forwarding and observing.
func split(ctx context.Context, c relayConfig, down, up *tls.Config, out io.Writer) error {
	stats := &intercept.Stats{}
	q := intercept.NewQueue(0, stats)
	w, err := store.OpenWriter(store.Config{Dir: c.Store})
	if err != nil {
		return err
	}
	rec, err := record.New(record.Config{Log: &log{Writer: w, fold: state.New(nil)}, Key: w.Key(), KnownBytes: 32 << 20})
	if err != nil {
		return err
	}
	o, err := intercept.NewObserver(intercept.ObserverConfig{Tap: q.Tap(rec.Known), Stats: stats})
	if err != nil {
		return err
	}
	r, err := intercept.New(intercept.Config{Listen: "127.0.0.1:0", Upstream: c.Upstream, UpstreamTLS: always(up), ListenTLS: always(down), Observer: o, Stats: stats})
	if err != nil {
		return err
	}
	tid := make(chan int)
	go func() {
		runtime.LockOSThread()
		tid <- unix.Gettid()
		drain(ctx, q, rec)
	}()
	if err := json.NewEncoder(out).Encode(started{Addr: r.Addr().String(), TID: <-tid}); err != nil {
		return err
	}
	return errors.Join(r.Run(ctx), w.Close())
}

// log is where records go, as in the program: the store, and the fold that the bases
// of new segments are made from.
type log struct {
	*store.Writer
	fold *state.Fold
}

func (l *log) Append(recs []xds.Record, bodies []xds.Body) error {
	if err := l.Writer.Append(recs, bodies); err != nil {
		return err
	}
	for i := range recs {
		l.fold.Apply(recs[i])
	}
	return nil
}

// always gives the same configuration to each connection; nil stays nil.
func always(c *tls.Config) func() (*tls.Config, error) {
	if c == nil {
		return nil
	}
	return func() (*tls.Config, error) { return c.Clone(), nil }
}

func drain(ctx context.Context, q *intercept.Queue, rec *record.Recorder) {
	for {
		tick, cancel := context.WithTimeout(ctx, time.Second)
		s, ok := q.Next(tick)
		cancel()
		switch {
		case ok:
			_ = rec.Sight(s)
		case ctx.Err() != nil:
			return
		case q.Len() == 0:
			_ = rec.Advance(time.Now())
		}
	}
}

// untilSignal ends a role when its parent wants it to, or is gone.
func untilSignal() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}
