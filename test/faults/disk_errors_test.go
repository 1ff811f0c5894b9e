package faults

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// strace is the command in front of the program that injects faults into its
// system calls. -D makes the program, not strace, our child.
func strace(t *testing.T, inject string) []string {
	t.Helper()
	needTool(t, "strace")
	words := []string{"strace", "-D", "-f", "--seccomp-bpf", "-qqq", "-o", "/dev/null", "-e", "signal=none"}
	if out, err := exec.Command("strace", "-f", "--seccomp-bpf", "-qqq", "-e", "trace=fsync", "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: needs the right to trace: %v %s", err, out)
	}
	calls, _, _ := strings.Cut(inject, ":")
	return append(words, "-e", "trace="+calls, "-e", "inject="+inject)
}

// TestDiskErrors lets writing and syncing fail for a while: each time what was
// lost is told once, and recording goes on.
func TestDiskErrors(t *testing.T) {
	t.Parallel()
	for name, inject := range map[string]string{
		"write EIO":    "pwrite64:error=EIO:when=6..12",
		"write ENOSPC": "pwrite64:error=ENOSPC:when=9..20",
		"sync EIO":     "fsync:error=EIO:when=3..4",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlane(t)
			x := start(t, config{upstream: p.addr, wrap: strace(t, inject)})
			c := newChurn(connect(t, x.target, p), 50, 20)
			c.pushUntil("recording fails", 3000, func() bool { return x.times("recording fails; forwarding goes on") > 0 })
			for range 30 { // beyond the last error
				c.next()
			}
			c.pushWhile("recording does not work again", x.degraded)
			last := ""
			x.await("a push that is held", func() bool {
				if last != "" && held(t, x.store).hasPush(last) {
					return true
				}
				c.next() // an error may still have met the last one: they are counted by thread
				last = c.nonce()
				return false
			})
			c.finish()
			x.stop()
			h := held(t, x.store)
			if !h.hasPush(last) {
				t.Error("a push that was held is gone")
			}
			if !h.gap("writing failed") {
				t.Error("no gap tells of what was lost")
			}
			if n := x.times("recording fails; forwarding goes on"); n > 3 {
				t.Errorf("%d lines of the log say that recording fails", n)
			}
			verified(t, x.store)
		})
	}
}

// TestDiskSlow holds each write and sync for five seconds: forwarding does not
// wait for any of them, the queue keeps its size, and what did not fit is told.
func TestDiskSlow(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	x := start(t, config{upstream: p.addr, wrap: strace(t, "pwrite64,fsync:delay_enter=5000000:when=2+")})
	c := newChurn(connect(t, x.target, p), 2500, 1000)
	for range 20 { // of 4.5 MB
		c.next()
	}
	if q := x.metric("xdsproxy_queue_bytes"); q > 36<<20 {
		t.Errorf("the queue holds %v bytes", q)
	}
	dropped := x.metric("xdsproxy_bodies_dropped_total") + x.metric("xdsproxy_sightings_lost_total")
	if dropped <= 0 {
		t.Errorf("%v resources and messages were dropped: the disk was not slow enough for this test", dropped)
	}
	c.finish()
	// What stands in the queue would take minutes to write: end it as an
	// orchestrator does that has lost its patience.
	x.signal(syscall.SIGTERM)
	x.kill()
	verified(t, x.store)
}
