package faults

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"golang.org/x/net/http2"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// TestControlPlaneRestart ends the control plane in the middle of a push of 25 MB,
// and lets the client come back: half a push is no push, and the answer to the
// second life's push does not answer the first one's of the same nonce.
func TestControlPlaneRestart(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	x := start(t, config{upstream: p.addr, tcp: true})
	whole := cds(t, "2", 22_000, nil)
	if len(whole) < 15<<20 {
		t.Fatalf("a push of %d bytes is not large", len(whole))
	}

	first := connect(t, x.target, p).open(adsSotW)
	first.request(firstRequest(t))
	first.push(cds(t, "1", 100, nil)) // never answered
	half := prefixed(0, whole)[:len(whole)/2]
	if err := first.server.do(func(f *http2.Framer) error {
		for rest := half; len(rest) > 0; {
			n := min(len(rest), 16384)
			if err := f.WriteData(1, false, rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	first.cameDown()
	_ = first.server.Conn.(interface{ SetLinger(int) error }).SetLinger(0)
	_ = first.server.Close()
	if err := first.client.ended(); errors.Is(err, io.EOF) {
		t.Error("the client saw an orderly end, the control plane was killed")
	}

	second := connect(t, x.target, p).open(adsSotW)
	second.request(firstRequest(t))
	second.update("1", cds(t, "1", 100, func(i int) string { return "other" }))
	second.update("2", whole)
	second.finish()
	x.stop()

	h := held(t, x.store)
	answered := map[uint64]bool{}
	for _, r := range h.kind(xds.KindAnswer) {
		answered[r.Answer.Push] = true
	}
	all := h.pushes()
	if len(all) != 3 || all[0].Nonce != "1" || all[1].Nonce != "1" || all[2].Nonce != "2" {
		t.Fatalf("%d pushes: %v", len(all), all)
	}
	if answered[1] || !answered[2] || !answered[3] {
		t.Errorf("answered: %v, want the second and the third push only", answered)
	}
	if n := len(all[2].Resources); n != 22_000 {
		t.Errorf("the whole push has %d resources", n)
	}
	streams := map[uint64]bool{}
	for _, r := range h.kind(xds.KindOpen) {
		streams[r.Stream] = true
	}
	if len(streams) != 2 || len(h.kind(xds.KindClose)) != 2 {
		t.Errorf("%d streams with %d ends, want 2", len(streams), len(h.kind(xds.KindClose)))
	}
	verified(t, x.store)
}

// cameDown waits until the client has read all that the server wrote.
func (s *session) cameDown() {
	s.t.Helper()
	poll(s.t, "bytes to reach the client", func() bool { return s.client.read.size() == s.server.wrote.size() })
}

// TestUpstream breaks the control plane's connection in every way: the client
// sees through the proxy what it sees without it.
func TestUpstream(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	x := start(t, config{upstream: p.addr, tcp: true})
	for name, f := range map[string]func(*session){
		"closes": func(s *session) { _ = s.server.Close() },
		"is killed": func(s *session) {
			_ = s.server.Conn.(interface{ SetLinger(int) error }).SetLinger(0)
			_ = s.server.Close()
		},
		"half-closes, then answers no more": func(s *session) { _ = s.server.halfClose() },
		"says GOAWAY": func(s *session) {
			_ = s.server.do(func(f *http2.Framer) error { return f.WriteGoAway(1, http2.ErrCodeNo, []byte("max_age")) })
			_ = s.server.Close()
		},
		"resets the stream": func(s *session) {
			_ = s.server.do(func(f *http2.Framer) error { return f.WriteRSTStream(1, http2.ErrCodeInternal) })
			_ = s.server.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			direct, through := broken(t, p.addr, p, f), broken(t, x.target, p, f)
			if direct != through {
				t.Errorf("direct: %s\nthrough the proxy: %s", direct, through)
			}
		})
	}
	t.Run("refuses", func(t *testing.T) {
		_ = p.Close()
		if s := refused(t, x.target); s != "reset" {
			t.Errorf("the client sees: %s", s)
		}
		x.await("the failure in the log", func() bool { return x.times("a connection was not forwarded") > 0 })
	})
	x.stop()
}

// broken is what a client sees whose control plane ends as f does.
func broken(t *testing.T, target string, p *plane, f func(*session)) string {
	t.Helper()
	s := connect(t, target, p).open(adsSotW)
	s.request(firstRequest(t))
	s.update("1", cds(t, "1", 100, nil))
	s.cameDown()
	f(s)
	how := ending(s.client.ended())
	for {
		select {
		case h := <-s.client.frames:
			if h.Type == http2.FrameGoAway || h.Type == http2.FrameRSTStream {
				how += ", " + h.Type.String()
			}
		default:
			return how + ", " + s.client.read.String()
		}
	}
}

// ending names how a connection ended.
func ending(err error) string {
	var ne net.Error
	switch {
	case errors.Is(err, io.EOF):
		return "closed"
	case errors.As(err, &ne) && ne.Timeout():
		return "silence"
	default:
		return "reset"
	}
}

// refused is what a client sees that connects where no control plane listens.
func refused(t *testing.T, target string) string {
	t.Helper()
	c, err := dialRaw(target)
	if errors.Is(err, syscall.ECONNRESET) {
		return "reset"
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = io.Copy(io.Discard, c)
	if err == nil {
		return "closed"
	}
	return ending(err)
}
