package traffic_test

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// One Engine serves several readers; views that start from one another's tables
// give the same answers as one made from scratch.
func TestConcurrentViews(t *testing.T) {
	s := openSession(t, recordings+"/05-cidr-and-exact")
	probes := readProbes(t, recordings+"/05-cidr-and-exact/truth.jsonl")
	var snaps []*state.Snapshot
	for _, p := range probes {
		s.until(p.T)
		if a := s.fold.Active(s.fold.Sidecars()[0]); len(snaps) == 0 || snaps[len(snaps)-1] != a {
			snaps = append(snaps, a)
		}
	}
	env := traffic.Env{Istio: true}
	answers := func(e *traffic.Engine, s *state.Snapshot) []xds.Verdict {
		return e.View(s, env).Classes(netip.MustParseAddrPort("10.1.9.9:5008"), netip.MustParseAddr("10.0.0.9"))
	}
	var want [][]xds.Verdict
	for _, a := range snaps {
		want = append(want, answers(traffic.NewEngine(s.cache()), a))
	}
	shared := traffic.NewEngine(s.cache())
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 3 * len(snaps) {
				n := (i*(g+1) + g) % len(snaps)
				got := answers(shared, snaps[n])
				if len(got) != len(want[n]) {
					t.Errorf("snapshot %d: %d verdicts, want %d", n, len(got), len(want[n]))
					return
				}
				for k := range got {
					if !got[k].Same(want[n][k]) {
						t.Errorf("snapshot %d: %+v, want %+v", n, got[k], want[n][k])
					}
				}
			}
		})
	}
	wg.Wait()
	if len(snaps) < 4 {
		t.Errorf("only %d snapshots", len(snaps))
	}
}
