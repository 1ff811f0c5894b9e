package diff_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/diff"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Two versions in which Fields finds nothing different have the same leaves, and the
// other way round: what blame and grep see is what diff sees.
func TestLeavesAgreeWithFields(t *testing.T) {
	for _, name := range []string{"04-default-chain-flip", "07-nack", "09-endpoints-churn", "14-drain"} {
		pushes, d := recording(t, name)
		pairs := 0
		for _, p := range pushes {
			for x := range state.Differences(p.before, p.after) {
				if x.Old.IsZero() || x.New.IsZero() {
					continue
				}
				pairs++
				agree(t, d, x)
			}
		}
		if pairs == 0 {
			t.Errorf("%s: nothing was compared", name)
		}
	}
}

func agree(t *testing.T, d *diff.Differ, x state.Difference) {
	t.Helper()
	fields := d.Fields(x.Type, x.Old, x.New)
	a, b := leaves(t, d, x.Type, x.Old), leaves(t, d, x.Type, x.New)
	slices.Sort(a) // the order of sets means nothing
	slices.Sort(b)
	if same := slices.Equal(a, b); same != (len(fields) == 0) {
		t.Errorf("%s: leaves equal: %v, but fields differ: %v", x.Name, same, fields)
	}
}

func leaves(t *testing.T, d *diff.Differ, typ string, g xds.Digest) []string {
	t.Helper()
	seq, err := d.Leaves(typ, g)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for p, v := range seq {
		out = append(out, p.String()+": "+v)
	}
	return out
}

func TestLeavesOfTheIncident(t *testing.T) {
	pushes, d := recording(t, "01-seed-mysql-delta")
	for _, p := range pushes {
		g, ok := p.after.Lookup(xds.ListenerType, "0.0.0.0_3306")
		if !ok {
			continue
		}
		all := strings.Join(leaves(t, d, xds.ListenerType, g), "\n")
		const filter = "filter_chains[match=all].filters[envoy.filters.network.tcp_proxy]."
		for _, want := range []string{
			"address.socket_address.port_value: 3306",
			filter + "cluster: outbound|3306||mysql.demo",
			filter + "typed_config: type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
			"listener_filters_timeout: 0s",
		} {
			if !strings.Contains(all, want) {
				t.Errorf("no %q in\n%s", want, all)
			}
		}
		return
	}
	t.Fatal("the listener was never pushed")
}

// A reader that has enough is not given more.
func TestLeavesEnd(t *testing.T) {
	pushes, d := recording(t, "01-seed-mysql-delta")
	last := pushes[len(pushes)-1].after
	for _, g := range last.All(xds.ListenerType) {
		seq, err := d.Leaves(xds.ListenerType, g)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for range seq {
			if n++; n == 3 {
				break
			}
		}
		if n != 3 {
			t.Errorf("%d values", n)
		}
	}
}
