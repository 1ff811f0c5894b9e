package state

import (
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func TestRejectionsNameTheirResources(t *testing.T) {
	const pre, cpre = "Error adding/updating listener(s) ", "Error adding/updating cluster(s) "
	for _, c := range []struct {
		what, typ, msg string
		active         []string // after a push of a=2 b=2 a:b=2 -gone over a=1 b=1 gone
	}{
		{"one of several", xds.ListenerType, pre + "a: no such filter", []string{"a=1", "a:b=2", "b=2"}},
		{"two, on lines", xds.ListenerType, pre + "a: no such filter\nb: neither\n", []string{"a=1", "a:b=2", "b=1"}},
		{"a name with a colon", xds.ListenerType, pre + "a:b: bad", []string{"a=2", "b=2"}},
		{"two clusters", xds.ClusterType, cpre + "a: bad, b: worse", []string{"a=1", "a:b=2", "b=1"}},
		{"a name in the middle is no blame", xds.ClusterType, cpre + "b: conflicts with a: really", []string{"a=2", "a:b=2", "b=1"}},
		{"nobody: a constraint at the top", xds.ListenerType, "Proto constraint validation failed (ListenerValidationError.Address: ...)", []string{"a=1", "b=1", "gone"}},
		{"nobody: a duplicate", xds.ListenerType, "duplicate name a found among added/updated resources", []string{"a=1", "b=1", "gone"}},
		{"a constraint inside one", xds.ListenerType, pre + "a: Proto constraint validation failed (TcpProxyValidationError...)", []string{"a=1", "a:b=2", "b=2"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newWire(t)
			w.open(1, deltaADS)
			w.ask(1, xds.Request{Type: c.typ})
			w.give(1, c.typ, "a=1", "b=1", "gone")
			w.answer(w.send(1, c.typ, "a=2", "b=2", "a:b=2", "-gone"), c.msg)
			w.has(c.typ, c.active...)
			w.in(w.view().Offered, c.typ, "a=2", "a:b=2", "b=2")
		})
	}
}

// TestANameTwice: in state of the world Envoy keeps the first of two listeners
// with one name and rejects the second.
func TestANameTwice(t *testing.T) {
	w := newWire(t)
	w.open(1, sotwADS)
	w.ask(1, xds.Request{Type: xds.ListenerType})
	w.give(1, xds.ListenerType, "a=1", "b=1", "c=1")
	w.answer(w.send(1, xds.ListenerType, "a=2", "b=2", "a=3"), "Error adding/updating listener(s) a: duplicate listener a found\n")
	w.has(xds.ListenerType, "a=2", "b=2")
}

func TestRejectionEpisodes(t *testing.T) {
	w := newWire(t)
	w.open(1, deltaADS)
	w.ask(1, xds.Request{Type: xds.ListenerType})
	w.give(1, xds.ListenerType, "a=1")
	bad := "Error adding/updating listener(s) a: no such filter"
	if s := w.answer(w.send(1, xds.ListenerType, "a=2"), bad); len(s.Rejected) != 1 || s.Rejected[0].Name != "a" || s.Rejected[0].Message != "no such filter" {
		t.Errorf("no episode: %+v", s.Rejected)
	}
	if s := w.answer(w.send(1, xds.ListenerType, "a=3"), bad); len(s.Rejected) != 0 || w.view().Rejected[0].Count != 2 {
		t.Errorf("an equal rejection is a new episode: %+v", s.Rejected)
	}
	if s := w.give(1, xds.ListenerType, "b"); len(s.Cleared) != 0 {
		t.Errorf("cleared by a push without it: %+v", s.Cleared)
	}
	if s := w.give(1, xds.ListenerType, "-a"); len(s.Cleared) != 1 || len(w.view().Rejected) != 0 {
		t.Errorf("not cleared by its removal: %+v", s.Cleared)
	}
}

func TestRejectedEndpointsAreUncertainWhenOthersWereWithThem(t *testing.T) {
	w := newWire(t)
	w.open(1, deltaADS)
	w.ask(1, xds.Request{Type: xds.EndpointType, Names: []string{"a", "b"}})
	w.give(1, xds.EndpointType, "a=1", "b=1")
	w.answer(w.send(1, xds.EndpointType, "a=2", "b=2"), "malformed endpoint")
	w.has(xds.EndpointType, "a=1", "b=1")
	if w.view().Uncertain[xds.EndpointType] == "" {
		t.Error("not uncertain")
	}
	w.give(1, xds.EndpointType, "a=3", "b=3")
	if len(w.view().Uncertain) != 0 {
		t.Errorf("still uncertain: %v", w.view().Uncertain)
	}
}
