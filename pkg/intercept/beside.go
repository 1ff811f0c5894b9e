package intercept

import (
	"fmt"
	"sync"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// maxInflating bounds the compressed messages that wait, over all connections.
// Beyond it a message becomes a gap.
const maxInflating = 64

// inflater inflates messages beside the forwarding, one after another: a few
// bytes can stand for megabytes, which nobody's connection is to wait for.
type inflater struct {
	mu      sync.Mutex // guards what follows
	jobs    []func()
	running bool
	group   sync.WaitGroup
}

// add does a job soon, or reports that too many wait.
func (i *inflater) add(job func()) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.jobs) >= maxInflating {
		return false
	}
	i.jobs = append(i.jobs, job)
	if !i.running {
		i.running = true
		i.group.Go(i.run)
	}
	return true
}

// run ends when there is nothing to do: who does not compress pays nothing.
func (i *inflater) run() {
	for {
		i.mu.Lock()
		if len(i.jobs) == 0 {
			i.running = false
			i.mu.Unlock()
			return
		}
		job := i.jobs[0]
		i.jobs = i.jobs[1:]
		i.mu.Unlock()
		job()
	}
}

// place is where in a stream's order something belongs that comes later.
type place struct {
	filled bool
	what   xds.Sighting
}

// inflate lets a message that is there, compressed, be read beside. What comes
// after it on its stream waits for it.
func (s *stream) inflate(up bool, z *inflated, since, at time.Time) {
	s.mu.Lock()
	p := &place{}
	s.behind = append(s.behind, p)
	s.mu.Unlock()
	if !s.in.inflater.add(func() { s.fill(p, s.read(up, z, since, at)) }) {
		z.drop()
		s.fill(p, s.sawGap(GapCompression, fmt.Errorf("%w: too many wait", errCompression), at))
	}
}

// read inflates and reads a message. A defect in that costs the message.
func (s *stream) read(up bool, z *inflated, since, at time.Time) (saw xds.Sighting) {
	defer func() {
		if r := recover(); r != nil {
			saw = s.sawGap(GapPanic, fmt.Errorf("%w: the observer failed: %T", errCompression, r), at)
		}
	}()
	defer z.drop()
	m, err := z.finish()
	if err != nil {
		return s.sawGap(reasonOf(err), err, at)
	}
	return s.saw(up, m, since, at)
}

// fill puts what was waited for in its place, and lets go what stands behind it.
func (s *stream) fill(p *place, what xds.Sighting) {
	defer func() { _ = recover() }() // a tap that fails has failed before
	s.mu.Lock()
	defer s.mu.Unlock()
	p.filled, p.what = true, what
	for len(s.behind) > 0 && s.behind[0].filled {
		next := s.behind[0]
		s.behind = s.behind[1:]
		s.deliver(next.what)
	}
	if len(s.behind) == 0 {
		s.behind = nil
		s.waiting.release()
	}
}

// queue keeps g until what came before it is there. mu is held.
func (s *stream) queue(g xds.Sighting) {
	last := s.behind[len(s.behind)-1]
	switch {
	case g.Kind == xds.SawClose:
	case len(s.behind) < maxParked && s.waiting.take(g.Bytes()):
	case last.filled && last.what.Kind == xds.SawGap:
		return
	default:
		s.in.stats.gaps[GapMemory].Add(1)
		g = xds.Sighting{Kind: xds.SawGap, Time: g.Time, Reason: errBehind.Error()}
	}
	s.behind = append(s.behind, &place{filled: true, what: g})
}
