package faults

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"testing"
)

// TestDifferential sends the TCP bytes of every recorded session directly and
// through the proxy: the same bytes arrive, whatever stands in them.
func TestDifferential(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(recordings + "/*/wire.jsonl.gz")
	if err != nil || len(paths) < 19 {
		t.Fatalf("%d recordings with TCP bytes, %v", len(paths), err)
	}
	p := newPlane(t)
	x := start(t, config{upstream: p.addr})
	for _, path := range paths {
		name := filepath.Base(filepath.Dir(path))
		t.Run(name, func(t *testing.T) {
			all := lines(t, name, "wire.jsonl.gz")
			direct, through := replay(t, p.addr, p, all), replay(t, x.target, p, all)
			if direct != through {
				t.Errorf("direct %s\nthrough the proxy %s", direct, through)
			}
		})
	}
	x.stop()
	if n := x.metric("xdsproxy_observer_detached_total"); n > 0 {
		t.Errorf("the observer gave up on %v real connections", n)
	}
	if len(held(t, x.store).pushes()) < 100 {
		t.Error("the sessions were not recorded")
	}
	verified(t, x.store)
}

// replay sends the bytes of each recorded connection, awaiting them at the other
// end, and returns the digests of what arrived.
func replay(t *testing.T, target string, p *plane, all []line) (arrived string) {
	t.Helper()
	conns := map[uint64][]line{}
	for _, l := range all {
		if l.Raw != nil {
			conns[l.Conn] = append(conns[l.Conn], l)
		}
	}
	for c := uint64(1); c <= 100; c++ {
		if len(conns[c]) > 0 {
			arrived += replayOne(connect(t, target, p), conns[c])
		}
	}
	return arrived
}

func replayOne(s *session, all []line) string {
	s.t.Helper()
	go s.client.swallow()
	// The client speaks first here; in the recordings a greeting of the server may
	// stand before it.
	first := slices.IndexFunc(all, func(l line) bool { return l.Dir == "up" })
	order := append([]line{all[first]}, slices.Delete(slices.Clone(all), first, first+1)...)
	for i, l := range order {
		from, to := s.client, s.server
		if l.Dir == "down" {
			from, to = s.server, s.client
		}
		if err := from.raw(l.Raw); err != nil {
			s.t.Fatal(err)
		}
		if i == 0 {
			to = s.met()
			go to.swallow()
		}
		s.came(from, to)
	}
	s.finish()
	return fmt.Sprintf("up %s, down %s\n", s.server.read, s.client.read)
}

// came waits until to has read all that from wrote.
func (s *session) came(from, to *end) {
	s.t.Helper()
	poll(s.t, "bytes to arrive", func() bool {
		select {
		case <-to.over:
			if !errors.Is(to.err, io.EOF) {
				s.t.Fatalf("reading: %v", to.err)
			}
			return true
		default:
			return to.read.size() >= from.wrote.size()
		}
	})
}
