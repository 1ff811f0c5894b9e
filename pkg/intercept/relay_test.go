package intercept

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// startRelay runs a relay until the test ends.
func startRelay(tb testing.TB, c Config) *Relay {
	tb.Helper()
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	r, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	return r
}

// listen opens a server socket of the network, in a directory of its own.
func listen(tb testing.TB, network string) (net.Listener, string) {
	tb.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(socketDir(tb), "up")
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	return l, Address{network, l.Addr().String()}.String()
}

// socketDir is short: a socket's path has at most 107 bytes.
func socketDir(tb testing.TB) string {
	tb.Helper()
	d, err := os.MkdirTemp("", "x")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(d) })
	return d
}

// pair connects through a relay and returns both ends.
func pair(tb testing.TB, network string, c Config) (client, server net.Conn) {
	tb.Helper()
	l, addr := listen(tb, network)
	c.Upstream = addr
	if network == "unix" {
		c.Listen = "unix://" + filepath.Join(socketDir(tb), "down")
	}
	r := startRelay(tb, c)
	client, err := net.Dial(network, r.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return client, server
}

func modes(tb testing.TB, tap Tap) map[string]Config {
	return map[string]Config{"observed": {Observer: newTestObserver(tb, tap)}, "relay only": {}}
}

// TestTransparent sends recorded bytes, and bytes that are no HTTP/2, through
// sockets: both ends get what the other one sent.
func TestTransparent(t *testing.T) {
	inputs := transparentInputs(t)
	for _, network := range []string{"tcp", "unix"} {
		for name, up := range inputs {
			t.Run(network+"/"+name, func(t *testing.T) {
				for mode, config := range modes(t, &memory{}) {
					client, server := pair(t, network, config)
					exchange(t, mode, client, server, up[0], up[1])
				}
			})
		}
	}
}

func transparentInputs(t *testing.T) map[string][2][]byte {
	in := map[string][2][]byte{}
	for _, path := range wireRecordings(t) {
		name := filepath.Base(filepath.Dir(path))
		in[name] = recordedBytes(t, name)
	}
	junk := make([]byte, 300_000)
	for i := range junk {
		junk[i] = byte(rand.Uint32())
	}
	in["garbage"] = [2][]byte{junk, junk[1000:]}
	in["garbage after preface"] = [2][]byte{append([]byte(clientPreface), junk...), junk}
	in["http/1"] = [2][]byte{[]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), []byte("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")}
	in["tls"] = [2][]byte{{0x16, 3, 1, 0, 4, 1, 0, 0, 0}, {0x15, 3, 3, 0, 2, 2, 40}}
	in["nothing"] = [2][]byte{nil, nil}
	return in
}

// recordedBytes are those of a recording's first connection, up and down.
func recordedBytes(tb testing.TB, name string) [2][]byte {
	tb.Helper()
	var both [2][]byte
	for _, l := range readLines[wireLine](tb, recordings+"/"+name+"/wire.jsonl.gz") {
		dir := 0
		if l.Dir == "down" {
			dir = 1
		}
		if l.Conn == 1 {
			both[dir] = append(both[dir], l.Raw...)
		}
	}
	return both
}

// exchange sends both ways at once, in random pieces, half-closes and compares.
func exchange(t *testing.T, mode string, client, server net.Conn, up, down []byte) {
	t.Helper()
	var wg sync.WaitGroup
	send := func(c net.Conn, b []byte) {
		for len(b) > 0 {
			n := min(len(b), 1+rand.IntN(64<<10))
			if _, err := c.Write(b[:n]); err != nil {
				t.Errorf("%s: sending: %v", mode, err)
				return
			}
			b = b[n:]
		}
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
	}
	receive := func(c net.Conn, want []byte) {
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: received %d bytes, %v; want %d", mode, len(got), err, len(want))
		}
	}
	wg.Go(func() { send(client, up) })
	wg.Go(func() { send(server, down) })
	wg.Go(func() { receive(server, up) })
	wg.Go(func() { receive(client, down) })
	wg.Wait()
}

// TestSmallWrites sends a recording byte by byte.
func TestSmallWrites(t *testing.T) {
	tap := &memory{}
	client, server := pair(t, "tcp", Config{Observer: newTestObserver(t, tap)})
	in := recordedBytes(t, "13-istio-filters")
	go func() {
		for _, b := range in[0] {
			_, _ = client.Write([]byte{b})
		}
		_ = client.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(server)
	if err != nil || !bytes.Equal(got, in[0]) {
		t.Fatalf("received %d bytes, %v; want %d", len(got), err, len(in[0]))
	}
	_ = server.Close()
	eventually(t, func() bool { return len(tap.kinds()) > 5 })
}

// TestHalfClose: one direction ends, the other goes on.
func TestHalfClose(t *testing.T) {
	for mode, config := range modes(t, &memory{}) {
		client, server := pair(t, "tcp", config)
		_ = client.(*net.TCPConn).CloseWrite()
		if b, err := io.ReadAll(server); err != nil || len(b) != 0 {
			t.Fatalf("%s: %q, %v", mode, b, err)
		}
		_, _ = server.Write([]byte("late"))
		b := make([]byte, 4)
		if _, err := io.ReadFull(client, b); err != nil || string(b) != "late" {
			t.Fatalf("%s: %q, %v", mode, b, err)
		}
	}
}

// TestReset: a reset arrives as a reset, both ways.
func TestReset(t *testing.T) {
	for mode, config := range modes(t, &memory{}) {
		for _, byClient := range []bool{true, false} {
			from, to := pair(t, "tcp", config)
			if !byClient {
				from, to = to, from
			}
			_ = from.(*net.TCPConn).SetLinger(0)
			_ = from.Close()
			if _, err := to.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%s, by client %v: %v, want a reset", mode, byClient, err)
			}
		}
	}
}

// TestDialFailure: a client sees a reset.
func TestDialFailure(t *testing.T) {
	l, addr := listen(t, "tcp")
	_ = l.Close()
	stats := &Stats{}
	var failed error
	var mu sync.Mutex
	r := startRelay(t, Config{Upstream: addr, Stats: stats, Failed: func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failed = err
	}})
	c, err := net.Dial("tcp", r.Addr().String())
	if err == nil {
		_, err = c.Read(make([]byte, 1))
		_ = c.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
	eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return stats.DialFailures.Load() == 1 && stats.Active.Load() == 0 && errors.Is(failed, syscall.ECONNREFUSED)
	})
}

// TestShutdown: Run ends when the last connection has, or when the grace time is over.
func TestShutdown(t *testing.T) {
	for _, grace := range []time.Duration{0, 50 * time.Millisecond, time.Hour} {
		l, addr := listen(t, "tcp")
		r, err := New(Config{Listen: "127.0.0.1:0", Upstream: addr, Grace: grace, Observer: newTestObserver(t, &memory{})})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		client, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if grace == time.Hour {
			_, _ = client.Write([]byte("still open"))
			if _, err := io.ReadFull(server, make([]byte, 10)); err != nil {
				t.Error(err)
			}
			_, _ = client.Close(), server.Close()
		}
		if err := <-done; err != nil {
			t.Errorf("grace %v: %v", grace, err)
		}
		if _, err := net.Dial("tcp", r.Addr().String()); err == nil {
			t.Error("still accepting")
		}
		_, _ = client.Close(), server.Close()
	}
}

// TestUnixSocket: for this user alone; a stale one is replaced, a used one is not.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	_ = stale.Close()
	r := startRelay(t, Config{Listen: "unix://" + path, Upstream: "127.0.0.1:1"})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := New(Config{Listen: "unix://" + path, Upstream: "127.0.0.1:1"}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second listener: %v", err)
	}
	_, err = New(Config{Listen: "unix://relative", Upstream: "127.0.0.1:1"})
	if err == nil {
		t.Error("a relative path was taken")
	}
	_ = r
}

// stalled is a tap that takes nothing; it must cost nothing either.
func TestStalledRecorder(t *testing.T) {
	tap := &memory{full: true}
	client, server := pair(t, "tcp", Config{Observer: newTestObserver(t, tap)})
	in := recordedBytes(t, "08-reconnect")
	exchange(t, "stalled", client, server, in[0], in[1])
}

// TestPanic: a tap that panics detaches the observer, and bytes flow on.
func TestPanic(t *testing.T) {
	stats := &Stats{}
	o, err := NewObserver(ObserverConfig{Tap: panicTap{}, Stats: stats})
	if err != nil {
		t.Fatal(err)
	}
	client, server := pair(t, "tcp", Config{Observer: o, Stats: stats})
	in := recordedBytes(t, "08-reconnect")
	exchange(t, "panic", client, server, in[0], in[1])
	if stats.Detached.Load() != 1 || stats.Gaps(GapPanic) != 1 {
		t.Errorf("detached %d, gaps %d", stats.Detached.Load(), stats.Gaps(GapPanic))
	}
}

type panicTap struct{}

func (panicTap) Known(xds.Key) bool { return false }
func (panicTap) Offer(s xds.Sighting) bool {
	if s.Kind == xds.SawGap {
		return false
	}
	panic("a defect")
}

func eventually(tb testing.TB, ok func() bool) {
	tb.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	tb.Error("did not happen in 5 s")
}
