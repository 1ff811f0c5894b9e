package store

import (
	"maps"
	"sync"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// places says where bodies are. It has a lock of its own, held for moments only
// and never during I/O: the forwarding path may ask whether a body is known.
type places struct {
	mu sync.RWMutex // guards at
	at map[xds.Digest]bodyLoc
}

func (p *places) find(d xds.Digest) (bodyLoc, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	at, ok := p.at[d]
	return at, ok
}

func (p *places) len() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.at)
}

// put adds the bodies of a frame; the newest place of a body is the one that
// stays longest.
func (p *places) put(s *segment, f *frame) {
	if len(f.bodies) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.locate(f, func(d xds.Digest, at bodyLoc) { p.at[d] = at })
}

// drop takes out the places that match.
func (p *places) drop(match func(bodyLoc) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.at, func(_ xds.Digest, at bodyLoc) bool { return match(at) })
}
