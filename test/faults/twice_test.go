package faults

import (
	"strings"
	"testing"
)

// TestTwoOnOneStore starts a second proxy on the store of a running one: it
// forwards and records nothing, and the first one's history is not touched.
func TestTwoOnOneStore(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	one := start(t, config{upstream: p.addr})
	a := newChurn(connect(t, one.target, p), 100, 10)
	a.next()
	two := start(t, config{upstream: p.addr, store: one.store, quiet: true})
	two.await("health degraded", two.degraded)
	if !strings.Contains(two.log.String(), "another process writes to it") {
		t.Error("the second one does not say why it records nothing")
	}
	b := newChurn(connect(t, two.target, p), 100, 10)
	for range 5 {
		b.next()
		a.next()
	}
	b.finish()
	two.stop()
	if one.degraded() {
		t.Errorf("the first one is no longer well: %s", one.get("/healthz"))
	}
	a.next()
	a.finish()
	one.stop()
	if n := len(held(t, one.store).pushes()); n != 7 {
		t.Errorf("%d pushes, the first one forwarded 7", n)
	}
	verified(t, one.store)
}
