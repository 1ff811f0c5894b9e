package state

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func dig(s string) xds.Digest { return xds.DigestOf([]byte(s)) }

func TestSnapshotKeepsOldVersions(t *testing.T) {
	var empty *Snapshot
	a := empty.With(xds.ListenerType, "l1", dig("1"))
	b := a.With(xds.TypePrefix+"envoy.api.v2.Listener", "l1", dig("2")).With(xds.ClusterType, "c", dig("c"))
	c := b.Without(xds.ListenerType, "l1")
	if d, _ := a.Lookup(xds.ListenerType, "l1"); d != dig("1") {
		t.Errorf("a changed: %v", d)
	}
	if d, _ := b.Lookup(xds.ListenerType, "l1"); d != dig("2") {
		t.Errorf("a v2 type URL is another type: %v", d)
	}
	if got := c.Types(); !slices.Equal(got, []string{xds.ClusterType}) {
		t.Errorf("types after the last listener went: %v", got)
	}
	if c.Without(xds.ClusterType, "c") != nil {
		t.Error("the empty snapshot is not nil")
	}
	if b.With(xds.ClusterType, "c", dig("c")) != b {
		t.Error("setting what is there made a new snapshot")
	}
}

// model is what a Snapshot stands for.
type model map[string]map[string]xds.Digest

func (m model) set(typ, name string, d xds.Digest) {
	if m[typ] == nil {
		m[typ] = map[string]xds.Digest{}
	}
	m[typ][name] = d
}

func TestSnapshotIsAMap(t *testing.T) {
	types := []string{xds.ListenerType, xds.ClusterType, xds.EndpointType}
	rapid.Check(t, func(t *rapid.T) {
		var s *Snapshot
		m := model{}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			typ, name := rapid.SampledFrom(types).Draw(t, "type"), fmt.Sprint("n", rapid.IntRange(0, 20).Draw(t, "name"))
			if rapid.Bool().Draw(t, "delete") {
				s = s.Without(typ, name)
				delete(m[typ], name)
				continue
			}
			d := dig(fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "digest")))
			s = s.With(typ, name, d)
			m.set(typ, name, d)
		}
		for _, typ := range types {
			checkType(t, s, typ, m[typ])
		}
	})
}

func checkType(t *rapid.T, s *Snapshot, typ string, want map[string]xds.Digest) {
	if s.Len(typ) != len(want) {
		t.Fatalf("%s: %d resources, want %d", typ, s.Len(typ), len(want))
	}
	last := ""
	for name, d := range s.All(typ) {
		if want[name] != d || name <= last {
			t.Fatalf("%s %s = %v after %q, want %v", typ, name, d, last, want[name])
		}
		last = name
	}
}

func TestDifferencesLeadFromOneToTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) *Snapshot {
			e := (*Snapshot)(nil).Edit()
			for range rapid.IntRange(0, 30).Draw(t, label) {
				e.Set(xds.ClusterType, fmt.Sprint("n", rapid.IntRange(0, 40).Draw(t, "name")), dig(fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "digest"))))
			}
			return e.Done()
		}
		a, b := draw("a"), draw("b")
		e := a.Edit()
		for d := range Differences(a, b) {
			if d.New.IsZero() {
				e.Delete(d.Type, d.Name)
				continue
			}
			e.Set(d.Type, d.Name, d.New)
		}
		for d := range Differences(e.Done(), b) {
			t.Fatalf("left over: %+v", d)
		}
	})
}

func big(n int) *Snapshot {
	e := (*Snapshot)(nil).Edit()
	for i := range n {
		e.Set(xds.ClusterType, fmt.Sprintf("outbound|80||svc-%d.ns.svc.cluster.local", i), dig(fmt.Sprint(i)))
	}
	return e.Done()
}

func TestDifferencesCostWhatDiffers(t *testing.T) {
	a := big(20000)
	b := a.With(xds.ClusterType, "new", dig("new"))
	n := testing.AllocsPerRun(10, func() {
		for range Differences(a, b) {
		}
	})
	if n > 20 {
		t.Errorf("%v allocations for one difference in 20000", n)
	}
}

func BenchmarkWithIn20k(b *testing.B) {
	s := big(20000)
	b.ReportAllocs()
	for i := range b.N {
		s = s.With(xds.ClusterType, "one", dig(fmt.Sprint(i)))
	}
}

func BenchmarkDifferences20k(b *testing.B) {
	s := big(20000)
	o := s.With(xds.ClusterType, "one", dig("x"))
	b.ReportAllocs()
	for range b.N {
		for range Differences(s, o) {
		}
	}
}
