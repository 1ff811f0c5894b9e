package traffic

import (
	"fmt"
	"net/netip"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func TestPorts(t *testing.T) {
	for _, c := range []struct {
		set  portSet
		want string
	}{
		{allPorts, "*"},
		{onePort(3306), "3306"},
		{allPorts.minus(map[uint16]bool{3306: true}), "1-3305,3307-65535"},
		{allPorts.minus(map[uint16]bool{1: true, 65535: true}), "2-65534"},
		{onePort(80).minus(map[uint16]bool{80: true}), ""},
		{joinPorts(onePort(81), onePort(80), onePort(90)), "80-81,90"},
		{joinPorts(allPorts.minus(map[uint16]bool{7: true}), onePort(7)), "*"},
	} {
		if got := c.set.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	cut := fmt.Sprint(cutPorts([][2]int32{{80, 91}, {0, 65536}}))
	if want := "[1-79 80-90 91-65535]"; cut != want {
		t.Errorf("cut %s, want %s", cut, want)
	}
}

func TestRepresentative(t *testing.T) {
	for _, c := range []struct {
		prefixes []string
		node     int
		want     string
	}{
		{nil, 0, "198.51.100.1"},
		{[]string{"198.51.100.0/24"}, 0, "203.0.113.1"},
		{[]string{"128.0.0.0/1"}, 0, "93.184.216.34"},
		{[]string{"10.0.0.0/8", "10.0.0.0/9"}, 1, "10.128.0.1"},
		{[]string{"10.0.0.0/31", "10.0.0.1/32"}, 1, "10.0.0.0"},
		{[]string{"10.0.0.0/31", "10.0.0.1/32", "10.0.0.0/32"}, 1, ""},
	} {
		var list []netip.Prefix
		for _, p := range c.prefixes {
			list = append(list, netip.MustParsePrefix(p))
		}
		a, ok := newPrefixTree(familyRoot(false), list).representative(c.node)
		if ok != (c.want != "") || ok && a.String() != c.want {
			t.Errorf("%v node %d: %v, want %q", c.prefixes, c.node, a, c.want)
		}
	}
	if a, _ := newPrefixTree(familyRoot(true), nil).representative(0); a.String() != "2001:db8::1" {
		t.Errorf("IPv6: %v", a)
	}
}

// TestAreas writes random sets of nodes and reads them back address by address,
// in a family of which only the last byte is used.
func TestAreas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefixes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, rapid.Byte().Draw(t, "byte")}), rapid.IntRange(24, 32).Draw(t, "bits")).Masked()
		}), 0, 12).Draw(t, "prefixes")
		tree := newPrefixTree(familyRoot(false), prefixes)
		in, full := make([]bool, len(tree)), make([]bool, len(tree))
		for i := range tree {
			_, ok := tree.representative(i)
			full[i], in[i] = !ok, ok && rapid.Bool().Draw(t, "in")
		}
		areas := tree.areas(in, full)
		for b := range 256 {
			a := netip.AddrFrom4([4]byte{10, 0, 0, byte(b)})
			n, want := 0, 0
			for _, x := range areas {
				if anyHolds(texts(x.within), a) && !anyHolds(texts(x.except), a) {
					n++
				}
			}
			if in[tree.find(a)] {
				want = 1
			}
			if n != want {
				t.Fatalf("%v is in %d areas, not %d: %v", a, n, want, areas)
			}
		}
	})
}

func TestMergeClasses(t *testing.T) {
	tls := func(sni, not string, alpn ...string) xds.Class {
		c := xds.Class{Kind: xds.TLS, ALPN: alpn}
		if sni != "" {
			c.SNI = []string{sni}
		}
		if not != "" {
			c.SNINot = []string{not}
		}
		return c
	}
	web := func(guard string, hosts ...string) xds.Class {
		return xds.Class{Kind: xds.HTTP11, Hosts: hosts, Guard: guard}
	}
	other := xds.Class{Kind: xds.HTTP11, HostsNot: []string{"a", "b", "c"}}
	raw := xds.Class{Kind: xds.Bytes}
	all := []xds.Class{raw, tls("w", ""), tls("", "w"), web("g", "a"), web("not g", "a"), web("", "b"), web("", "c"), other}
	for _, c := range []struct {
		in   []int
		want []xds.Class
	}{
		{[]int{0, 1, 2, 3, 4, 5, 6, 7}, nil},
		{[]int{}, []xds.Class{}},
		{[]int{0}, []xds.Class{raw}},
		{[]int{1}, []xds.Class{tls("w", "")}},
		{[]int{1, 2}, []xds.Class{{Kind: xds.TLS}}},
		{[]int{5, 6}, []xds.Class{web("", "b", "c")}},
		{[]int{3, 4, 5}, []xds.Class{web("", "a", "b")}},
		{[]int{3, 5}, []xds.Class{web("g", "a"), web("", "b")}},
		{[]int{5, 7}, []xds.Class{{Kind: xds.HTTP11, HostsNot: []string{"a", "c"}}}},
		{[]int{3, 4, 5, 6, 7}, []xds.Class{{Kind: xds.HTTP11}}},
		{[]int{3, 5, 6, 7}, []xds.Class{web("g", "a"), {Kind: xds.HTTP11, HostsNot: []string{"a"}}}},
	} {
		in := make([]bool, len(all))
		for _, i := range c.in {
			in[i] = true
		}
		if diff := gocmp.Diff(c.want, mergeClasses(all, in)); diff != "" {
			t.Errorf("%v (-want +got)\n%s", c.in, diff)
		}
	}
	both := []xds.Class{tls("w", "", "h2"), {Kind: xds.TLS, SNI: []string{"w"}, ALPNNot: []string{"h2"}}, tls("", "w", "h2"), {Kind: xds.TLS, SNINot: []string{"w"}, ALPNNot: []string{"h2"}}}
	want := []xds.Class{tls("", "", "h2")}
	if diff := gocmp.Diff(want, mergeClasses(both, []bool{true, false, true, false})); diff != "" {
		t.Errorf("one ALPN of every name (-want +got)\n%s", diff)
	}
}
