package state

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// TestAnyRecords folds whatever comes, sensible or not. What is active is always
// part of what is accepted, what the streams hold is what is held, and a base
// restores all of it.
func TestAnyRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := New(func(_ string, d xds.Digest) []Ref {
			if d[0]%3 == 0 {
				return []Ref{{xds.EndpointType, "n0"}}
			}
			return nil
		})
		g := &gen{t: t}
		for range rapid.IntRange(1, 40).Draw(t, "records") {
			f.Apply(g.record())
			checkInvariants(t, f)
		}
	})
}

type gen struct {
	t    *rapid.T
	push uint64
}

var genTypes = []string{xds.ListenerType, xds.ClusterType, xds.EndpointType, xds.RouteType, "type.googleapis.com/envoy.api.v2.Listener", "istio.io/debug"}

func (g *gen) pick(label string, n int) int { return rapid.IntRange(0, n-1).Draw(g.t, label) }

func (g *gen) names(label string) []string {
	var out []string
	for range g.pick(label, 4) {
		out = append(out, fmt.Sprint("n", g.pick("name", 4)))
	}
	return out
}

func (g *gen) record() xds.Record {
	r := xds.Record{Sidecar: who, Stream: uint64(1 + g.pick("stream", 4)), Kind: xds.Kind(1 + g.pick("kind", 6))}
	typ, delta := genTypes[g.pick("type", len(genTypes))], g.pick("delta", 2) == 0
	switch r.Kind {
	case xds.KindOpen:
		r.Open = &xds.Open{Method: []string{deltaADS, sotwADS, deltaEDS, ""}[g.pick("method", 4)]}
	case xds.KindRequest:
		r.Request = g.request(typ, delta)
	case xds.KindPush:
		r.Push = g.response(typ, delta)
	case xds.KindAnswer:
		r.Answer = &xds.Answer{Push: uint64(g.pick("push", int(g.push)+2)), Request: *g.request(typ, delta), Repeat: uint64(g.pick("repeat", 2))}
		if g.pick("nack", 3) == 0 {
			r.Answer.Error = &xds.Status{Message: "Error adding/updating listener(s) n1: bad\nn2: bad"}
		}
	case xds.KindClose:
		r.Close = &xds.Close{By: []string{"client", "server"}[g.pick("by", 2)]}
	case xds.KindGap:
		r.Gap = &xds.Gap{Reason: "lost"}
	}
	return r
}

func (g *gen) request(typ string, delta bool) *xds.Request {
	q := &xds.Request{Type: typ, Delta: delta, Names: g.names("subscribe"), Unsubscribe: g.names("unsubscribe"), Version: []string{"", "v1"}[g.pick("version", 2)]}
	if init := g.names("initial"); delta && len(init) > 0 {
		q.Initial = map[string]string{}
		for _, n := range init {
			q.Initial[n] = ""
		}
	}
	return q
}

func (g *gen) response(typ string, delta bool) *xds.Push {
	g.push++
	p := &xds.Push{Number: g.push, Type: typ, Delta: delta, Version: []string{"", "v1", "v2"}[g.pick("version", 3)], Removed: g.names("removed")}
	for _, n := range g.names("resources") {
		p.Resources = append(p.Resources, xds.Entry{Name: n, State: xds.EntryState(g.pick("state", 3)), Digest: dig(fmt.Sprint(g.pick("body", 6)))})
	}
	return p
}

func checkInvariants(t *rapid.T, f *Fold) {
	v, ok := f.View(who)
	if !ok {
		t.Fatal("no view")
	}
	for _, typ := range v.Active.Types() {
		for n := range v.Active.All(typ) {
			if _, ok := v.Accepted.Lookup(typ, n); !ok {
				t.Fatalf("%s %s is active and not accepted", typ, n)
			}
		}
	}
	checkJoined(t, f.sides[who])
	b, _ := f.Base(who)
	again := New(f.deps)
	again.Apply(b)
	w, _ := again.View(who)
	for what, pair := range map[string][2]*Snapshot{"offered": {v.Offered, w.Offered}, "accepted": {v.Accepted, w.Accepted}, "active": {v.Active, w.Active}} {
		for d := range Differences(pair[0], pair[1]) {
			t.Fatalf("%s after a base: %+v", what, d)
		}
	}
	if len(v.Pending) != len(w.Pending) || len(v.Warming) != len(w.Warming) || v.Connected != w.Connected {
		t.Fatalf("after a base:\n%+v\n%+v", v, w)
	}
}

// checkJoined lays the streams over one another, the newer over the older.
func checkJoined(t *rapid.T, s *side) {
	e := (*Snapshot)(nil).Edit()
	for _, id := range s.streamIDs() {
		for _, typ := range s.streams[id].accepted.Types() {
			for n, d := range s.streams[id].accepted.All(typ) {
				e.Set(typ, n, d)
			}
		}
	}
	for d := range Differences(e.Done(), s.accepted) {
		t.Fatalf("joined: %+v", d)
	}
}
