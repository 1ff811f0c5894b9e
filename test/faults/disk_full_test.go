package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// churn is one session that pushes clusters that are new each time.
type churn struct {
	*session
	rnd  *rand.Rand
	n    int // pushes so far
	size int // clusters in each
	pad  int // new bytes of each cluster
}

func newChurn(s *session, size, pad int) *churn {
	c := &churn{session: s.open(adsSotW), rnd: rand.New(rand.NewPCG(7, 7)), size: size, pad: pad}
	c.request(firstRequest(s.t))
	return c
}

func (c *churn) nonce() string { return fmt.Sprint("n", c.n) }

// next pushes once more, and awaits the ACK.
func (c *churn) next() {
	c.t.Helper()
	c.n++
	c.update(c.nonce(), cds(c.t, c.nonce(), c.size, fresh(c.rnd, c.pad)))
}

// pushUntil pushes until ok, at most most times.
func (c *churn) pushUntil(what string, most int, ok func() bool) {
	c.t.Helper()
	for range most {
		if ok() {
			return
		}
		c.next()
	}
	c.t.Fatalf("%d pushes, and not yet: %s", most, what)
}

// pushWhile goes on while something is so, slowly: what was made room for is small.
func (c *churn) pushWhile(what string, so func() bool) {
	c.t.Helper()
	for end := time.Now().Add(patience); so(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("still: %s", what)
		}
		c.next()
	}
}

// small is a file system of its own with room for a few pushes.
func small(t *testing.T, size string) string {
	t.Helper()
	needRoot(t, "mount a small file system")
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestDiskFull fills the disk under a running proxy and makes room again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := small(t, "8m")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPlane(t)
	x := start(t, config{upstream: p.addr, store: filepath.Join(dir, "store")})
	outOfRoom(t, x, newChurn(connect(t, x.target, p), 300, 600), func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	})
}

// TestFileSizeLimit is the same with a limit for the size of files, which also
// brings a signal.
func TestFileSizeLimit(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	x := start(t, config{upstream: p.addr})
	limit := func(n uint64) {
		if err := unix.Prlimit(x.pid(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: unix.RLIM_INFINITY}, nil); err != nil {
			t.Fatal(err)
		}
	}
	limit(1 << 20)
	outOfRoom(t, x, newChurn(connect(t, x.target, p), 300, 600), func() { limit(unix.RLIM_INFINITY) })
}

// outOfRoom pushes until nothing more can be written, and beyond; then room is
// made and recording goes on by itself.
func outOfRoom(t *testing.T, x *proxy, c *churn, room func()) {
	t.Helper()
	c.pushUntil("health says degraded", 200, x.degraded)
	before := c.n
	for range 5 {
		c.next()
	}
	if n := x.times("recording fails; forwarding goes on"); n != 1 {
		t.Errorf("%d lines of the log say that recording fails, want 1", n)
	}
	earlier := held(t, x.store).pushes()
	if len(earlier) == 0 || len(earlier) > before {
		t.Errorf("%d pushes can be read while the disk is full, %d were sent before", len(earlier), before)
	}
	verified(t, x.store)
	room()
	c.pushWhile("recording does not work again", x.degraded)
	c.next()
	last := c.nonce()
	c.finish()
	x.stop()
	h := held(t, x.store)
	pushed := h.pushes()
	if len(pushed) <= len(earlier) || pushed[len(pushed)-1].Nonce != last {
		t.Errorf("recording did not go on: %d pushes, %d at first", len(pushed), len(earlier))
	}
	for i, e := range earlier {
		if pushed[i].Nonce != e.Nonce {
			t.Errorf("push %d was %s and is now %s", i, e.Nonce, pushed[i].Nonce)
		}
	}
	if !h.gap("writing failed") {
		t.Error("no gap tells of what was lost")
	}
	if strings.Contains(x.log.String(), "panic") {
		t.Error("something panicked")
	}
	verified(t, x.store)
}
