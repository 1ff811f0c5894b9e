package judge

import (
	"net/netip"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// fixed is a View in which every destination has the same verdict.
type fixed struct{ v xds.Verdict }

func (f fixed) Resolve(netip.AddrPort, netip.Addr, xds.Signal) xds.Verdict { return f.v }
func (f fixed) Owner(xds.Verdict) *xds.Owner                               { return nil }

func deadStory(t *testing.T) (Input, []xds.Event) {
	t.Helper()
	in := readStory(t, "testdata/dead-endpoints.txtar").in
	in.New = nil
	return in, Judge(in)
}

// A cluster that stays without endpoints is told again after a minute of record
// time: the same event, now high.
func TestDeadIsToldAgain(t *testing.T) {
	in, evs := deadStory(t)
	m := Next(in, evs)
	since := evs[0].Time
	if m.Wake() != since.Add(DeadAfter) {
		t.Errorf("wakes at %s", m.Wake())
	}
	still := fixed{in.Shifts[0].After}
	early, m := Due(m, since.Add(DeadAfter-time.Millisecond), still, netip.Addr{})
	if len(early) != 0 {
		t.Errorf("told too early: %v", early)
	}
	late, m := Due(m, since.Add(DeadAfter), still, netip.Addr{})
	if len(late) != 1 || late[0].Severity != xds.High || late[0].Revision != 2 || late[0].ID != evs[0].ID {
		t.Fatalf("got %+v", late)
	}
	if again, m := Due(m, since.Add(time.Hour), still, netip.Addr{}); len(again) != 0 || !m.Wake().IsZero() {
		t.Errorf("told twice: %v", again)
	}
}

// What has got endpoints again meanwhile is not told, even when it is dead once
// more at the time of asking.
func TestDeadThatRecovered(t *testing.T) {
	in, evs := deadStory(t)
	m := Next(in, evs)
	alive := Input{First: PushRef{50, evs[0].Time.Add(20 * time.Second)}, New: fixed{in.Shifts[0].Before}, Memory: m}
	m = Next(alive, Judge(alive))
	if out, _ := Due(m, evs[0].Time.Add(DeadAfter), fixed{in.Shifts[0].After}, netip.Addr{}); len(out) != 0 {
		t.Errorf("got %+v", out)
	}
}

// What was told as worse at once is not told again.
func TestDeadAtOnceIsNotPending(t *testing.T) {
	in := readStory(t, "testdata/dead-subset.txtar").in
	if m := Next(in, Judge(in)); !m.Wake().IsZero() {
		t.Errorf("wakes at %s", m.Wake())
	}
}

// A flap is forgotten with its window.
func TestFlapWindow(t *testing.T) {
	s := readStory(t, "testdata/flap.txtar")
	s.in.First.Time = s.in.First.Time.Add(FlapWindow)
	s.in.Last.Time = s.in.Last.Time.Add(FlapWindow)
	if evs := Judge(s.in); has(evs, xds.EvFlap) {
		t.Errorf("moves of an hour ago are a flap: %s", tell(evs))
	}
}

// A Memory is a value: judging twice with the same one gives the same.
func TestMemoryIsAValue(t *testing.T) {
	s := readStory(t, "testdata/flap.txtar")
	a := tell(Judge(s.in))
	Next(s.in, Judge(s.in))
	Due(s.in.Memory, start.Add(time.Hour), nil, netip.Addr{})
	if b := tell(Judge(s.in)); a != b {
		t.Errorf("first\n%s\nthen\n%s", a, b)
	}
}
