package faults

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// TestKilled kills the proxy with SIGKILL while it is pushing, again and again on
// one store: what a reader saw after a kill stays, in its order, for ever.
func TestKilled(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	dir := filepath.Join(t.TempDir(), "store")
	rnd := rand.New(rand.NewPCG(uint64(*kills), 5))
	var before []*xds.Push
	for range *kills {
		x := start(t, config{upstream: p.addr, store: dir})
		s := connect(t, x.target, p).open(adsSotW)
		s.request(firstRequest(t))
		killer := time.AfterFunc(time.Duration(rnd.IntN(250))*time.Millisecond, func() { _ = x.cmd.Process.Kill() })
		for n := 0; s.tryPush(cds(t, noise(rnd, 8), 100+rnd.IntN(1000), fresh(rnd, 100))) == nil; n++ {
			if n > 10_000 {
				t.Fatal("the proxy was not killed")
			}
		}
		killer.Stop()
		x.wait()
		verified(t, dir) // a torn end is no damage
		now := held(t, dir).pushes()
		if len(now) < len(before) {
			t.Fatalf("%d pushes after this kill, %d before", len(now), len(before))
		}
		for i, push := range now {
			if push.Number != uint64(i)+1 || i < len(before) && push.Nonce != before[i].Nonce {
				t.Fatalf("push %d is now number %d, nonce %s", i+1, push.Number, push.Nonce)
			}
		}
		before = now
	}
	tear(t, dir)
	x := start(t, config{upstream: p.addr, store: dir})
	x.stop()
	if x.times("the store was not closed; its unfinished end was cut") != 1 {
		t.Error("the log does not say that a torn end was cut")
	}
	h := held(t, dir)
	if len(h.pushes()) != len(before) || len(before) < *kills {
		t.Errorf("%d pushes in the end, %d after the last kill", len(h.pushes()), len(before))
	}
	if !h.gap("recorder was not running") {
		t.Error("no gap tells of the time between two runs")
	}
	t.Logf("%d kills, %d pushes", *kills, len(before))
	verified(t, dir)
}

// tear writes half a frame behind the last one, as a kill in the middle of a
// write leaves it: the kernel may take part of what is written.
func tear(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	slices.Sort(names)
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(names[len(names)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(b[64:200]); err != nil {
		t.Fatal(err)
	}
}
