package faults

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// soakDisk is what the store may take in TestSoak.
const soakDisk = 8 << 20

// TestSoak pushes what is new each time, with clients that come and go, into a
// store that may only take so much: memory, files, goroutines and disk stay where
// they were once the oldest history had been deleted for the first time.
func TestSoak(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	x := start(t, config{upstream: p.addr, args: []string{"--retain-bytes", "8MiB", "--min-free", "0"}})
	s := soaking{t: t, p: p, x: x, rnd: rand.New(rand.NewPCG(18, 18))}
	s.step()
	x.await("the first segment", func() bool { return s.oldest() != "" })
	for first := s.oldest(); s.oldest() == first || s.pushes < 1500; {
		s.step()
	}
	third := *soak / 3
	early := s.sample(third)
	for end := time.Now().Add(third); time.Now().Before(end); {
		s.step()
	}
	late := s.sample(third)
	s.c.finish()
	t.Logf("%d pushes; %v, then %v", s.pushes, early, late)
	for what, l := range late {
		if e := early[what]; l > e+e/20 {
			t.Errorf("%s went from %d to %d", what, e, l)
		}
	}
	if late["disk"] > soakDisk+soakDisk/8 {
		t.Errorf("the store takes %d bytes", late["disk"])
	}
	x.stop()
	verified(t, x.store)
}

// soaking is a proxy under steady load.
type soaking struct {
	t      *testing.T
	p      *plane
	x      *proxy
	c      *churn
	rnd    *rand.Rand
	pushes int
}

// step pushes once, through a new connection now and then.
func (s *soaking) step() {
	s.t.Helper()
	if s.c != nil && s.c.n >= 50 {
		s.c.finish()
		s.c = nil
	}
	if s.c == nil {
		s.c = newChurn(connect(s.t, s.x.target, s.p), 100, 300)
		s.c.rnd = s.rnd // else each connection would bring the same again
	}
	s.c.next()
	s.pushes++
	time.Sleep(10 * time.Millisecond) // the pace
}

// sample goes on for d and returns the median of each figure; of the disk's the
// highest, as it falls by a segment at a time.
func (s *soaking) sample(d time.Duration) map[string]int {
	s.t.Helper()
	all := map[string][]int{}
	for end := time.Now().Add(d); time.Now().Before(end); {
		for range 5 {
			s.step()
		}
		for what, v := range map[string]int{"memory": s.x.anon(), "files": s.x.fds(), "goroutines": int(s.x.metric("go_goroutines")), "disk": s.disk()} {
			all[what] = append(all[what], v)
		}
	}
	out := map[string]int{}
	for what, v := range all {
		slices.Sort(v)
		out[what] = v[len(v)/2]
	}
	out["disk"] = slices.Max(all["disk"])
	return out
}

// disk is what the store takes.
func (s *soaking) disk() (n int) {
	names, _ := filepath.Glob(filepath.Join(s.x.store, "*"))
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			n += int(info.Size())
		}
	}
	return n
}

// oldest is the name of the oldest segment.
func (s *soaking) oldest() string {
	names, _ := filepath.Glob(filepath.Join(s.x.store, "*.seg"))
	slices.Sort(names)
	if len(names) == 0 {
		return ""
	}
	return names[0]
}
