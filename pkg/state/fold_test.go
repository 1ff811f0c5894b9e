package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const (
	deltaADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
	sotwADS  = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
	deltaEDS = "/envoy.service.endpoint.v3.EndpointDiscoveryService/DeltaEndpoints"
)

var who = xds.Sidecar{Node: "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local"}

// wire makes the records of one sidecar.
type wire struct {
	t      *testing.T
	f      *Fold
	delta  map[uint64]bool
	push   uint64
	of     map[uint64]xds.Record
	names  map[string][]string
	bodies map[xds.Digest]string
	steps  []Step
}

// newWire folds with a Deps that reads bodies such as "eds:x".
func newWire(t *testing.T) *wire {
	w := &wire{t: t, delta: map[uint64]bool{}, of: map[uint64]xds.Record{}, names: map[string][]string{}, bodies: map[xds.Digest]string{}}
	w.f = New(func(_ string, d xds.Digest) []Ref {
		if name, ok := strings.CutPrefix(w.bodies[d], "eds:"); ok {
			return []Ref{{xds.EndpointType, name}}
		}
		if name, ok := strings.CutPrefix(w.bodies[d], "rds:"); ok {
			return []Ref{{xds.RouteType, name}}
		}
		return nil
	})
	return w
}

func (w *wire) apply(r xds.Record) Step {
	r.Sidecar, r.Time = who, time.Unix(1000, 0)
	s := w.f.Apply(r)
	w.steps = append(w.steps, s)
	return s
}

func (w *wire) open(stream uint64, method string) {
	w.delta[stream] = strings.Contains(method, "/Delta")
	w.apply(xds.Record{Kind: xds.KindOpen, Stream: stream, Open: &xds.Open{Method: method}})
}

func (w *wire) close(stream uint64, by string) Step {
	return w.apply(xds.Record{Kind: xds.KindClose, Stream: stream, Close: &xds.Close{By: by}})
}

func (w *wire) ask(stream uint64, q xds.Request) Step {
	q.Delta = w.delta[stream]
	if !q.Delta {
		w.names[fmt.Sprint(stream, q.Type)] = q.Names
	}
	return w.apply(xds.Record{Kind: xds.KindRequest, Stream: stream, Request: &q})
}

// send pushes "name", "name=body" and "-name".
func (w *wire) send(stream uint64, typ string, what ...string) uint64 {
	w.push++
	p := &xds.Push{Number: w.push, Type: typ, Version: fmt.Sprint("v", w.push), Delta: w.delta[stream]}
	for _, s := range what {
		if s[0] == '-' {
			p.Removed = append(p.Removed, s[1:])
			continue
		}
		name, body, ok := strings.Cut(s, "=")
		if !ok {
			body = name
		}
		w.bodies[dig(body)] = body
		p.Resources = append(p.Resources, xds.Entry{Name: name, Digest: dig(body)})
	}
	r := xds.Record{Kind: xds.KindPush, Stream: stream, Push: p}
	w.of[w.push] = r
	w.apply(r)
	return w.push
}

func (w *wire) answer(push uint64, err string) Step {
	r := w.of[push]
	a := &xds.Answer{Push: push, Request: xds.Request{Type: r.Push.Type, Delta: r.Push.Delta, Names: w.names[fmt.Sprint(r.Stream, r.Push.Type)]}}
	if err != "" {
		a.Error = &xds.Status{Message: err}
	}
	return w.apply(xds.Record{Kind: xds.KindAnswer, Stream: r.Stream, Answer: a})
}

// give pushes and acknowledges.
func (w *wire) give(stream uint64, typ string, what ...string) Step {
	return w.answer(w.send(stream, typ, what...), "")
}

// has checks "name=body" lists of the active (or another) snapshot.
func (w *wire) has(typ string, want ...string) {
	w.t.Helper()
	w.in(w.f.Active(who), typ, want...)
}

func (w *wire) in(s *Snapshot, typ string, want ...string) {
	w.t.Helper()
	var got []string
	for n, d := range s.All(typ) {
		body := w.bodies[d]
		if d == xds.Bodyless {
			body = "?"
		}
		if body == n {
			got = append(got, n)
		} else {
			got = append(got, n+"="+body)
		}
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("%s: got %v, want %v", xds.ShortType(typ), got, want)
	}
}

func (w *wire) view() View {
	v, _ := w.f.View(who)
	return v
}

func TestOmission(t *testing.T) {
	w := newWire(t)
	w.open(1, sotwADS)
	for _, typ := range []string{xds.ListenerType, xds.ClusterType} {
		w.ask(1, xds.Request{Type: typ})
		w.give(1, typ, "a", "b")
		w.give(1, typ, "b")
		w.has(typ, "b")
	}
	for _, typ := range []string{xds.EndpointType, xds.RouteType, xds.SecretType, xds.ExtensionType} {
		w.ask(1, xds.Request{Type: typ, Names: []string{"a", "b"}})
		w.give(1, typ, "a", "b")
		w.give(1, typ, "b=2")
		w.has(typ, "a", "b=2")
		w.ask(1, xds.Request{Type: typ, Names: []string{"b"}})
		w.has(typ, "b=2")
	}
	w.give(1, xds.ListenerType)
	w.has(xds.ListenerType)
}

func TestDeltaRemovals(t *testing.T) {
	w := newWire(t)
	w.open(1, deltaADS)
	for _, c := range []struct {
		typ  string
		want []string
	}{{xds.ListenerType, []string{"b"}}, {xds.ClusterType, []string{"b"}}, {xds.EndpointType, []string{"a", "b"}}, {xds.RouteType, []string{"a", "b"}}} {
		w.ask(1, xds.Request{Type: c.typ, Names: []string{"a", "b"}})
		w.give(1, c.typ, "a", "b")
		w.give(1, c.typ, "-a")
		w.has(c.typ, c.want...)
		w.ask(1, xds.Request{Type: c.typ, Unsubscribe: []string{"a"}})
		w.has(c.typ, "b")
	}
}

func TestAnAnswerDoesNotBringBackWhatWasUnsubscribed(t *testing.T) {
	w := newWire(t)
	w.open(1, deltaADS)
	w.ask(1, xds.Request{Type: xds.EndpointType, Names: []string{"a", "b"}})
	p := w.send(1, xds.EndpointType, "a", "b")
	w.ask(1, xds.Request{Type: xds.EndpointType, Unsubscribe: []string{"a"}})
	w.answer(p, "")
	w.has(xds.EndpointType, "b")
}

func TestOneNameInBothLists(t *testing.T) {
	w := newWire(t)
	w.open(1, deltaADS)
	for typ, want := range map[string][]string{xds.ListenerType: {"a=2"}, xds.ClusterType: nil} {
		w.ask(1, xds.Request{Type: typ})
		w.give(1, typ, "a=1")
		w.give(1, typ, "a=2", "-a")
		w.has(typ, want...)
	}
}

func TestWarming(t *testing.T) {
	w := newWire(t)
	w.open(1, deltaADS)
	w.ask(1, xds.Request{Type: xds.ClusterType})
	w.ask(1, xds.Request{Type: xds.ListenerType})
	w.give(1, xds.ClusterType, "a=eds:a")
	w.give(1, xds.ListenerType, "l=x")
	w.give(1, xds.ListenerType, "l=rds:r", "m=rds:r")
	w.has(xds.ClusterType)
	w.has(xds.ListenerType, "l=x")
	w.in(w.f.Accepted(who), xds.ListenerType, "l=rds:r", "m=rds:r")
	if v := w.view(); len(v.Warming) != 3 || v.Warming[0].Waits[0].Name != "a" {
		t.Errorf("warming: %+v", v.Warming)
	}
	w.give(1, xds.EndpointType, "a")
	w.give(1, xds.ListenerType, "-m")
	w.give(1, xds.RouteType, "r")
	w.has(xds.ClusterType, "a=eds:a")
	w.has(xds.ListenerType, "l=rds:r")
	if v := w.view(); len(v.Warming) != 0 {
		t.Errorf("still warming: %+v", v.Warming)
	}
}

func TestSeveralStreamsAreOneState(t *testing.T) {
	w := newWire(t)
	w.open(1, "/envoy.service.cluster.v3.ClusterDiscoveryService/DeltaClusters")
	w.ask(1, xds.Request{Type: xds.ClusterType})
	w.give(1, xds.ClusterType, "a=eds:a", "b=eds:b")
	for i, n := range []string{"a", "b"} {
		w.open(uint64(2+i), deltaEDS)
		w.ask(uint64(2+i), xds.Request{Type: xds.EndpointType, Names: []string{n}})
		w.give(uint64(2+i), xds.EndpointType, n)
	}
	w.has(xds.EndpointType, "a", "b")
	w.close(2, "client") // still referred to: the client only goes away
	w.has(xds.EndpointType, "a", "b")
	w.give(1, xds.ClusterType, "-b")
	w.close(3, "client") // a cluster is gone, and with it its endpoints
	w.has(xds.EndpointType, "a")
	w.open(4, deltaEDS)
	w.ask(4, xds.Request{Type: xds.EndpointType, Names: []string{"a"}, Initial: map[string]string{"a": "1"}})
	w.has(xds.EndpointType, "a")
	if v := w.view(); v.Incarnation != 1 || v.Mismatches != 0 || len(v.Streams) != 2 {
		t.Errorf("%d lives, %d mismatches, %d streams", v.Incarnation, v.Mismatches, len(v.Streams))
	}
}

// TestTwoClientsOfOneNode: grpc-go opens a stream for each channel, all with one
// node id, and each names other listeners.
func TestTwoClientsOfOneNode(t *testing.T) {
	w := newWire(t)
	for stream, name := range map[uint64]string{1: "a", 2: "b"} {
		w.open(stream, sotwADS)
		w.ask(stream, xds.Request{Type: xds.ListenerType, Names: []string{name}})
	}
	for range 2 {
		w.give(1, xds.ListenerType, "a")
		w.give(2, xds.ListenerType, "b")
		w.has(xds.ListenerType, "a", "b")
	}
	w.give(1, xds.ListenerType) // by name too, absent is gone
	w.has(xds.ListenerType, "b")
	w.give(1, xds.ListenerType, "a")
	w.close(1, "server")
	w.close(2, "server")
	w.open(3, sotwADS)
	w.ask(3, xds.Request{Type: xds.ListenerType, Names: []string{"b"}, Version: "v"})
	w.has(xds.ListenerType, "a", "b")
	w.open(4, sotwADS)
	w.ask(4, xds.Request{Type: xds.ListenerType, Names: []string{"a"}, Version: "v"})
	w.has(xds.ListenerType, "a", "b")
	w.close(4, "client")
	w.has(xds.ListenerType, "b")
}

func TestTheNewerStreamCounts(t *testing.T) {
	w := newWire(t)
	for stream := range uint64(2) {
		w.open(stream+1, sotwADS)
		w.ask(stream+1, xds.Request{Type: xds.ListenerType, Names: []string{"a"}})
	}
	w.give(2, xds.ListenerType, "a=new")
	w.give(1, xds.ListenerType, "a=old")
	w.has(xds.ListenerType, "a=new")
	w.in(w.view().Offered, xds.ListenerType, "a=new")
	w.give(2, xds.ListenerType)
	w.has(xds.ListenerType, "a=old")
}

func TestReconnectBringsTheListOfNames(t *testing.T) {
	w := newWire(t)
	w.open(1, deltaADS)
	w.ask(1, xds.Request{Type: xds.ListenerType})
	w.give(1, xds.ListenerType, "a", "b", "c")
	w.close(1, "server")
	w.has(xds.ListenerType, "a", "b", "c")
	w.open(2, deltaADS)
	w.ask(2, xds.Request{Type: xds.ListenerType, Initial: map[string]string{"a": "", "b": "", "new": ""}})
	w.has(xds.ListenerType, "a", "b", "new=?")
	if v := w.view(); v.Mismatches != 2 || v.Incarnation != 1 {
		t.Errorf("%d mismatches, %d lives", v.Mismatches, v.Incarnation)
	}
}

func TestReconnectSettlesWhatWasNotAnswered(t *testing.T) {
	for _, method := range []string{deltaADS, sotwADS} {
		for _, took := range []bool{true, false} {
			w := newWire(t)
			w.open(1, method)
			w.ask(1, xds.Request{Type: xds.ListenerType})
			w.give(1, xds.ListenerType, "a")
			w.send(1, xds.ListenerType, "a", "b")
			w.close(1, "server")
			w.open(2, method)
			claims := xds.Request{Type: xds.ListenerType, Version: "v1", Initial: map[string]string{"a": ""}}
			want := []string{"a"}
			if took {
				claims.Version, claims.Initial["b"] = "v2", ""
				want = []string{"a", "b"}
			}
			w.ask(2, claims)
			w.has(xds.ListenerType, want...)
			if m := w.view().Mismatches; m != 0 {
				t.Errorf("%s, taken %v: %d mismatches", method, took, m)
			}
		}
	}
}

func TestIncarnations(t *testing.T) {
	w := newWire(t)
	w.open(1, deltaADS)
	w.ask(1, xds.Request{Type: xds.ClusterType})
	w.give(1, xds.ClusterType, "a")
	w.ask(1, xds.Request{Type: xds.ListenerType})
	w.give(1, xds.ListenerType, "l")
	w.close(1, "server")
	w.open(2, deltaADS) // reaches nothing, and says nothing
	w.close(2, "server")
	if v := w.view(); v.Incarnation != 1 || v.Connected {
		t.Errorf("%+v", v)
	}
	w.open(3, deltaADS)
	if s := w.ask(3, xds.Request{Type: xds.ClusterType}); !s.Incarnation || w.view().Incarnation != 2 {
		t.Errorf("no new life: %+v", s)
	}
	w.has(xds.ListenerType)
	if s := w.ask(3, xds.Request{Type: xds.ListenerType}); s.Incarnation {
		t.Error("the second type is a second life")
	}
	w.give(3, xds.ClusterType, "a")
	w.open(4, sotwADS) // another client of the same node
	if s := w.ask(4, xds.Request{Type: xds.ListenerType, Names: []string{"x"}}); s.Incarnation {
		t.Error("a second stream beside an open one is a new life")
	}
}

func TestAnEmptyVersionMayBeTheLastOne(t *testing.T) {
	w := newWire(t)
	w.open(1, sotwADS)
	w.ask(1, xds.Request{Type: xds.ListenerType})
	p := w.send(1, xds.ListenerType, "a")
	w.of[p].Push.Version = ""
	w.f = New(nil)
	for _, r := range []xds.Record{{Kind: xds.KindOpen, Stream: 1, Open: &xds.Open{Method: sotwADS}},
		{Kind: xds.KindRequest, Stream: 1, Request: &xds.Request{Type: xds.ListenerType}}, w.of[p]} {
		w.apply(r)
	}
	w.answer(p, "")
	w.close(1, "server")
	w.open(2, sotwADS)
	if s := w.ask(2, xds.Request{Type: xds.ListenerType}); s.Incarnation {
		t.Error("the version that was accepted last is empty: no new life")
	}
	w.has(xds.ListenerType, "a")
}

func TestGapsMakeUncertainUntilAllIsSaidAgain(t *testing.T) {
	w := newWire(t)
	w.open(1, sotwADS)
	w.ask(1, xds.Request{Type: xds.ListenerType})
	w.ask(1, xds.Request{Type: xds.EndpointType, Names: []string{"a", "b"}})
	w.give(1, xds.ListenerType, "l")
	w.give(1, xds.EndpointType, "a", "b")
	w.f.Apply(xds.Record{Kind: xds.KindGap, Gap: &xds.Gap{Reason: "queue full"}})
	if u := w.view().Uncertain; u[xds.ListenerType] != "gap: queue full" || u[xds.EndpointType] == "" {
		t.Errorf("uncertain: %v", u)
	}
	w.give(1, xds.ListenerType)
	w.give(1, xds.EndpointType, "a")
	if u := w.view().Uncertain; u[xds.ListenerType] != "" || u[xds.EndpointType] == "" {
		t.Errorf("after a full and a partial response: %v", u)
	}
	w.give(1, xds.EndpointType, "a", "b")
	if u := w.view().Uncertain; len(u) != 0 {
		t.Errorf("after all of it: %v", u)
	}
}

func TestABaseOfNobodysStreamsIsTakenOver(t *testing.T) {
	f := New(nil)
	f.Apply(xds.Record{Kind: xds.KindBase, Sidecar: who, Base: &xds.Base{Push: 41, Types: []xds.BaseType{{Type: xds.ListenerType,
		Resources: []xds.BaseEntry{{Name: "a", Digest: dig("a"), Held: xds.HeldOffered | xds.HeldAccepted}, {Name: "b", Held: xds.HeldOffered | xds.HeldAccepted}}}}}})
	w := newWire(t)
	w.f, w.push = f, 41
	w.bodies[dig("a")] = "a"
	w.has(xds.ListenerType, "a", "b=?")
	w.delta[9] = true
	w.give(9, xds.ListenerType, "-a", "c")
	w.has(xds.ListenerType, "b=?", "c")
	if v := w.view(); v.LastPush != 42 || v.Incarnation != 1 {
		t.Errorf("%+v", v)
	}
}

func TestReorder(t *testing.T) {
	push := func(n uint64) xds.Record {
		return xds.Record{Sidecar: who, Kind: xds.KindPush, Push: &xds.Push{Number: n}}
	}
	answer := func(n uint64) xds.Record {
		return xds.Record{Sidecar: who, Kind: xds.KindAnswer, Answer: &xds.Answer{Push: n}}
	}
	var got []string
	for _, r := range Reorder([]xds.Record{answer(3), push(4), {Sidecar: who, Kind: xds.KindRequest}, push(5), answer(5), answer(4), answer(4), answer(0)}) {
		s := r.Kind.String()
		if r.Push != nil {
			s += fmt.Sprint(r.Push.Number)
		}
		if r.Answer != nil {
			s += fmt.Sprint(r.Answer.Push)
		}
		got = append(got, s)
	}
	if want := "answer3 push4 answer4 answer4 request push5 answer5 answer0"; strings.Join(got, " ") != want {
		t.Errorf("got %s", strings.Join(got, " "))
	}
}

func TestForkGoesItsOwnWay(t *testing.T) {
	w := newWire(t)
	w.open(1, deltaADS)
	w.ask(1, xds.Request{Type: xds.ListenerType})
	p := w.send(1, xds.ListenerType, "a")
	fork := w.f.Fork(who)
	w.answer(p, "")
	w.has(xds.ListenerType, "a")
	w.in(fork.Active(who), xds.ListenerType)
	if v, _ := fork.View(who); len(v.Pending) != 1 {
		t.Errorf("pending in the fork: %v", v.Pending)
	}
}
