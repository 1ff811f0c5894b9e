package traffic

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// fakeSide answers from a table, so that Compare is tested apart from Envoy.
type fakeSide struct {
	k     keyView
	rules map[*listener][]fakeRule
}

type fakeRule struct {
	prefix  netip.Prefix
	port    uint16 // 0 = any
	sni     string // "" = any
	cluster string
}

func (s *fakeSide) keys() keyView { return s.k }

func (s *fakeSide) fingerprint(l *listener) [20]byte {
	return xds.DigestOf([]byte(fmt.Sprint(s.rules[l])))
}

func (s *fakeSide) facets(l *listener) facets {
	var f facets
	for _, r := range s.rules[l] {
		if r.port != 0 {
			f.ports = append(f.ports, r.port)
		}
		if r.sni != "" {
			f.snis = append(f.snis, r.sni)
		}
		f.prefixes = append(f.prefixes, r.prefix)
	}
	return f.canonical()
}

func (s *fakeSide) outside() string        { return fmt.Sprint(s.k.vo4 != nil, s.k.vo6 != nil) }
func (s *fakeSide) around() facets         { return facets{} }
func (s *fakeSide) source(bool) netip.Addr { return netip.Addr{} }

// choose: exact, wildcard, virtualOutbound; refused where that is absent.
func (s *fakeSide) choose(dst netip.AddrPort) (*listener, *xds.Verdict) {
	vo, wild := s.k.vo4, s.k.wild4
	if dst.Addr().Is6() {
		vo, wild = s.k.vo6, s.k.wild6
	}
	if vo == nil {
		return nil, &xds.Verdict{Kind: xds.Refused}
	}
	return cmp.Or(s.k.exact[dst], wild[dst.Port()], vo), nil
}

func (s *fakeSide) takes(*listener, *chain, netip.AddrPort, xds.Signal) bool { return true }

// resolveIn takes the rules of the port if there are any, then the longest
// prefix, then the name.
func (s *fakeSide) resolveIn(l *listener, dst netip.AddrPort, _ netip.Addr, sig xds.Signal) xds.Verdict {
	port, best := uint16(0), -1
	out := xds.Verdict{Kind: xds.NoChain}
	if slices.ContainsFunc(s.rules[l], func(r fakeRule) bool { return r.port == dst.Port() }) {
		port = dst.Port()
	}
	for _, r := range s.rules[l] {
		if r.port == port && r.prefix.Contains(dst.Addr()) {
			best = max(best, r.prefix.Bits())
		}
	}
	named := false
	for _, r := range s.rules[l] {
		if r.port != port || !r.prefix.Contains(dst.Addr()) || r.prefix.Bits() != best {
			continue
		}
		if r.sni == sig.SNI && r.sni != "" || r.sni == "" && !named {
			named = r.sni != ""
			out = xds.Verdict{Kind: xds.Service, Cluster: r.cluster}
		}
	}
	return out
}

func (s *fakeSide) resolve(dst netip.AddrPort, sig xds.Signal) xds.Verdict {
	l, early := s.choose(dst)
	if early != nil {
		return *early
	}
	return s.resolveIn(l, dst, netip.Addr{}, sig)
}

// newFake reads "0.0.0.0:3306 10.0.0.0/8=a,any=b; vo any=pt; ...": a rule is
// [prefix|any][@port][#sni]=cluster.
func newFake(t testing.TB, text string) *fakeSide {
	s := &fakeSide{k: keyView{exact: map[netip.AddrPort]*listener{}, wild4: map[uint16]*listener{}, wild6: map[uint16]*listener{}}, rules: map[*listener][]fakeRule{}}
	for _, part := range strings.Split(text, ";") {
		key, rules, ok := strings.Cut(strings.TrimSpace(part), " ")
		if !ok {
			continue
		}
		l := &listener{name: key}
		v6 := s.place(key, l)
		for _, r := range strings.Split(rules, ",") {
			s.rules[l] = append(s.rules[l], parseRule(t, r, v6))
		}
	}
	return s
}

func (s *fakeSide) place(key string, l *listener) (v6 bool) {
	switch key {
	case "vo":
		s.k.vo4 = l
		return false
	case "vo6":
		s.k.vo6 = l
		return true
	}
	a := netip.MustParseAddrPort(key)
	switch {
	case !a.Addr().IsUnspecified():
		s.k.exact[a] = l
	case a.Addr().Is6():
		s.k.wild6[a.Port()] = l
	default:
		s.k.wild4[a.Port()] = l
	}
	return a.Addr().Is6()
}

func parseRule(t testing.TB, text string, v6 bool) fakeRule {
	where, cluster, ok := strings.Cut(strings.TrimSpace(text), "=")
	if !ok {
		t.Fatalf("rule %q", text)
	}
	r := fakeRule{cluster: cluster, prefix: familyRoot(v6)}
	where, r.sni, _ = strings.Cut(where, "#")
	where, port, _ := strings.Cut(where, "@")
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		r.port = uint16(n)
	}
	if where != "any" {
		r.prefix = netip.MustParsePrefix(where)
	}
	return r
}

func compareFakes(old, new *fakeSide) []xds.Shift {
	c := newComparison(old, new)
	for _, v6 := range []bool{false, true} {
		c.family(v6)
	}
	return c.shifts()
}

// show writes shifts in short: before -> after: cells.
func show(shifts []xds.Shift) []string {
	side := func(v xds.Verdict) string {
		if v.Cluster != "" {
			return v.Cluster
		}
		return string(v.Kind)
	}
	var out []string
	for _, s := range shifts {
		line := side(s.Before) + " -> " + side(s.After) + ":"
		for _, c := range s.Cells {
			line += " " + showCell(c)
		}
		out = append(out, line)
	}
	return out
}

func showCell(c xds.Cell) string {
	s := "[" + c.Ports + " " + strings.Join(c.Destinations, ",")
	if len(c.Except) > 0 {
		s += " but " + strings.Join(c.Except, ",")
	}
	for _, x := range c.Signals {
		s += " " + string(x.Kind)
		if len(x.SNI)+len(x.SNINot) > 0 {
			s += fmt.Sprint(x.SNI, x.SNINot)
		}
		if len(x.Hosts)+len(x.HostsNot) > 0 {
			s += fmt.Sprint(x.Hosts, x.HostsNot)
		}
		if x.Guard != "" {
			s += "{" + x.Guard + "}"
		}
	}
	return s + "]"
}

func TestCompareShapes(t *testing.T) {
	for _, c := range []struct {
		name, old, new string
		want           []string
	}{
		{"nothing", "vo any=pt; 0.0.0.0:80 any=a", "vo any=pt; 0.0.0.0:80 any=a", nil},
		{"a new listener takes a port", "vo any=pt; 10.68.228.107:3306 any=db", "vo any=pt; 10.68.228.107:3306 any=db; 0.0.0.0:3306 any=demo",
			[]string{"pt -> demo: [3306 0.0.0.0/0 but 10.68.228.107/32]"}},
		{"IPv6 without virtualOutbound", "vo any=pt", "vo any=pt; [::]:3306 any=demo", nil},
		{"IPv6 gets a virtualOutbound", "vo any=pt; [::]:80 any=a", "vo any=pt; vo6 any=pt; [::]:80 any=a", []string{"refused -> a: [80 ::/0]", "refused -> pt: [1-79,81-65535 ::/0]"}},
		{"an exact listener goes: its port is owned by a wildcard", "vo any=pt; 0.0.0.0:80 any=w; 10.0.0.1:80 any=e", "vo any=pt; 0.0.0.0:80 any=w",
			[]string{"e -> w: [80 10.0.0.1/32]"}},
		{"an exact listener goes: virtualOutbound", "vo any=pt; 10.0.0.1:80 any=e", "vo any=pt", []string{"e -> pt: [80 10.0.0.1/32]"}},
		{"keys under another name", "vo any=pt; 10.0.0.1:80 any=e", "vo any=pt; 10.0.0.1:80 any=e", nil},
		{"policy flips", "vo any=pt,any@15001=bh; 0.0.0.0:80 any=w; 10.0.0.1:90 any=e", "vo any=bh,any@15001=bh; 0.0.0.0:80 any=w; 10.0.0.1:90 any=e",
			[]string{"pt -> bh: [90 0.0.0.0/0 but 10.0.0.1/32] [1-79,81-89,91-15000,15002-65535 0.0.0.0/0]"}},
		{"prefixes", "vo any=pt; 0.0.0.0:80 any=w", "vo any=pt; 0.0.0.0:80 any=w,10.0.0.0/8=z,10.1.0.0/16=w,10.1.2.0/24=z",
			[]string{"w -> z: [80 10.0.0.0/8 but 10.1.0.0/16] [80 10.1.2.0/24]"}},
		{"halves", "vo any=pt; 0.0.0.0:80 0.0.0.0/1=a,128.0.0.0/1=b,any=c", "vo any=pt; 0.0.0.0:80 0.0.0.0/1=d,128.0.0.0/1=d,any=d",
			[]string{"a -> d: [80 0.0.0.0/1]", "b -> d: [80 128.0.0.0/1]"}},
		{"halves that shift alike", "vo any=pt; 0.0.0.0:80 0.0.0.0/1=a,128.0.0.0/1=a,any=c", "vo any=pt; 0.0.0.0:80 any=d", []string{"a -> d: [80 0.0.0.0/0]"}},
		{"an exact key that shifts likewise is no exception", "vo any=pt; 0.0.0.0:80 any=w; 10.0.0.1:80 any=w", "vo any=pt; 0.0.0.0:80 any=x; 10.0.0.1:80 any=x",
			[]string{"w -> x: [80 0.0.0.0/0]"}},
		{"a name", "vo any=pt; 0.0.0.0:443 any=pt", "vo any=pt; 0.0.0.0:443 any=pt,any#w.ex=w", []string{"pt -> w: [443 0.0.0.0/0 tls[w.ex] []]"}},
		{"all but a name", "vo any=pt; 0.0.0.0:443 any=a,any#w.ex=w", "vo any=pt; 0.0.0.0:443 any=b,any#w.ex=w",
			[]string{"a -> b: [443 0.0.0.0/0 server-first bytes http/1.0 http/1.1 h2c tls[] [w.ex]]"}},
		{"the same on two ports", "vo any=pt", "vo any=pt; 0.0.0.0:81 any=s; 0.0.0.0:82 any=s; 0.0.0.0:90 any=s", []string{"pt -> s: [81-82,90 0.0.0.0/0]"}},
	} {
		got := show(compareFakes(newFake(t, c.old), newFake(t, c.new)))
		if diff := gocmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, diff)
		}
	}
}

// guarded reports whether a cell holds a destination under a condition that
// stands in words only.
func guarded(shifts []xds.Shift, sig xds.Signal) bool {
	return slices.ContainsFunc(shifts, func(s xds.Shift) bool {
		return slices.ContainsFunc(s.Cells, func(c xds.Cell) bool {
			return slices.ContainsFunc(c.Signals, func(x xds.Class) bool { return x.Guard != "" && classHolds(x, sig) })
		})
	})
}

// inCells counts the cells that hold a destination.
func inCells(t testing.TB, shifts []xds.Shift, dst netip.AddrPort, sig xds.Signal) (n int) {
	for _, s := range shifts {
		for _, c := range s.Cells {
			if cellHolds(t, c, dst, sig) {
				n++
			}
		}
	}
	return n
}

func cellHolds(t testing.TB, c xds.Cell, dst netip.AddrPort, sig xds.Signal) bool {
	return portsHold(t, c.Ports, dst.Port()) && anyHolds(c.Destinations, dst.Addr()) && !anyHolds(c.Except, dst.Addr()) && signalsHold(c.Signals, sig)
}

func portsHold(t testing.TB, text string, p uint16) bool {
	if text == "*" {
		return true
	}
	for _, part := range strings.Split(text, ",") {
		lo, hi, ok := strings.Cut(part, "-")
		if !ok {
			hi = lo
		}
		a, err1 := strconv.Atoi(lo)
		b, err2 := strconv.Atoi(hi)
		if err1 != nil || err2 != nil {
			t.Fatalf("ports %q", text)
		}
		if a <= int(p) && int(p) <= b {
			return true
		}
	}
	return false
}

func anyHolds(prefixes []string, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return netip.MustParsePrefix(p).Contains(a) })
}

func signalsHold(classes []xds.Class, sig xds.Signal) bool {
	return classes == nil || slices.ContainsFunc(classes, func(c xds.Class) bool { return classHolds(c, sig) })
}

// classHolds compares names as they stand: who asks about a name that a pattern
// covers puts the pattern into the signal (see pattern).
func classHolds(c xds.Class, sig xds.Signal) bool {
	alpn := strings.Join(sig.ALPN, ",")
	return c.Kind == sig.Kind && nameHolds(c.SNI, c.SNINot, sig.SNI) && nameHolds(c.Hosts, c.HostsNot, sig.Host) && nameHolds(c.ALPN, c.ALPNNot, alpn)
}

func nameHolds(only, not []string, name string) bool {
	if len(only) > 0 {
		return slices.Contains(only, name)
	}
	return !slices.Contains(not, name)
}

// pattern is the most specific of the known names that covers name, else name.
func pattern(known []string, name string) string {
	best := ""
	for _, n := range known {
		prefix, suffix, wild := strings.Cut(n, "*")
		switch {
		case !wild && n == name:
			return n
		case wild && len(name) >= len(n) && strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix):
			// A suffix pattern comes before any prefix pattern.
			if best == "" || (prefix == "") == strings.HasPrefix(best, "*") && len(n) > len(best) || prefix == "" && !strings.HasPrefix(best, "*") {
				best = n
			}
		}
	}
	return cmp.Or(best, name)
}

func drawFake(t *rapid.T, label string) string {
	keys := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"vo", "vo6", "0.0.0.0:80", "0.0.0.0:81", "[::]:80", "10.0.0.1:80", "10.1.0.1:80", "10.1.0.1:82", "[fd00::1]:80"}), 0, 6, rapid.ID).Draw(t, label)
	var out []string
	for _, k := range keys {
		where := []string{"any", "any", "10.0.0.0/8", "10.1.0.0/16", "10.1.0.1/32", "0.0.0.0/1", "128.0.0.0/1", "any@82", "10.0.0.0/8@82", "any#a.ex", "10.1.0.0/16#b.ex"}
		if strings.Contains(k, "[") || k == "vo6" {
			where = []string{"any", "fd00::/8", "fd00::1/128", "any@82", "fd00::/8#a.ex"}
		}
		rules := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			return rapid.SampledFrom(where).Draw(t, "where") + "=" + rapid.SampledFrom([]string{"p", "q", "r"}).Draw(t, "cluster")
		}), 1, 4).Draw(t, "rules")
		out = append(out, k+" "+strings.Join(rules, ","))
	}
	return strings.Join(out, "; ")
}

var probeAddrs = []string{"0.0.0.0", "0.0.0.1", "9.255.255.255", "10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.255.255", "10.1.0.0", "10.1.0.1", "10.1.0.2", "10.1.255.255", "10.2.0.0",
	"10.255.255.255", "11.0.0.0", "127.255.255.255", "128.0.0.0", "198.51.100.1", "255.255.255.255", "::", "fcff::1", "fd00::", "fd00::1", "fd00::2", "fe00::", "2001:db8::1", "ffff::"}

// TestCompareIsExact holds Compare to its promise on random tables: a destination
// is in exactly one cell if its verdict shifted, in none otherwise.
func TestCompareIsExact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		textO, textN := drawFake(rt, "old"), drawFake(rt, "new")
		old, new := newFake(t, textO), newFake(t, textN)
		shifts := compareFakes(old, new)
		for _, a := range probeAddrs {
			for _, port := range []uint16{1, 79, 80, 81, 82, 83, 65535} {
				for _, sig := range []xds.Signal{{Kind: xds.Bytes}, {Kind: xds.TLS, SNI: "a.ex"}, {Kind: xds.TLS, SNI: "c.ex"}} {
					dst := netip.AddrPortFrom(netip.MustParseAddr(a), port)
					want := 0
					if !old.resolve(dst, sig).Same(new.resolve(dst, sig)) {
						want = 1
					}
					if got := inCells(t, shifts, dst, sig); got != want {
						rt.Fatalf("%v %v is in %d cells, not %d\nold %s\nnew %s\n%s", dst, sig, got, want, textO, textN, strings.Join(show(shifts), "\n"))
					}
				}
			}
		}
		checkWitnesses(rt, shifts, old, new)
	})
}

func checkWitnesses(t *rapid.T, shifts []xds.Shift, old, new *fakeSide) {
	for _, s := range shifts {
		dst := netip.MustParseAddrPort(s.Witness)
		if !old.resolve(dst, *s.Signal).Same(s.Before) || !new.resolve(dst, *s.Signal).Same(s.After) || s.Before.Same(s.After) {
			t.Fatalf("witness %s does not show %v", s.Witness, show([]xds.Shift{s}))
		}
	}
}

func TestCompareIsDeterministic(t *testing.T) {
	var o, n []string
	for i := range 40 {
		o = append(o, fmt.Sprintf("0.0.0.0:%d any=a%d,10.0.0.0/8=b", 8000+i, i%3), fmt.Sprintf("10.0.0.%d:%d any=c", i, 9000+i%5))
		n = append(n, fmt.Sprintf("0.0.0.0:%d any=d%d", 8000+i, i%4))
	}
	old := newFake(t, "vo any=pt;"+strings.Join(o, ";"))
	want := compareFakes(old, newFake(t, "vo any=pt;"+strings.Join(n, ";")))
	for range 5 {
		rand.Shuffle(len(n), func(i, j int) { n[i], n[j] = n[j], n[i] })
		if diff := gocmp.Diff(want, compareFakes(old, newFake(t, "vo any=pt;"+strings.Join(n, ";")))); diff != "" {
			t.Fatal(diff)
		}
	}
}
