package state

import (
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// TestNamelessResourceIsNotGone: of a resource neither name nor content was
// recorded. What the push does not name may be it, so nothing is taken away.
func TestNamelessResourceIsNotGone(t *testing.T) {
	id := xds.Sidecar{Node: "n"}
	f := New(nil)
	push := func(n uint64, nonce string, entries ...xds.Entry) {
		f.Apply(xds.Record{Kind: xds.KindPush, Stream: 1, Sidecar: id, Push: &xds.Push{Number: n, Type: xds.ListenerType, Nonce: nonce, Resources: entries}})
		f.Apply(xds.Record{Kind: xds.KindAnswer, Stream: 1, Sidecar: id, Answer: &xds.Answer{Push: n, Request: xds.Request{Type: xds.ListenerType, Nonce: nonce}}})
	}
	f.Apply(xds.Record{Kind: xds.KindOpen, Stream: 1, Sidecar: id, Open: &xds.Open{}})
	push(1, "a", xds.Entry{Name: "one", Digest: xds.Digest{1}}, xds.Entry{Name: "two", Digest: xds.Digest{2}})
	push(2, "b", xds.Entry{Name: "one", Digest: xds.Digest{1}}, xds.Entry{State: xds.EntryBodyless})
	v, _ := f.View(id)
	if d, ok := v.Accepted.Lookup(xds.ListenerType, "two"); !ok || d != (xds.Digest{2}) {
		t.Errorf("two is %v, %v after a push that may hold it", d, ok)
	}
	if v.Uncertain[xds.ListenerType] == "" {
		t.Error("nothing says that the listeners are uncertain")
	}
}
