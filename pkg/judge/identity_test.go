package judge

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// The id of an event does not depend on the order of shifts, on when it was
// seen or how often it is computed; its group is that of every sidecar.
func TestIdentity(t *testing.T) {
	in := readStory(t, "testdata/closed.txtar").in
	one := Judge(in)[0]
	slices.Reverse(in.Shifts)
	in.First.Time, in.Last.Number = in.First.Time.Add(time.Hour), in.Last.Number+7
	if two := Judge(in)[0]; two.ID != one.ID || two.Group != one.Group {
		t.Errorf("ids %s and %s, groups %s and %s", one.ID, two.ID, one.Group, two.Group)
	}
	in.Sidecar.Node = "sidecar~10.0.0.8~web-2.shop~x"
	in.First.Number += 100
	if two := Judge(in)[0]; two.ID == one.ID || two.Group != one.Group {
		t.Errorf("another sidecar: ids %s and %s, groups %s and %s", one.ID, two.ID, one.Group, two.Group)
	}
}

// No two events of all stories share an id, unless they are the same event.
func TestIdsAreDistinct(t *testing.T) {
	for _, s := range stories(t) {
		ids := map[string]bool{}
		for _, e := range Judge(s.in) {
			if ids[e.ID] {
				t.Errorf("%s: two events with id %s", s.name, e.ID)
			}
			ids[e.ID] = true
		}
	}
}

// The push of an event is that after which its witness moved.
func TestPushOfTheWitness(t *testing.T) {
	in := readStory(t, "testdata/watch.txtar").in
	in.FirstPush = func(dst netip.AddrPort, sig xds.Signal, before xds.Verdict) PushRef {
		if dst.String() != "10.10.13.111:3306" || sig.Kind != xds.ServerFirst || before.Kind != xds.Passthrough {
			t.Errorf("asked for %s %s %s", dst, sig.Kind, before.Kind)
		}
		return PushRef{41, start.Add(time.Second)}
	}
	e := Judge(in)[0]
	if e.Push != "#41" || fmt.Sprint(e.Pushes) != "[#40 #42]" || e.Time != start.Add(time.Second) {
		t.Errorf("push %s of %v at %s", e.Push, e.Pushes, e.Time)
	}
}

func TestParseWatch(t *testing.T) {
	for in, want := range map[string]string{
		"10.10.13.110:3306": "[{10.10.13.110/32 3306}]", "[2001:db8::1]:80": "[{2001:db8::1/128 80}]", "10.1.2.3": "[{10.1.2.3/32 0}]",
		"10.1.2.3/8": "[{10.0.0.0/8 0}]", "10.0.0.0/8:3306": "[{10.0.0.0/8 3306}]", "2001:db8::/32": "[{2001:db8::/32 0}]",
		"[2001:db8::/32]:80": "[{2001:db8::/32 80}]", "*:3306": "[{0.0.0.0/0 3306} {::/0 3306}]",
		"host:80": "", "10.0.0.1:http": "", "3306": "", "*:0": "",
	} {
		got, err := ParseWatch(in)
		if (err != nil) != (want == "") || err == nil && fmt.Sprint(got) != want {
			t.Errorf("%q: %v %v, want %s", in, got, err, want)
		}
	}
}

// byPort is a View that knows who owns a port.
type byPort map[uint16]xds.Verdict

func (b byPort) Resolve(dst netip.AddrPort, _ netip.Addr, sig xds.Signal) xds.Verdict {
	v, ok := b[dst.Port()]
	if !ok || v.Kind == xds.Stall && sig.Kind != xds.ServerFirst {
		return xds.Verdict{Kind: xds.Passthrough}
	}
	return v
}
func (b byPort) Owner(xds.Verdict) *xds.Owner { return nil }

// What stands in a baseline: ports that a service owns for destinations that
// nobody declared; not the catch-all, not HTTP ports, not single addresses.
func TestStanding(t *testing.T) {
	store := map[xds.Digest][]byte{}
	var s *state.Snapshot
	for name, json := range map[string]string{
		"0.0.0.0_3306":    `{"address":{"socketAddress":{"address":"0.0.0.0","portValue":3306}},"additionalAddresses":[{"address":{"socketAddress":{"address":"::","portValue":3306}}}]}`,
		"0.0.0.0_80":      `{"address":{"socketAddress":{"address":"0.0.0.0","portValue":80}}}`,
		"10.1.2.3_5432":   `{"address":{"socketAddress":{"address":"10.1.2.3","portValue":5432}}}`,
		"virtualOutbound": `{"useOriginalDst":true,"address":{"socketAddress":{"address":"0.0.0.0","portValue":15001}}}`,
		"virtualInbound":  `{"trafficDirection":"INBOUND","address":{"socketAddress":{"address":"0.0.0.0","portValue":15006}}}`,
	} {
		var l listenerv3.Listener
		if err := protojson.Unmarshal([]byte(json), &l); err != nil {
			t.Fatal(err)
		}
		a, _ := anypb.New(&l)
		raw, _ := proto.Marshal(a)
		b := xds.NewBody(raw)
		store[b.Digest] = b.Bytes
		s = s.With(xds.ListenerType, name, b.Digest)
	}
	cache := decode.New(func(d xds.Digest) ([]byte, bool) { b, ok := store[d]; return b, ok }, 0)
	dead := xds.Verdict{Kind: xds.NoEndpoints, Cluster: "outbound|3306||mysql.demo"}
	view := byPort{3306: dead, 80: {Kind: xds.Stall}, 5432: dead, 15001: dead, 15006: dead}
	facts := Standing(s, cache, view, Node{}, PushRef{4, start})
	evs := Judge(Input{Facts: facts, New: view})
	if len(evs) != 1 || evs[0].Kind != xds.EvStanding || evs[0].Ports != "3306" || len(evs[0].Cells) != 2 || evs[0].Owner.Host != "mysql.demo" || evs[0].Push != "#4" {
		t.Errorf("got %+v", evs)
	}
}
