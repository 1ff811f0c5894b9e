package judge

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Every verdict kind has its place in the table of events.
func TestEveryVerdictKindHasAFamily(t *testing.T) {
	for _, k := range []xds.VerdictKind{
		xds.Passthrough, xds.Blocked, xds.Service, xds.NoEndpoints, xds.NoCluster, xds.NoChain, xds.NoRoute,
		xds.Stall, xds.LocalReply, xds.Refused, xds.Pending, xds.Tunnel, xds.Unknown, xds.NotIntercepted,
	} {
		if families[k] == "" {
			t.Errorf("%s has no family", k)
		}
	}
}

// The whole table, as it is promised to readers of events.
func TestKindTable(t *testing.T) {
	svc := func(cluster, transport string) xds.Verdict {
		return xds.Verdict{Kind: xds.Service, Cluster: cluster, Transport: transport}
	}
	v := func(k xds.VerdictKind) xds.Verdict { return xds.Verdict{Kind: k} }
	pt := func(i string) xds.Verdict { return xds.Verdict{Kind: xds.Passthrough, Inspection: i} }
	for _, c := range []struct {
		before, after xds.Verdict
		want          xds.EventKind
	}{
		{pt("none"), pt("sniffed"), xds.EvInspected}, {pt("sniffed"), pt("http"), xds.EvInspected}, {pt("http"), pt("none"), none},
		{pt(""), v(xds.Blocked), xds.EvClosed}, {pt(""), svc("a", ""), xds.EvCapture}, {pt(""), v(xds.Tunnel), xds.EvCapture}, {pt(""), v(xds.LocalReply), xds.EvCapture},
		{pt(""), v(xds.NoEndpoints), xds.EvDeadCapture}, {pt(""), v(xds.NoCluster), xds.EvDeadCapture}, {pt(""), v(xds.NoChain), xds.EvDeadCapture},
		{pt(""), v(xds.NoRoute), xds.EvDeadCapture}, {pt(""), v(xds.Refused), xds.EvDeadCapture}, {pt(""), v(xds.Stall), xds.EvStalled}, {pt(""), v(xds.Unknown), xds.EvUnsure},
		{v(xds.Blocked), pt(""), xds.EvOpened}, {v(xds.Blocked), svc("a", ""), xds.EvOpened}, {v(xds.Blocked), v(xds.NoEndpoints), none},
		{v(xds.Blocked), v(xds.Stall), none}, {v(xds.Blocked), v(xds.Unknown), xds.EvUnsure},
		{svc("a", ""), pt(""), xds.EvRelease}, {svc("a", ""), v(xds.Blocked), xds.EvClosed}, {svc("a", ""), svc("b", ""), xds.EvRetarget},
		{svc("a", ""), svc("a", "mtls"), xds.EvTransport}, {svc("a", ""), svc("b", "mtls"), xds.EvRetarget}, {svc("a", ""), v(xds.LocalReply), xds.EvRetarget},
		{svc("a", ""), v(xds.NoEndpoints), xds.EvDead}, {svc("a", ""), v(xds.NoRoute), xds.EvDead}, {svc("a", ""), v(xds.Stall), xds.EvStalled}, {svc("a", ""), v(xds.Unknown), xds.EvUnsure},
		{v(xds.Stall), pt(""), xds.EvRelease}, {v(xds.Refused), pt(""), xds.EvRelease}, {v(xds.NoChain), svc("a", ""), xds.EvRevived}, {v(xds.Stall), svc("a", ""), xds.EvRevived},
		{v(xds.NoEndpoints), v(xds.Blocked), none}, {v(xds.NoEndpoints), v(xds.NoCluster), none}, {v(xds.Stall), v(xds.Unknown), none},
		{v(xds.Unknown), svc("a", ""), none}, {v(xds.Unknown), pt(""), none}, {v(xds.Pending), svc("a", ""), none}, {pt(""), v(xds.Pending), none},
		{svc("a", ""), v(xds.NotIntercepted), xds.EvDead}, {v(xds.NotIntercepted), svc("a", ""), xds.EvRevived}, {v(xds.NotIntercepted), pt(""), none},
	} {
		if got := KindOf(c.before, c.after); got != c.want {
			t.Errorf("%s/%s -> %s/%s: %q, want %q", c.before.Kind, c.before.Inspection, c.after.Kind, c.after.Inspection, got, c.want)
		}
	}
}

// Every severity rule and every remedy is used by some story: a rule that no
// story reaches is dead or shadowed.
func TestEveryRuleIsReached(t *testing.T) {
	rules, remedies := map[string]bool{}, map[int]bool{}
	for _, s := range stories(t) {
		for _, x := range s.in.Shifts {
			if f, ok := s.in.find(x); ok {
				rules[severityRule(f.trait).name] = true
			}
		}
		for _, e := range Judge(s.in) {
			for _, r := range e.Remedies {
				remedies[remedyNumber(e, r, s.in)] = true
			}
		}
	}
	for _, r := range severities {
		if !rules[r.name] {
			t.Errorf("no story reaches the rule %q", r.name)
		}
	}
	for i := range remedyRules {
		if !remedies[i] {
			t.Errorf("no story gets remedy %d (for %v)", i, remedyRules[i].kinds)
		}
	}
}

// remedyNumber finds the rule that wrote a remedy.
func remedyNumber(e xds.Event, r xds.Remedy, in Input) int {
	return slices.IndexFunc(remedyRules, func(x remedyRule) bool {
		s := situationOf(e, xds.Shift{}, in.Node)
		return slices.Contains(x.kinds, e.Kind) && x.when(s) && x.write(s).Title == r.Title
	})
}

func TestPorts(t *testing.T) {
	for in, want := range map[string]string{
		"3306": "3306", "*": "*", "1-65535": "*", "1-3305,3307-65535": "1-3305,3307-65535", "5,1-4,6": "1-6", "": "", "x,7": "7",
	} {
		if got := parsePorts(in).String(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestCellsMerge(t *testing.T) {
	cell := func(ports string, kinds ...xds.SignalKind) xds.Cell {
		c := xds.Cell{Ports: ports, Destinations: []string{"0.0.0.0/0"}}
		for _, k := range kinds {
			c.Signals = append(c.Signals, xds.Class{Kind: k})
		}
		return c
	}
	got := mergeCells([]xds.Cell{cell("80", xds.ServerFirst, xds.Bytes, xds.HTTP10), cell("81"), cell("80", xds.HTTP11, xds.H2C, xds.TLS), cell("82", xds.TLS)})
	if len(got) != 2 || got[0].Ports != "80-81" || got[0].Signals != nil || len(got[1].Signals) != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestManyCellsAreCut(t *testing.T) {
	var cells []xds.Cell
	for i := range 100 {
		cells = append(cells, xds.Cell{Ports: "80", Destinations: []string{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 0}), 24+i%2).String()}})
	}
	e := Judge(Input{First: PushRef{Number: 1}, Shifts: []xds.Shift{{Cells: cells, Before: xds.Verdict{Kind: xds.Passthrough}, After: xds.Verdict{Kind: xds.Blocked}}}})[0]
	if len(e.Cells) != 64 || e.More != 36 || e.Cells[0].Destinations[0] != "10.0.0.0/24" {
		t.Errorf("%d cells, %d more, first %v", len(e.Cells), e.More, e.Cells[0])
	}
}

// A witness that is watched already stays the witness.
func TestWatchKeepsTheWitness(t *testing.T) {
	any4 := Watch{netip.MustParsePrefix("0.0.0.0/0"), 3306}
	s := xds.Shift{Witness: "10.10.13.110:3306", Cells: []xds.Cell{{Ports: "3306", Destinations: []string{"0.0.0.0/0"}}}}
	if got, ok := (Input{Watch: []Watch{any4}}).watched(s); !ok || got.String() != s.Witness {
		t.Errorf("got %v", got)
	}
}

func TestWatchFindsAMember(t *testing.T) {
	cell := xds.Cell{Ports: "3306", Destinations: []string{"10.0.0.0/8"}, Except: []string{"10.10.13.110/32", "10.10.13.111/32"}}
	for _, c := range []struct {
		watch string
		port  uint16
		want  string
	}{
		{"10.10.13.112/32", 3306, "10.10.13.112:3306"}, {"10.10.13.110/32", 3306, ""}, {"10.10.13.110/31", 3306, ""}, {"10.10.13.110/30", 0, "10.10.13.108:3306"},
		{"10.10.13.112/32", 3307, ""}, {"11.0.0.0/8", 0, ""}, {"0.0.0.0/0", 0, "10.0.0.0:3306"}, {"::/0", 0, ""},
	} {
		got, ok := Watch{netip.MustParsePrefix(c.watch), c.port}.in(cell)
		if (c.want != "") != ok || ok && got.String() != c.want {
			t.Errorf("%s %d: %v, want %s", c.watch, c.port, got, c.want)
		}
	}
}
