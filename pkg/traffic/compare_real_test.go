package traffic

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/configdump"
	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// world is the dumps of one recording in order, as views of one engine.
type world struct {
	engine *Engine
	bodies map[xds.Digest][]byte
	steps  []string
	views  []*View
	snaps  []*state.Snapshot
	env    Env
}

func newWorld() *world {
	w := &world{bodies: map[xds.Digest][]byte{}}
	w.engine = NewEngine(decode.New(func(d xds.Digest) ([]byte, bool) { b, ok := w.bodies[d]; return b, ok }, 0))
	return w
}

// loadWorld reads the dumps that match a pattern below test/.
func loadWorld(t testing.TB, pattern string) *world {
	t.Helper()
	paths, err := filepath.Glob("../../test/" + pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no dumps %s: %v", pattern, err)
	}
	slices.Sort(paths)
	w := newWorld()
	for _, path := range paths {
		w.add(path, readDump(t, path))
	}
	return w
}

func readDump(t testing.TB, path string) *configdump.Dump {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	zr, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = io.ReadAll(zr); err != nil {
		t.Fatal(err)
	}
	d, err := configdump.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (w *world) add(step string, d *configdump.Dump) {
	for _, b := range d.Bodies {
		w.bodies[b.Digest] = b.Bytes
	}
	s := snapshotOf(d)
	if w.env.Node == nil {
		w.env = Env{Node: d.Node, Istio: d.Sidecar.Istio(), Static: d.Static}
	}
	w.steps, w.snaps = append(w.steps, filepath.Base(filepath.Dir(step))+"/"+filepath.Base(step)), append(w.snaps, s)
	w.views = append(w.views, w.engine.View(s, w.env))
}

// snapshotOf takes what the answered pushes of a dump brought.
func snapshotOf(d *configdump.Dump) *state.Snapshot {
	acked := map[uint64]bool{}
	for _, r := range d.Records {
		if r.Kind == xds.KindAnswer && !r.Answer.NACK() {
			acked[r.Answer.Push] = true
		}
	}
	var s *state.Snapshot
	for _, r := range d.Records {
		if r.Kind != xds.KindPush || !acked[r.Push.Number] {
			continue
		}
		for _, e := range r.Push.Resources {
			d := e.Digest
			if e.State != xds.EntryBody {
				d = xds.Bodyless
			}
			s = s.With(r.Push.Type, e.Name, d)
		}
	}
	return s
}

// points are the addresses, ports and signals worth asking about: the borders of
// everything that either side names.
type points struct {
	addrs   []netip.Addr
	ports   []uint16
	signals []xds.Signal
}

func (w *world) points(views ...*View) points {
	var p points
	ports := map[uint16]bool{1: true, 443: true, 65535: true, 15001: true}
	addrs := map[netip.Addr]bool{}
	near := func(p netip.Prefix) {
		for _, a := range []netip.Addr{p.Addr(), p.Addr().Prev(), p.Addr().Next(), lastAddr(p), lastAddr(p).Next()} {
			if a.IsValid() && !a.IsLoopback() {
				addrs[a] = true
			}
		}
	}
	for _, s := range []string{"198.51.100.7/32", "8.8.8.8/32", "2001:db8::5/128", "0.0.0.0/0", "::/0", "240.240.0.1/32"} {
		near(netip.MustParsePrefix(s))
	}
	for _, v := range views {
		v.keys()
		for key := range v.table.exact {
			near(netip.PrefixFrom(key.Addr(), key.Addr().BitLen()))
			for _, n := range []uint16{key.Port() - 1, key.Port(), key.Port() + 1} {
				ports[max(n, 1)] = true
			}
		}
		for _, l := range v.table.byName {
			for _, q := range v.facets(l).prefixes {
				near(q)
			}
		}
		p.signals = append(p.signals, v.signals()...)
	}
	for a := range addrs {
		p.addrs = append(p.addrs, a)
	}
	for n := range ports {
		p.ports = append(p.ports, n)
	}
	slices.SortFunc(p.addrs, netip.Addr.Compare)
	slices.Sort(p.ports)
	return p
}

// signals are the plain ones, and one of each host, path and name that v knows.
func (v *View) signals() []xds.Signal {
	out := []xds.Signal{{Kind: xds.ServerFirst}, {Kind: xds.Bytes}, {Kind: xds.HTTP10, Host: "unknown.example"}, {Kind: xds.HTTP11, Host: "unknown.example"},
		{Kind: xds.H2C, Host: "unknown.example"}, {Kind: xds.TLS}, {Kind: xds.TLS, SNI: "unknown.example"}, {Kind: xds.TLS, SNI: "unknown.example", ALPN: []string{"h2"}}}
	for _, l := range v.table.byName {
		for _, n := range v.facets(l).snis {
			out = append(out, xds.Signal{Kind: xds.TLS, SNI: strings.Replace(n, "*", "any", 1)})
		}
	}
	for _, d := range v.snap.All(xds.RouteType) {
		rc, err := decode.As[*routev3.RouteConfiguration](v.engine.bodies, d)
		if err != nil {
			continue
		}
		for _, vh := range rc.GetVirtualHosts() {
			for _, domain := range vh.GetDomains() {
				host := strings.Replace(domain, "*", "any", 1)
				out = append(out, xds.Signal{Kind: xds.HTTP11, Host: host}, xds.Signal{Kind: xds.H2C, Host: host, Path: "/x"})
			}
		}
	}
	return out
}

// asNamed puts the names in sig as the listeners of a destination have them.
func asNamed(old, new *View, dst netip.AddrPort, sig xds.Signal) xds.Signal {
	lo, _ := old.choose(dst)
	ln, _ := new.choose(dst)
	f := union(old.facets(lo), new.facets(ln))
	var hosts []string
	for _, h := range f.hosts {
		hosts = append(hosts, h.domains...)
	}
	sig.SNI, sig.Host = pattern(f.snis, sig.SNI), pattern(hosts, sig.Host)
	return sig
}

// checkExact asks n random destinations of a step and holds them against its shifts.
func (w *world) checkExact(t *testing.T, name string, old, new *View, shifts []xds.Shift, n int) {
	t.Helper()
	p := w.points(old, new)
	r := rand.New(rand.NewPCG(7, uint64(len(p.addrs))))
	moved, wrong := 0, 0
	for range n {
		dst := netip.AddrPortFrom(p.addrs[r.IntN(len(p.addrs))], p.ports[r.IntN(len(p.ports))])
		if r.IntN(10) == 0 {
			dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(1 + r.IntN(223)), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))}), dst.Port())
		}
		sig := p.signals[r.IntN(min(len(p.signals), 8+r.IntN(len(p.signals))))]
		named := asNamed(old, new, dst, sig)
		if guarded(shifts, named) {
			continue
		}
		src := old.source(dst.Addr().Is6())
		before, after := old.Resolve(dst, src, sig), new.Resolve(dst, src, sig)
		want := 0
		if !before.Same(after) {
			want = 1
			moved++
		}
		if got := inCells(t, shifts, dst, named); got != want {
			if wrong++; wrong < 4 {
				t.Errorf("%s: %v %+v is in %d cells, not %d\nbefore %s %s %q\nafter  %s %s %q\n%.3000s", name, dst, sig, got, want,
					before.Kind, before.Cluster, before.Path, after.Kind, after.Cluster, after.Path, strings.Join(show(shifts), "\n"))
			}
		}
	}
	for _, s := range shifts {
		dst := netip.MustParseAddrPort(s.Witness)
		src := old.source(dst.Addr().Is6())
		if !old.Resolve(dst, src, *s.Signal).Same(s.Before) || !new.Resolve(dst, src, *s.Signal).Same(s.After) {
			t.Errorf("%s: witness %s does not show %v", name, s.Witness, show([]xds.Shift{s}))
		}
		if !slices.ContainsFunc(s.Cells, func(c xds.Cell) bool { return cellHolds(t, c, dst, asNamed(old, new, dst, *s.Signal)) }) {
			t.Errorf("%s: witness %s lies in no cell", name, s.Witness)
		}
	}
	t.Logf("%s: %d shifts, %d of %d probes moved, %d wrong", name, len(shifts), moved, n, wrong)
}

// TestCompareRecordings holds Compare to its promise on every step of every
// recording, forward and backward.
func TestCompareRecordings(t *testing.T) {
	dirs, _ := filepath.Glob("../../test/recordings/*")
	for _, dir := range dirs {
		if raced && !strings.Contains(dir, "/04") && !strings.Contains(dir, "/06") {
			continue
		}
		for _, pattern := range dumpsOf(filepath.Base(dir)) {
			if m, _ := filepath.Glob("../../test/" + pattern); len(m) < 2 {
				continue
			}
			t.Run(filepath.Base(pattern[:strings.LastIndexByte(pattern, '/')]), func(t *testing.T) {
				w := loadWorld(t, pattern)
				for i := 1; i < len(w.views); i++ {
					w.checkStep(t, i-1, i)
					w.checkStep(t, i, i-1)
				}
			})
		}
	}
}

// dumpsOf are the patterns of the dumps of one sidecar each.
func dumpsOf(recording string) []string {
	if recording == "11-dns-capture" {
		return []string{"recordings/" + recording + "/envoy-config-dump-*-plain.json.gz", "recordings/" + recording + "/envoy-config-dump-*-dnscapture.json.gz"}
	}
	return []string{"recordings/" + recording + "/envoy-config-dump-*.json.gz"}
}

func (w *world) checkStep(t *testing.T, i, j int) {
	n := 600
	if raced {
		n = 60
	}
	if w.snaps[i].Len(xds.ListenerType) > 500 {
		n = 250
	}
	shifts := w.engine.Compare(w.views[i], w.views[j])
	w.checkExact(t, fmt.Sprintf("%s -> %s", w.steps[i], w.steps[j]), w.views[i], w.views[j], shifts, n)
	if again := w.engine.Compare(w.views[i], w.views[j]); !gocmp.Equal(shifts, again) {
		t.Errorf("%s: comparing twice differs\n%s", w.steps[j], gocmp.Diff(shifts, again))
	}
}

// TestCompareOracle does the same between configurations that have little in
// common: those that were made to find out what Envoy does.
func TestCompareOracle(t *testing.T) {
	for _, pattern := range []string{"oracle/time-*/config_dump.*.json.gz", "oracle/istio-*/config_dump.json.gz", "oracle/synth-*/config_dump.json.gz"} {
		w := loadWorld(t, pattern)
		for i := 1; i < len(w.views); i++ {
			w.checkStep(t, i-1, i)
		}
	}
}

// TestCompareSessions: recordings without dumps, folded to the end of each step:
// Istio's own filters, and xDS v2.
func TestCompareSessions(t *testing.T) {
	for _, name := range []string{"13-istio-filters", "50-istio-1.4-v2", "51-istio-1.6-v2"} {
		t.Run(name, func(t *testing.T) {
			w := foldWorld(t, name)
			if len(w.views) < 3 {
				t.Fatalf("%d steps", len(w.views))
			}
			for i := 1; i < len(w.views); i++ {
				w.checkStep(t, i-1, i)
			}
		})
	}
}

// foldWorld has one view per step of a session, of its first sidecar.
func foldWorld(t *testing.T, name string) *world {
	t.Helper()
	dir := "../../test/recordings/" + name
	f, err := os.Open(dir + "/session.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	src, err := transcript.Read(f, name, transcript.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ids, _ := src.Sidecars()
	w := newWorld()
	w.engine = NewEngine(decode.New(func(d xds.Digest) ([]byte, bool) { b, ok, _ := src.Body(d); return b, ok }, 0))
	w.env = Env{Istio: ids[0].Istio(), Node: &corev3.Node{Id: ids[0].Node}}
	ends := stepEnds(t, dir)
	fold := state.New(w.engine.Deps)
	for r, err := range src.Records(ids[0], 0) {
		if err != nil {
			t.Fatal(err)
		}
		for len(ends) > 0 && r.Time.After(ends[0]) {
			w.step(fold, ids[0], ends[0].String())
			ends = ends[1:]
		}
		if r.Kind != xds.KindClose { // a stream that ends at the end of the session is no step
			fold.Apply(r)
		}
	}
	w.step(fold, ids[0], "end")
	return w
}

func (w *world) step(fold *state.Fold, id xds.Sidecar, name string) {
	v, _ := fold.View(id)
	w.steps, w.snaps = append(w.steps, name), append(w.snaps, v.Active)
	w.views = append(w.views, w.engine.View(v.Active, w.env))
}

// stepEnds are the times at which a step is over: the next one begins.
func stepEnds(t *testing.T, dir string) []time.Time {
	t.Helper()
	b, err := os.ReadFile(dir + "/steps.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var out []time.Time
	last := ""
	for line := range strings.Lines(string(b)) {
		var j struct {
			T    time.Time
			Step string
		}
		if err := json.Unmarshal([]byte(line), &j); err != nil {
			t.Fatal(err)
		}
		if last != "" && j.Step != last {
			out = append(out, j.T)
		}
		last = j.Step
	}
	return out
}

// TestCompareEdited changes nothing but listeners and routes, some chains of
// each: what the others do is not looked at again, and must not have to be.
func TestCompareEdited(t *testing.T) {
	for _, name := range []string{"istio-matrix", "istio-conflicts", "istio-http", "istio-registry-only", "synth-http-1", "synth-http-2", "synth-listeners", "synth-fcm-2"} {
		if raced && name != "istio-conflicts" {
			continue
		}
		w := loadWorld(t, "oracle/"+name+"/config_dump.json.gz")
		r := rand.New(rand.NewPCG(11, 12))
		s := w.snaps[0]
		for l, d := range s.All(xds.ListenerType) {
			m, err := decode.As[*listenerv3.Listener](w.engine.bodies, d)
			if err == nil && r.IntN(4) > 0 {
				s = w.with(t, s, xds.ListenerType, l, editedListener(t, r, m))
			}
		}
		for rc, d := range s.All(xds.RouteType) {
			m, err := decode.As[*routev3.RouteConfiguration](w.engine.bodies, d)
			if err == nil && len(m.GetVirtualHosts()) > 1 && r.IntN(3) == 0 {
				m = proto.CloneOf(m)
				m.VirtualHosts = m.VirtualHosts[1:]
				s = w.with(t, s, xds.RouteType, rc, m)
			}
		}
		w.steps, w.snaps, w.views = append(w.steps, "edited"), append(w.snaps, s), append(w.views, w.engine.View(s, w.env))
		if movedBetween(w.views[0], w.views[1]) == nil {
			t.Errorf("%s: every chain is looked at", name)
		}
		w.checkStep(t, 0, 1)
		w.checkStep(t, 1, 0)
	}
}

// editedListener loses a chain, ends its default or one chain elsewhere, or gains
// a field that says nothing.
func editedListener(t *testing.T, r *rand.Rand, m *listenerv3.Listener) *listenerv3.Listener {
	m = proto.CloneOf(m)
	switch n := len(m.GetFilterChains()); {
	case r.IntN(3) == 0 && n > 1:
		m.FilterChains = slices.Delete(m.FilterChains, n-1, n)
	case r.IntN(3) == 0 && m.GetDefaultFilterChain() != nil:
		blackHole(t, m.GetDefaultFilterChain())
	case r.IntN(2) == 0 && n > 0:
		m.FilterChains[r.IntN(n)].Filters = tcpChain(t, "", "", "BlackHoleCluster").Filters
	default:
		m.StatPrefix = "edited"
	}
	return m
}
