package faults

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestBlackholed dials a control plane from which nothing comes back: the client
// waits as it would directly, and when it leaves nothing of it stays.
func TestBlackholed(t *testing.T) {
	t.Parallel()
	needRoot(t, "make a network namespace")
	needTool(t, "unshare")
	needTool(t, "ip")
	const hole = "ip link set lo up && ip link add hole type veth peer name pit && ip link set pit up && ip link set hole up && " +
		"ip addr add 10.99.0.1/24 dev hole && ip neigh add 10.99.0.2 lladdr 02:00:00:00:00:02 dev hole && exec \"$@\""
	x := start(t, config{upstream: "10.99.0.2:15010", wrap: []string{"unshare", "-n", "sh", "-c", hole, "sh"}})
	x.awaitSaid("recording")
	before := x.fds()
	var clients []net.Conn
	for range 20 {
		c := dial(t, x.target)
		defer c.Close()
		if _, err := c.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	x.await("the connections", func() bool { return x.fds() >= before+40 })
	for _, c := range clients {
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); !os.IsTimeout(err) {
			t.Errorf("the client sees %v, not silence", err)
		}
		_ = c.Close()
	}
	x.await("what the clients held to be free", func() bool { return x.fds() <= before+2 })
	x.stop()
}

// gate is a TCP relay that can be shut: nothing passes, nothing is said.
type gate struct {
	net.Listener
	mu   sync.Mutex // held while shut
	open []net.Conn
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Listener: l}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", to)
			if err != nil {
				_ = a.Close()
				continue
			}
			g.mu.Lock()
			g.open = append(g.open, a, b)
			g.mu.Unlock()
			all.Go(func() { g.copy(a, b) })
			all.Go(func() { g.copy(b, a) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		g.mu.Lock()
		for _, c := range g.open {
			_ = c.Close()
		}
		g.mu.Unlock()
		all.Wait()
	})
	return g
}

func (g *gate) copy(to, from net.Conn) {
	b := make([]byte, 16<<10)
	for {
		n, err := from.Read(b)
		g.mu.Lock()
		_, werr := to.Write(b[:n])
		if errors.Is(err, io.EOF) {
			_ = to.(*net.TCPConn).CloseWrite()
		}
		g.mu.Unlock()
		if err != nil || werr != nil {
			return
		}
	}
}

// TestHalfOpen cuts the way to the control plane without a word. The client keeps
// its connection as it would directly; when the way is open again all arrives,
// and a reset that comes instead is passed on.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	g := newGate(t, p.addr)
	x := start(t, config{upstream: g.Addr().String(), tcp: true})
	healed, cut := newChurn(connect(t, x.target, p), 200, 10), newChurn(connect(t, x.target, p), 200, 10)
	healed.next()
	cut.next()
	g.mu.Lock()
	if err := healed.client.send(1, ack("n1")); err != nil {
		t.Fatal(err)
	}
	if err := healed.server.send(1, cds(t, "n2", 200, nil)); err != nil {
		t.Fatal(err)
	}
	poll(t, "the proxy to have forwarded", func() bool {
		return x.metric(`xdsproxy_bytes_total{direction="up"}`) >= float64(healed.client.wrote.size())
	})
	select {
	case <-healed.client.over:
		t.Error("the client was cut off")
	default:
	}
	for _, c := range g.open {
		if c.RemoteAddr().String() == cut.server.Conn.LocalAddr().String() && c.LocalAddr().String() == cut.server.Conn.RemoteAddr().String() {
			other := g.partner(c)
			_ = other.(*net.TCPConn).SetLinger(0)
			_ = other.Close()
		}
	}
	g.mu.Unlock()
	if got := ending(cut.client.ended()); got != "reset" {
		t.Errorf("the reset on the proxy's side of the gate reached the client as %s", got)
	}
	if m, err := healed.client.next(); err != nil || m != messageOf(cds(t, "n2", 200, nil)) {
		t.Errorf("the push after the cut: %v", err)
	}
	if m, err := healed.server.next(); err != nil || m != messageOf(ack("n1")) {
		t.Errorf("the answer after the cut: %v", err)
	}
	healed.finish()
	x.signal(syscall.SIGTERM)
	x.wait()
	verified(t, x.store)
}

// partner is the other end of a forwarded connection.
func (g *gate) partner(c net.Conn) net.Conn {
	for i, o := range g.open {
		if o == c {
			return g.open[i^1]
		}
	}
	return nil
}
