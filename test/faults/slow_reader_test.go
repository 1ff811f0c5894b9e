package faults

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// frozenVar holds the address that a frozen client connects to: the role in which
// this test's program is started once more, to be stopped by a signal.
const frozenVar = "XDSPROXY_FAULTS_FROZEN"

// frozenClient reads all that comes and prints the digest of it.
func frozenClient(addr string) int {
	c, err := dialRaw(addr)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	e := newEnd(c)
	err = errors.Join(e.greet(true), e.do(func(f *http2.Framer) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block(":method", "POST", ":scheme", "http",
			":path", adsSotW, ":authority", "istiod", "content-type", "application/grpc", "te", "trailers")})
	}), e.send(1, text(nil, 4, clusterType)))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	e.swallow()
	fmt.Println(e.read)
	return 0
}

// TestStalledReaders stops the processes of 24 clients and pushes 8 MB to each;
// another one reads byte after byte. Others are served meanwhile, the proxy does
// not keep for them what they do not read, and each gets all of it in the end.
func TestStalledReaders(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	x := start(t, config{upstream: p.addr})
	healthy := newChurn(connect(t, x.target, p), 500, 10)
	big := cds(t, "big", 9_000, nil)
	healthy.push(big) // known from now on
	before := x.anon()
	var frozen []*freezing
	for range 24 {
		f := freeze(t, x, p)
		go func() { f.sent <- f.server.send(1, big) }()
		frozen = append(frozen, f)
	}
	drip := connect(t, x.target, p)
	drip.stalled()
	sent := make(chan error, 1)
	go func() { sent <- drip.server.send(1, big) }()
	one := make([]byte, 1)
	for range 30 {
		healthy.next()
		if n, err := drip.client.Read(one); err != nil {
			t.Fatal(err)
		} else {
			_, _ = drip.client.read.Write(one[:n]) // a digest takes everything
		}
	}
	for _, f := range frozen {
		select {
		case <-f.sent:
			t.Error("all of a push went out to a client that does not run: this test shows nothing")
		default:
		}
	}
	// 25 pushes would be 200 MB.
	if grown := x.anon() - before; grown > 96<<20 {
		t.Errorf("the proxy has grown by %d bytes", grown)
	}
	go drip.client.swallow()
	allSent(t, sent)
	drip.came(drip.server, drip.client)
	drip.finish()
	for _, f := range frozen {
		f.thaw(t)
	}
	healthy.finish()
	x.stop()
	verified(t, x.store)
}

// stalled begins a discovery stream whose client's end nobody reads.
func (s *session) stalled() {
	s.t.Helper()
	if err := s.client.greet(true); err != nil {
		s.t.Fatal(err)
	}
	go s.met().listen(true)
	if err := s.server.greet(false); err != nil {
		s.t.Fatal(err)
	}
	s.stream1(adsSotW)
}

// freezing is a client that is stopped, and the server's end of its connection.
type freezing struct {
	cmd    *exec.Cmd
	out    *strings.Builder
	server *end
	sent   chan error
}

func freeze(t *testing.T, x *proxy, p *plane) *freezing {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := &freezing{cmd: exec.Command(self), out: &strings.Builder{}, sent: make(chan error, 1)}
	f.cmd.Env = append(os.Environ(), frozenVar+"="+x.target)
	f.cmd.Stdout, f.cmd.Stderr = f.out, f.out
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.cmd.Process.Kill() })
	f.server = newEnd(p.accept(t))
	go f.server.listen(true)
	if _, err := f.server.next(); err != nil { // its request: it reads from now on
		t.Fatal(err)
	}
	if err := f.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := f.server.greet(false); err != nil {
		t.Fatal(err)
	}
	return f
}

// thaw lets the client go on: it must get all that was sent.
func (f *freezing) thaw(t *testing.T) {
	t.Helper()
	if err := f.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	allSent(t, f.sent)
	_ = f.server.halfClose()
	if err := f.cmd.Wait(); err != nil {
		t.Errorf("the client: %v", err)
	}
	if got, want := strings.TrimSpace(f.out.String()), f.server.wrote.String(); got != want {
		t.Errorf("the client got %s, sent were %s", got, want)
	}
	if err := f.server.ended(); !errors.Is(err, io.EOF) {
		t.Errorf("the server's end: %v", err)
	}
	_ = f.server.Close()
}

// allSent waits until the server could send its push.
func allSent(t *testing.T, sent chan error) {
	t.Helper()
	select {
	case err := <-sent:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("a client that reads again does not get its push")
	}
}
