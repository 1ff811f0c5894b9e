package faults

import (
	"syscall"
	"testing"
)

// TestSigterm ends the proxy in order: nobody new comes in, who is there goes on
// for the grace time, and all that was seen is on the disk.
func TestSigterm(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	x := start(t, config{upstream: p.addr, args: []string{"--grace", "10m"}})
	c := newChurn(connect(t, x.target, p), 500, 50)
	c.next()
	x.signal(syscall.SIGTERM)
	x.await("no more connections", func() bool {
		conn, err := dialRaw(x.target)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	for range 5 {
		c.next()
	}
	c.finish() // the last one: the proxy ends without waiting for the grace time
	if code := x.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if n := len(held(t, x.store).pushes()); n != 6 {
		t.Errorf("%d pushes recorded, 6 were forwarded", n)
	}
	verified(t, x.store)
}

// TestSecondSigterm ends it at once.
func TestSecondSigterm(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	x := start(t, config{upstream: p.addr, args: []string{"--grace", "10m"}})
	c := newChurn(connect(t, x.target, p), 500, 50)
	c.next()
	x.signal(syscall.SIGTERM)
	x.await("no more connections", func() bool { // the first one has been taken
		conn, err := dialRaw(x.target)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	x.signal(syscall.SIGTERM)
	x.wait()
	if s := x.cmd.ProcessState.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v, want by the signal", s)
	}
	if err := c.client.ended(); err == nil {
		t.Error("the connection stayed")
	}
	verified(t, x.store)
}
