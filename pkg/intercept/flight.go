package intercept

import (
	"bytes"
	"sync"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// flight holds new resources while their messages are on the way, once however
// many clients are sent them at the same time: after a restart of the control
// plane all of them are.
type flight struct {
	budget *budget
	mu     sync.Mutex // guards what follows and the users in it; never held while bytes are copied
	bodies map[xds.Key]*held
	types  map[string]string // each type URL once: a push has one, for thousands of resources
}

// maxTypes bounds the type URLs that are kept once; Envoy has a dozen.
const maxTypes = 64

// held is a resource that was not known when it passed. Nothing in it changes but
// users.
type held struct {
	key       xds.Key
	state     xds.ChunkState // raw, or why its bytes are not there
	raw       []byte
	name, typ string
	sum       xds.Digest
	cost      int  // taken from the budget
	shared    bool // else it belongs to one message
	users     int  // of a shared one
}

// heldCost is what a resource takes besides its bytes and names.
const heldCost = 128

func newFlight(b *budget) *flight {
	return &flight{budget: b, bodies: map[xds.Key]*held{}, types: map[string]string{}}
}

// hold returns the resource b of that key, without its bytes where there is no
// room for them; nil where there is no room at all.
func (f *flight) hold(key xds.Key, b []byte, s shape) *held {
	if h := f.join(key); h != nil {
		return h
	}
	h := &held{key: key, state: xds.ChunkRaw, raw: []byte{}, shared: true, users: 1}
	h.name, h.typ = labelsOf(s, b)
	h.cost = heldCost + len(h.name)
	if typ, ok := f.once(h.typ); ok {
		h.typ = typ
	} else {
		h.cost += len(h.typ)
	}
	switch {
	case f.budget.takeBody(h.cost + len(b)):
		h.cost += len(b)
		if len(b) > 0 {
			h.raw = bytes.Clone(b)
		}
		return f.enter(h)
	case f.budget.take(h.cost):
		h.state, h.raw, h.shared = xds.ChunkBodyless, nil, false
		return h
	}
	return nil
}

func (f *flight) join(key xds.Key) *held {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.bodies[key]
	if h != nil {
		h.users++
	}
	return h
}

// once is the one copy of a type URL.
func (f *flight) once(typ string) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known, ok := f.types[typ]; ok || len(f.types) >= maxTypes {
		return known, ok
	}
	f.types[typ] = typ
	return typ, true
}

// enter shares h, or gives it up for one that came first.
func (f *flight) enter(h *held) *held {
	f.mu.Lock()
	defer f.mu.Unlock()
	if first := f.bodies[h.key]; first != nil {
		first.users++
		f.budget.give(h.cost)
		return first
	}
	f.bodies[h.key] = h
	return h
}

// release ends one use. Who has the bytes may keep them.
func (f *flight) release(h *held) {
	if !h.shared {
		f.budget.give(h.cost)
		return
	}
	f.leave(h)
}

func (f *flight) leave(h *held) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h.users--; h.users == 0 {
		delete(f.bodies, h.key)
		f.budget.give(h.cost)
	}
}
