package timeline_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/timeline"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// counts are what each recording gives: groups, and in how many of them
// something changed.
var counts = map[string][2]int{
	"01-seed-mysql-delta": {4, 3}, "02-seed-mysql-sotw": {4, 3}, "03-seed-redis": {6, 4}, "04-default-chain-flip": {5, 4},
	"05-cidr-and-exact": {5, 4}, "06-registry-only": {8, 7}, "07-nack": {8, 4}, "08-reconnect": {4, 2}, "09-endpoints-churn": {61, 60},
	"10-large": {11, 10}, "14-drain": {7, 6}, "15-large-sotw": {11, 10}, "16-connection-age": {7, 2}, "30-envoy-gateway-delta": {10, 7},
	"32-gcp-ads-sotw-ttl": {7, 6}, "34-gcp-mux-delta": {7, 6}, "36-agent-envoy-side": {5, 2}, "37-agent-istiod-side": {5, 2},
	"50-istio-1.4-v2": {5, 4}, "51-istio-1.6-v2": {5, 4},
}

func TestRecordings(t *testing.T) {
	for _, name := range recorded(t) {
		src := history(t, name)
		for _, id := range sidecars(t, src) {
			t.Run(name+"/"+id.Name(), func(t *testing.T) {
				changed, groups := 0, 0
				for _, e := range walk(real(src), recordsOf(t, src, id)) {
					t.Log(e.Time.Format("15:04:05.000"), line(e), e.Pushes)
					if e.Rule == "" {
						continue
					}
					groups++
					if len(e.Changes) > 0 {
						changed++
					}
					if !e.Settled {
						t.Errorf("#%d: not settled (%s)", e.First, e.Rule)
					}
				}
				if want, ok := counts[name]; ok && want != [2]int{groups, changed} {
					t.Errorf("%d groups, %d with changes; want %v", groups, changed, want)
				}
			})
		}
	}
}

// outline is what a walk gives, without times.
func outline(cfg timeline.Config, recs []xds.Record) string {
	var b strings.Builder
	for _, e := range walk(cfg, recs) {
		fmt.Fprintln(&b, e.Pushes, e.Baseline, e.Settled)
		for _, c := range e.Changes {
			fmt.Fprintln(&b, " ", c.Type, c.Name, c.Old, c.New)
		}
		for _, ev := range e.Events {
			fmt.Fprintln(&b, " ", ev.ID, ev.Kind, ev.Severity, ev.Push, ev.Ports)
		}
	}
	return b.String()
}

// slower returns the records with up to 0.9 s of silence before some of those
// that continue a group.
func slower(recs []xds.Record, r *rand.Rand, share float64) []xds.Record {
	out := slices.Clone(recs)
	var shift time.Duration
	for i := range out {
		if i > 0 && recs[i].Time.Sub(recs[i-1].Time) < 100*time.Millisecond && r.Float64() < share {
			shift += time.Duration(r.Float64() * 0.9 * float64(time.Second))
		}
		out[i].Time = recs[i].Time.Add(shift)
	}
	return out
}

// small leaves out the recordings that are long, for tests that walk many times.
func small(t *testing.T) []string {
	return slices.DeleteFunc(recorded(t), func(n string) bool { return strings.Contains(n, "large") })
}

func TestSilenceChangesNothing(t *testing.T) {
	for _, name := range small(t) {
		src := history(t, name)
		cfg := real(src)
		for _, id := range sidecars(t, src) {
			recs := recordsOf(t, src, id)
			want := outline(cfg, recs)
			for seed := range uint64(2) {
				if got := outline(cfg, slower(recs, rand.New(rand.NewPCG(seed, 1)), 0.5)); got != want {
					t.Errorf("%s, seed %d: with silence:\n%s\nwithout:\n%s", name, seed, got, want)
					break
				}
			}
		}
	}
}

// TestAdvanceChangesNothing calls Advance as a live reader does, at any moment
// up to the next record.
func TestAdvanceChangesNothing(t *testing.T) {
	for _, name := range small(t) {
		src := history(t, name)
		cfg := real(src)
		for _, id := range sidecars(t, src) {
			recs := recordsOf(t, src, id)
			w := timeline.New(cfg)
			var live []timeline.Entry
			for i, r := range recs {
				live = append(live, w.Record(r)...)
				for at := r.Time; i+1 < len(recs) && at.Before(recs[i+1].Time); at = at.Add(333 * time.Millisecond) {
					live = append(live, w.Advance(at)...)
				}
			}
			live = append(live, w.Finish()...)
			past := walk(cfg, recs)
			if !slices.EqualFunc(live, past, func(a, b timeline.Entry) bool { return line(a) == line(b) && a.Closed.Equal(b.Closed) }) {
				t.Errorf("%s: live %d entries, past %d", name, len(live), len(past))
			}
		}
	}
}

// TestEntriesJoin checks that nothing is lost between entries: each begins with
// what the one before ended with, and its steps lead from its beginning to its end.
func TestEntriesJoin(t *testing.T) {
	for _, name := range small(t) {
		src := history(t, name)
		for _, id := range sidecars(t, src) {
			var last *state.Snapshot
			for _, e := range walk(real(src), recordsOf(t, src, id)) {
				if e.Before != last {
					t.Errorf("%s #%d does not begin where the entry before ended", name, e.First)
				}
				last = e.After
				steps := e.Steps()
				if len(steps) > 0 && !equal(steps[len(steps)-1].Active, e.After) {
					t.Errorf("%s #%d..#%d: the last step is not the end", name, e.First, e.Last)
				}
			}
		}
	}
}

func equal(a, b *state.Snapshot) bool {
	for range state.Differences(a, b) {
		return false
	}
	return true
}

// TestSilenceEverywhere puts 0.9 s before every record that follows closely on
// another one. Groups of a beginning then run into the time limit; what is worth
// telling does not change.
func TestSilenceEverywhere(t *testing.T) {
	for _, name := range small(t) {
		src := history(t, name)
		cfg := real(src)
		for _, id := range sidecars(t, src) {
			recs := recordsOf(t, src, id)
			if got, want := events(cfg, stretched(recs)), events(cfg, recs); got != want {
				t.Errorf("%s: with silence:\n%s\nwithout:\n%s", name, got, want)
			}
		}
	}
}

func stretched(recs []xds.Record) []xds.Record {
	out := slices.Clone(recs)
	var shift time.Duration
	for i := range out {
		if i > 0 && recs[i].Time.Sub(recs[i-1].Time) < 100*time.Millisecond {
			shift += 900 * time.Millisecond
		}
		out[i].Time = recs[i].Time.Add(shift)
	}
	return out
}

// events are what a walk tells, but for what stands in a baseline.
func events(cfg timeline.Config, recs []xds.Record) string { return eventsOf(walk(cfg, recs)) }

// TestDeadForAMinute stops recording 34 when web-v1 has lost its endpoints: told
// at once as a rollout may look, and again when it still stands after a minute.
func TestDeadForAMinute(t *testing.T) {
	src := history(t, "34-gcp-mux-delta")
	recs := recordsOf(t, src, sidecars(t, src)[0])
	cut := slices.IndexFunc(recs, func(r xds.Record) bool { return r.Kind == xds.KindPush && r.Push.Number == 11 })
	w := timeline.New(real(src))
	for _, r := range recs[:cut] {
		w.Record(r)
	}
	end := recs[cut-1].Time
	var got []string
	for _, after := range []time.Duration{2 * time.Second, 59 * time.Second, 62 * time.Second, 200 * time.Second} {
		for _, e := range w.Advance(end.Add(after)) {
			for _, ev := range e.Events {
				got = append(got, fmt.Sprint(after, " ", ev.Kind, " ", ev.Severity, " ", ev.Revision))
			}
		}
	}
	if want := []string{"2s dead info 1", "1m2s dead high 2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestBaseInTheMiddle begins at a base between two groups: the later groups, and
// what is told of them, are the same, and nothing is told of what was there.
func TestBaseInTheMiddle(t *testing.T) {
	for _, name := range small(t) {
		src := history(t, name)
		cfg := real(src)
		for _, id := range sidecars(t, src) {
			recs := recordsOf(t, src, id)
			all := walk(cfg, recs)
			if len(all) < 3 {
				continue
			}
			from := all[2].First
			got, want := events(cfg, append([]xds.Record{baseBefore(t, cfg, recs, id, from)}, since(recs, from)...)), eventsOf(all[2:])
			if got != want {
				t.Errorf("%s from #%d:\n%s\nwant:\n%s", name, from, got, want)
			}
		}
	}
}

func since(recs []xds.Record, push uint64) []xds.Record {
	i := slices.IndexFunc(recs, func(r xds.Record) bool { return r.Kind == xds.KindPush && r.Push.Number == push })
	return recs[i:]
}

// baseBefore is the base of a sidecar right before a push.
func baseBefore(t *testing.T, cfg timeline.Config, recs []xds.Record, id xds.Sidecar, push uint64) xds.Record {
	t.Helper()
	f := state.New(traffic.NewEngine(cfg.Cache).Deps)
	for _, r := range recs[:len(recs)-len(since(recs, push))] {
		f.Apply(r)
	}
	b, ok := f.Base(id)
	if !ok {
		t.Fatal("no base")
	}
	return b
}

func eventsOf(es []timeline.Entry) string {
	var b strings.Builder
	for _, e := range es {
		for _, ev := range e.Events {
			if ev.Kind != xds.EvStanding {
				fmt.Fprintln(&b, ev.ID, ev.Kind, ev.Severity, ev.Push, ev.Ports, ev.Count)
			}
		}
	}
	return b.String()
}

// TestDamagedHistories walks recordings with records lost, doubled and in another
// order, under a clock that jumps: entries still join.
func TestDamagedHistories(t *testing.T) {
	for _, name := range small(t) {
		src := history(t, name)
		cfg := real(src)
		for _, id := range sidecars(t, src) {
			recs := recordsOf(t, src, id)
			for seed := range uint64(5) {
				var last *state.Snapshot
				for _, e := range walk(cfg, damaged(recs, rand.New(rand.NewPCG(seed, 2)))) {
					if !equal(e.Before, last) {
						t.Errorf("%s, seed %d: #%d does not begin where the entry before ended", name, seed, e.First)
					}
					last = e.After
				}
			}
		}
	}
}

func damaged(recs []xds.Record, r *rand.Rand) []xds.Record {
	var out []xds.Record
	for _, rec := range recs {
		switch p := r.Float64(); {
		case p < 0.1:
			continue
		case p < 0.15:
			out = append(out, rec)
		case p < 0.2 && len(out) > 0:
			rec, out[len(out)-1] = out[len(out)-1], rec
		case p < 0.22:
			rec.Time = rec.Time.Add(time.Duration(r.NormFloat64() * float64(time.Minute)))
		}
		out = append(out, rec)
	}
	return out
}
