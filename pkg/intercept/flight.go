package intercept

import (
	"bytes"
	"sync"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// flight holds the bytes of new resources while their messages are on the way,
// once however many clients are sent them at the same time: after a restart of
// the control plane all of them are.
type flight struct {
	budget *budget
	mu     sync.Mutex // guards bodies
	bodies map[xds.Key]*held
}

type held struct {
	raw   []byte
	users int
}

func newFlight(b *budget) *flight { return &flight{budget: b, bodies: map[xds.Key]*held{}} }

// hold returns a copy of b that stays, or nil where there is no room for it.
func (f *flight) hold(key xds.Key, b []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.bodies[key]
	if h == nil {
		if !f.budget.take(len(b)) {
			return nil
		}
		h = &held{raw: bytes.Clone(b)}
		f.bodies[key] = h
	}
	h.users++
	return h.raw
}

// release ends one hold. Who has the bytes may keep them.
func (f *flight) release(key xds.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.bodies[key]
	if h.users--; h.users == 0 {
		delete(f.bodies, key)
		f.budget.give(len(h.raw))
	}
}
