package judge

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// verdictKinds are all kinds, and one from the future.
var verdictKinds = []xds.VerdictKind{
	xds.Passthrough, xds.Blocked, xds.Service, xds.NoEndpoints, xds.NoCluster, xds.NoChain, xds.NoRoute, xds.Stall,
	xds.LocalReply, xds.Refused, xds.Pending, xds.Tunnel, xds.Unknown, xds.NotIntercepted, "new-kind",
}

func anyVerdict(t *rapid.T, name string) xds.Verdict {
	v := xds.Verdict{
		Kind:       rapid.SampledFrom(verdictKinds).Draw(t, name),
		Inspection: rapid.SampledFrom([]string{"", "none", "sniffed", "http"}).Draw(t, "inspection"),
		Target:     rapid.SampledFrom([]string{"", "endpoints", "original-dst", "dns"}).Draw(t, "target"),
		Cluster:    rapid.SampledFrom([]string{"", "PassthroughCluster", "outbound|80||a.b", "outbound|80|v1|a.ns.svc.cluster.local", "||||", "x"}).Draw(t, "cluster"),
		Listener:   rapid.SampledFrom([]string{"", "virtualOutbound", "0.0.0.0_80", "10.0.0.1_80", "a/b", "_"}).Draw(t, "listener"),
		Transport:  rapid.SampledFrom([]string{"", "mtls"}).Draw(t, "transport"),
	}
	if rapid.Bool().Draw(t, "weighted") {
		v.Clusters = []xds.WeightedCluster{{Name: "a", Weight: 1}}
	}
	return v
}

func anyCell(t *rapid.T) xds.Cell {
	c := xds.Cell{
		Ports:        rapid.SampledFrom([]string{"", "*", "80", "1-3305,3307-65535", "x", "0-70000"}).Draw(t, "ports"),
		Destinations: rapid.SliceOfN(rapid.SampledFrom([]string{"0.0.0.0/0", "::/0", "10.0.0.1/32", "240.240.1.1/32", "junk", "::1/128"}), 0, 3).Draw(t, "destinations"),
		Except:       rapid.SliceOfN(rapid.SampledFrom([]string{"0.0.0.0/0", "10.0.0.1/32", "junk"}), 0, 2).Draw(t, "except"),
	}
	for _, k := range rapid.SliceOfN(rapid.SampledFrom(xds.SignalKinds), 0, 7).Draw(t, "signals") {
		c.Signals = append(c.Signals, xds.Class{Kind: k, Hosts: rapid.SliceOfN(rapid.SampledFrom([]string{"a", "*"}), 0, 2).Draw(t, "hosts")})
	}
	return c
}

// Whatever comes in, what comes out is well-formed events, the same twice, and
// what is remembered can be used.
func TestAnyInput(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var m Memory
		for n := range rapid.IntRange(1, 5).Draw(r, "groups") {
			in := anyGroup(r, n, m)
			evs := Judge(in)
			for _, e := range evs {
				wellFormed(t, e)
			}
			if tell(evs) != tell(Judge(in)) {
				r.Fatal("not the same twice")
			}
			m = Next(in, evs)
			_, m = Due(m, in.Last.Time.Add(time.Hour), in.New, netip.Addr{})
		}
	})
}

func anyGroup(r *rapid.T, n int, m Memory) Input {
	in := storyInput{}.input(nil, n)
	in.Memory, in.New = m, fixed{xds.Verdict{Kind: xds.Service}}
	for range rapid.IntRange(0, 4).Draw(r, "shifts") {
		in.Shifts = append(in.Shifts, xds.Shift{
			Cells:  []xds.Cell{anyCell(r)},
			Before: anyVerdict(r, "before"), After: anyVerdict(r, "after"),
			Witness: rapid.SampledFrom([]string{"", "10.0.0.1:80", "junk", "[::1]:80"}).Draw(r, "witness"),
		})
	}
	if rapid.Bool().Draw(r, "watch") {
		in.Watch = []Watch{{netip.MustParsePrefix("10.0.0.0/8"), 0}, {}}
	}
	for _, k := range rapid.SliceOfN(rapid.SampledFrom(xds.EventKinds), 0, 3).Draw(r, "facts") {
		in.Facts = append(in.Facts, Fact{Kind: k, Push: in.First, Resource: rapid.SampledFrom([]xds.Resource{{}, {Type: xds.ListenerType}, {Type: xds.SecretType, Name: "x"}}).Draw(r, "resource"), Message: rapid.StringN(0, 20, 40).Draw(r, "message")})
	}
	return in
}
