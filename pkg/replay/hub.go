package replay

import (
	"context"
	"strconv"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// hub holds the streams of all clients. Its methods are called by the streams'
// goroutines and by the Player.
type hub struct {
	bodies *Bodies

	mu      sync.Mutex // guards all below
	changed chan struct{}
	streams map[*stream]bool
	world   World
	serving bool // world may be served
	coming  func(typ, name string) bool
	active  time.Time // of the last message of any client, or to one
	nonces  int
	clients int
	node    *corev3.Node // of the first client that told
	served  []*delivery  // of what no step brought, not reported yet
}

func newHub(b *Bodies) *hub {
	return &hub{bodies: b, changed: make(chan struct{}), streams: map[*stream]bool{}, coming: func(string, string) bool { return false }}
}

// delivery is one response on its way, and what came back.
type delivery struct {
	typ       string
	resources int
	removed   int
	at        time.Time
	answered  time.Time // zero: not yet
	nack      string    // the client's words
	rejected  bool
	gone      bool // its stream has ended
	altered   bool // something in it was replaced or dropped, other than secrets
}

func (d *delivery) done() bool { return !d.answered.IsZero() || d.gone }

// touch wakes who waits. Callers hold the lock.
func (h *hub) touch() {
	h.active = time.Now()
	close(h.changed)
	h.changed = make(chan struct{})
}

// wait returns true as soon as ok holds, which is called under the lock, and false
// when the time is over or ctx is done.
func (h *hub) wait(ctx context.Context, limit time.Duration, ok func() bool) bool {
	t := time.NewTimer(limit)
	defer t.Stop()
	for {
		h.mu.Lock()
		fine, changed := ok(), h.changed
		h.mu.Unlock()
		if fine {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
			return false
		case <-changed:
		}
	}
}

// quiet waits until nothing was said for a while, at most limit.
func (h *hub) quiet(ctx context.Context, silence, limit time.Duration) {
	end := time.Now().Add(limit)
	for time.Now().Before(end) && ctx.Err() == nil {
		h.mu.Lock()
		left := silence - time.Since(h.active)
		h.mu.Unlock()
		if left <= 0 {
			return
		}
		h.wait(ctx, left, func() bool { return false })
	}
}

// asked reports whether some stream subscribed to a type. Callers hold the lock.
func (h *hub) asked(typ string) bool {
	for s := range h.streams {
		if s.subs[typ] != nil {
			return true
		}
	}
	return false
}

func (h *hub) wanted(typ, name string) bool {
	for s := range h.streams {
		if sub := s.subs[typ]; sub != nil && sub.takes(name) {
			return true
		}
	}
	return false
}

// push sends a step to all that asked for something in it. Callers do not hold the
// lock.
func (h *hub) push(st *Step) []*delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.world = st.After
	var out []*delivery
	for s := range h.streams {
		if sub := s.subs[st.Type]; sub != nil {
			if d := s.step(h, sub, st); d != nil {
				out = append(out, d)
			}
		}
	}
	h.touch()
	return out
}

// supply answers what a client asked for and still waits for, as far as the world
// holds it and no recorded push is about to bring it. Callers hold the lock.
func (h *hub) supply(s *stream, sub *subscription, force bool) {
	if !h.serving || len(sub.wants) == 0 {
		return
	}
	coming := h.coming
	if force {
		coming = func(string, string) bool { return false }
	}
	names := h.supplies(sub, coming)
	if names == nil {
		return
	}
	h.served = append(h.served, s.state(h, sub, names))
}

// supplies lists what supply sends; nil: nothing, not even an empty answer.
func (h *hub) supplies(sub *subscription, coming func(typ, name string) bool) []string {
	var names []string
	if sub.wants[all] {
		if h.world.Len(sub.typ) == 0 || coming(sub.typ, all) {
			return nil
		}
		for n := range h.world.snapshot(sub.typ).All(sub.typ) {
			names = append(names, n)
		}
		return names
	}
	for n := range sub.wants {
		if sub.typ == xds.SecretType {
			names = append(names, n)
		} else if _, ok := h.world.Lookup(sub.typ, n); ok && !coming(sub.typ, n) {
			names = append(names, n)
		}
	}
	return names
}

// supplyAll is supply for everybody. Callers do not hold the lock.
func (h *hub) supplyAll(force bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.streams {
		for _, sub := range s.subs {
			h.supply(s, sub, force)
		}
	}
}

// lacking lists what clients wait for and nothing recorded brought, by type.
// Callers do not hold the lock.
func (h *hub) lacking() map[string][]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string][]string{}
	for s := range h.streams {
		for typ, sub := range s.subs {
			for n := range sub.wants {
				out[typ] = append(out[typ], n)
			}
		}
	}
	return out
}

// send queues a response. Callers hold the lock.
func (h *hub) send(s *stream, sub *subscription, m proto.Message, nonce string, d *delivery) *delivery {
	d.typ, d.at = sub.typ, time.Now()
	sub.sent[nonce] = d
	s.queue = append(s.queue, m)
	select {
	case s.ready <- struct{}{}:
	default:
	}
	h.active = d.at
	return d
}

func (h *hub) nonce() string {
	h.nonces++
	return "replay-" + strconv.Itoa(h.nonces)
}
