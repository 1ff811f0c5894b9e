package query

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/timeline"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func accountOf(t *testing.T, name string) *Account {
	t.Helper()
	all, err := New(Config{Source: recording(t, name)}).Account(t.Context(), WalkOptions{}, nil)
	if err != nil || len(all) != 1 {
		t.Fatalf("%s: %d accounts, %v", name, len(all), err)
	}
	return all[0]
}

func (a *Account) of(typ string) *TypeAccount {
	for _, t := range a.Types {
		if t.Type == typ {
			return t
		}
	}
	return &TypeAccount{}
}

// TestTallies: what the pushes of real control planes brought.
func TestTallies(t *testing.T) {
	for _, c := range []struct {
		name, typ string
		want      Tally
	}{
		// Sixty endpoint changes: none is empty, and none moves traffic.
		{"09-endpoints-churn", xds.EndpointType, Tally{Pushes: 61, Bytes: 72480, NoShift: 60, Added: 100, Changed: 60}},
		// Every full push sends all listeners again for one that changed.
		{"10-large", xds.ListenerType, Tally{Pushes: 9, Bytes: 18497111, NoOp: 1, NoOpBytes: 2055448, IdleBytes: 16097986, Added: 2010, Changed: 2, Removed: 3}},
		// Four reconnects, and a full push without any change after the first connection.
		{"16-connection-age", xds.ListenerType, Tally{Pushes: 8, Bytes: 128682, NoOp: 5, NoOpBytes: 80566, Reconnect: 4, IdleBytes: 111566, Added: 5, Removed: 1}},
		// All listeners in other bytes with nearly every push.
		{"30-envoy-gateway-delta", xds.ListenerType, Tally{Pushes: 10, Bytes: 73562, NoOp: 4, NoOpBytes: 31665, Reconnect: 1, IdleBytes: 48414,
			NoShift: 1, Added: 8, Changed: 2, Removed: 4, Reencoded: 17, Rejected: 1}},
		// Heartbeats are no pushes.
		{"32-gcp-ads-sotw-ttl", xds.EndpointType, Tally{Pushes: 7, Bytes: 4006, NoOp: 4, NoOpBytes: 2318, Reconnect: 1, IdleBytes: 2536, Added: 3, Changed: 3, Heartbeats: 14}},
	} {
		got := accountOf(t, c.name).of(c.typ).Tally
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s %s (-want +got):\n%s", c.name, xds.ShortType(c.typ), d)
		}
	}
}

// TestEveryResponseIsCounted: a storm of rejections counts push by push, although
// it was recorded as one. The recording holds 1897 responses.
func TestEveryResponseIsCounted(t *testing.T) {
	sum := accountOf(t, "32-gcp-ads-sotw-ttl").Total()
	if n := sum.Pushes + sum.Heartbeats; n != 1897 {
		t.Errorf("%d pushes and %d heartbeats are %d responses, want 1897", sum.Pushes, sum.Heartbeats, n)
	}
	if sum.Rejected != 1856 || sum.Repeated != 1855 || sum.NoOp < sum.Repeated {
		t.Errorf("%d rejected, %d repeated, %d changed nothing; want 1856, 1855 and those at least", sum.Rejected, sum.Repeated, sum.NoOp)
	}
}

// TestChurn: what changed again and again, and what went to and fro.
func TestChurn(t *testing.T) {
	ends := accountOf(t, "09-endpoints-churn").of(xds.EndpointType)
	if want := (FieldChurn{"endpoints[default].lb_endpoints[...]", 60, 40}); ends.Fields[0] != want {
		t.Errorf("most frequent is %+v, want %+v", ends.Fields[0], want)
	}
	if len(ends.Resources) != 11 || slices.ContainsFunc(ends.Resources, func(r ResourceChurn) bool { return r.Moves > 0 }) {
		t.Errorf("resources that changed again: %+v, want 11, none to and fro", ends.Resources)
	}

	policy := accountOf(t, "06-registry-only")
	want := ResourceChurn{Name: "virtualOutbound", Changes: 4, Moves: 4}
	if ls := policy.of(xds.ListenerType); !slices.Contains(ls.Resources, want) {
		t.Errorf("no %+v in %+v", want, ls.Resources)
	}
	if len(policy.Flaps) != 1 || policy.Flaps[0].Push != "#30" {
		t.Errorf("flaps: %+v, want one at #30", policy.Flaps)
	}
}

// TestAccountOfASpan: only the pushes of the time that is wanted are counted, whether
// the walk begins at a base or at the beginning.
func TestAccountOfASpan(t *testing.T) {
	src := recording(t, "16-connection-age")
	since := time.Date(2026, 11, 22, 19, 39, 20, 0, time.UTC)
	late := func(at time.Time) bool { return !at.Before(since) }
	for what, s := range map[string]Source{"file": src, "store": openStore(t, stored(t, src, only1(t, src)))} {
		all, err := New(Config{Source: s}).Account(t.Context(), WalkOptions{Since: since}, late)
		if err != nil || len(all) != 1 {
			t.Fatalf("%s: %d accounts, %v", what, len(all), err)
		}
		got := all[0].Total()
		if got.Pushes != 4 || got.NoOp != 4 || got.Reconnect != 4 || all[0].First.Before(since) {
			t.Errorf("%s: %+v since %s, want the four pushes of the last reconnect", what, got, all[0].First)
		}
	}
}

// accountant counts pushes that are made up, of one sidecar.
func accountant(t *testing.T, pushes ...xds.Push) (*Accountant, xds.Sidecar) {
	t.Helper()
	id := xds.Sidecar{Node: "sidecar~10.0.0.1~web.shop~shop.svc.cluster.local"}
	k := New(Config{Source: &record.Memory{}}).NewAccountant(nil)
	k.Record(xds.Record{Seq: 1, Kind: xds.KindOpen, Stream: 1, Sidecar: id, Open: &xds.Open{}})
	for i, p := range pushes {
		p.Number, p.Delta, p.Size = uint64(i)+1, true, 100
		k.Record(xds.Record{Seq: uint64(i) + 2, Kind: xds.KindPush, Stream: 1, Sidecar: id, Push: &p})
	}
	return k, id
}

// TestWhatWasNotRecordedIsNotCalledEmpty: without the content nobody knows.
func TestWhatWasNotRecordedIsNotCalledEmpty(t *testing.T) {
	bodyless := xds.Push{Type: xds.SecretType, Resources: []xds.Entry{{Name: "default", State: xds.EntryBodyless}}}
	k, _ := accountant(t, bodyless, bodyless,
		xds.Push{Type: xds.SecretType, Omitted: "too large"},
		xds.Push{Type: "istio.io/debug/syncz"})
	want := Tally{Pushes: 3, Bytes: 300, Added: 1, Unknown: 2}
	if got := k.Accounts()[0].Total(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestLateAnswerMovesTraffic: a push that seemed to move nothing did so once it was
// accepted.
func TestLateAnswerMovesTraffic(t *testing.T) {
	one := xds.Push{Type: xds.ListenerType, Resources: []xds.Entry{{Name: "a", Digest: xds.DigestOf([]byte("a"))}}}
	k, id := accountant(t, one)
	k.Entry(timeline.Entry{ID: id, First: 1, Last: 1, Pushes: []uint64{1}})
	if n := k.Accounts()[0].Total().NoShift; n != 1 {
		t.Fatalf("%d pushes without a shift, want 1", n)
	}
	k.Entry(timeline.Entry{ID: id, First: 1, Last: 1, Shifts: []xds.Shift{{}}})
	if n := k.Accounts()[0].Total().NoShift; n != 0 {
		t.Errorf("%d pushes without a shift, want 0: its answer came late", n)
	}
}

// TestGoneSidecarsAreForgotten: their counts stay, what they held does not.
func TestGoneSidecarsAreForgotten(t *testing.T) {
	k, id := accountant(t, xds.Push{Type: xds.ListenerType, Resources: []xds.Entry{{Name: "a", Digest: xds.DigestOf([]byte("a"))}}})
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	k.Record(xds.Record{Seq: 3, Time: at, Kind: xds.KindClose, Stream: 1, Sidecar: id, Close: &xds.Close{}})
	for i, after := range []time.Duration{time.Minute, 2 * farewell} {
		if v, _ := k.fold.View(id); v.Offered.Len(xds.ListenerType) != 1 {
			t.Fatalf("forgotten %d others later, while it may come back", i)
		}
		other := xds.Sidecar{Node: "other" + after.String()}
		k.Record(xds.Record{Seq: uint64(4 + i), Time: at.Add(after), Kind: xds.KindOpen, Stream: 2, Sidecar: other, Open: &xds.Open{}})
	}
	if v, ok := k.fold.View(id); ok {
		t.Errorf("still holds %d listeners", v.Offered.Len(xds.ListenerType))
	}
	if n := k.Accounts()[0].Total().Pushes; n != 1 {
		t.Errorf("%d pushes, want 1", n)
	}
}

func TestSplitPath(t *testing.T) {
	for _, c := range []struct {
		path        string
		parts, keys []string
	}{
		{"name", []string{"name"}, nil},
		{"a[k].b[l]", []string{"a", ".b", ""}, []string{"k", "l"}},
		{"m[x][y[0]].z", []string{"m", "", ".z"}, []string{"x", "y[0]"}},
		{"filters(order)", []string{"filters(order)"}, nil},
		{"odd[open.x", []string{"odd[open.x"}, nil},
	} {
		parts, keys := splitPath(c.path)
		f := fieldChurn{parts: parts, keys: keys}
		if !slices.Equal(parts, c.parts) || !slices.Equal(keys, c.keys) || f.path() != c.path {
			t.Errorf("%s: %q %q, together %s", c.path, parts, keys, f.path())
		}
	}
}
