package timeline_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/timeline"
	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const recordings = "../../test/recordings"

func recorded(t testing.TB) []string {
	t.Helper()
	dirs, err := filepath.Glob(recordings + "/*/session.jsonl.gz")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	var out []string
	for _, d := range dirs {
		if name := filepath.Base(filepath.Dir(d)); !raced || name < "09" || name == "34-gcp-mux-delta" {
			out = append(out, name)
		}
	}
	return out
}

func history(t testing.TB, name string) *transcript.Source {
	t.Helper()
	f, err := os.Open(filepath.Join(recordings, name, "session.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	src, err := transcript.Read(f, name, transcript.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func sidecars(t testing.TB, src *transcript.Source) []xds.Sidecar {
	t.Helper()
	ids, err := src.Sidecars()
	if err != nil {
		t.Fatal(err)
	}
	var out []xds.Sidecar
	for _, id := range ids {
		if !id.IsZero() {
			out = append(out, id)
		}
	}
	return out
}

func recordsOf(t testing.TB, src *transcript.Source, id xds.Sidecar) []xds.Record {
	t.Helper()
	var out []xds.Record
	for r, err := range src.Records(id, 0) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func bodies(src *transcript.Source) func(xds.Digest) ([]byte, bool) {
	return func(d xds.Digest) ([]byte, bool) {
		b, ok, _ := src.Body(d)
		return b, ok
	}
}

// real is the Config that the program uses.
func real(src *transcript.Source) timeline.Config {
	return timeline.Config{Cache: decode.New(bodies(src), 64<<20), Bodies: bodies(src)}
}

func walk(cfg timeline.Config, recs []xds.Record) []timeline.Entry {
	w := timeline.New(cfg)
	var out []timeline.Entry
	for _, r := range recs {
		out = append(out, w.Record(r)...)
	}
	return append(out, w.Finish()...)
}

// line is an entry on one line.
func line(e timeline.Entry) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#%d..#%d %s", e.First, e.Last, e.Rule)
	if e.Baseline {
		b.WriteString(" baseline")
	}
	if !e.Settled {
		b.WriteString(" unsettled")
	}
	fmt.Fprintf(&b, " %d changes", len(e.Changes))
	for _, ev := range e.Events {
		fmt.Fprintf(&b, " [%s %s %s %s]", ev.Severity, ev.Kind, ev.Push, ev.Ports)
	}
	return b.String()
}

// names is a Traffic for tests: a "verdict" is the version of the listener whose
// name is the port, so that settling can be tested without Envoy's rules.
type names struct{}

type nameView struct{ s *state.Snapshot }

func (names) View(_ xds.Sidecar, _ *corev3.Node, s *state.Snapshot) judge.View { return nameView{s} }
func (names) Drained(_, _ judge.View) []string                                 { return nil }

func (names) Compare(old, new judge.View) []xds.Shift {
	var out []xds.Shift
	for d := range state.Differences(old.(nameView).s, new.(nameView).s) {
		if d.Type != xds.ListenerType {
			continue
		}
		dst := "192.0.2.1:" + d.Name
		out = append(out, xds.Shift{Witness: dst, Before: old.Resolve(netip.MustParseAddrPort(dst), netip.Addr{}, xds.Signal{}),
			After: new.Resolve(netip.MustParseAddrPort(dst), netip.Addr{}, xds.Signal{}), Signal: &xds.Signal{Kind: xds.Bytes},
			Cells: []xds.Cell{{Ports: d.Name, Destinations: []string{"0.0.0.0/0"}}}})
	}
	return out
}

func (v nameView) Resolve(dst netip.AddrPort, _ netip.Addr, _ xds.Signal) xds.Verdict {
	d, ok := v.s.Lookup(xds.ListenerType, fmt.Sprint(dst.Port()))
	if !ok {
		return xds.Verdict{Kind: xds.Passthrough}
	}
	return xds.Verdict{Kind: xds.Service, Cluster: d.String()}
}

func (v nameView) Owner(xds.Verdict) *xds.Owner { return nil }

// digests is a Differ for tests.
type digests struct{}

func (digests) Changes(a, b *state.Snapshot) []xds.Change {
	var out []xds.Change
	for d := range state.Differences(a, b) {
		out = append(out, xds.Change{Type: d.Type, Name: d.Name, Old: d.Old, New: d.New})
	}
	return out
}

var start = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
