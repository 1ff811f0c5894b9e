package traffic

import (
	"net/netip"
	"slices"
)

// prefixTree splits the addresses of one family: node i stands for its prefix
// minus those of its children. Node 0 is the whole family; parents come first.
type prefixTree []prefixNode

type prefixNode struct {
	prefix   netip.Prefix
	parent   int // -1 for the root
	children []int
}

func familyRoot(v6 bool) netip.Prefix {
	if v6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// newPrefixTree takes the prefixes of the family of root; others are left out.
func newPrefixTree(root netip.Prefix, prefixes []netip.Prefix) prefixTree {
	list := []netip.Prefix{root}
	for _, p := range prefixes {
		if p.IsValid() && p.Addr().BitLen() == root.Addr().BitLen() {
			list = append(list, p.Masked())
		}
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	list = slices.Compact(list)
	t := make(prefixTree, len(list))
	at := -1 // the innermost node that may hold the next
	for i, p := range list {
		for at >= 0 && !t[at].prefix.Contains(p.Addr()) {
			at = t[at].parent
		}
		t[i] = prefixNode{prefix: p, parent: at}
		if at >= 0 {
			t[at].children = append(t[at].children, i)
		}
		at = i
	}
	return t
}

// find is the node that a belongs to, the root for an address of another family.
func (t prefixTree) find(a netip.Addr) int {
	at := 0
	for {
		i, found := slices.BinarySearchFunc(t[at].children, a, func(c int, a netip.Addr) int {
			if t[c].prefix.Contains(a) {
				return 0
			}
			return t[c].prefix.Addr().Compare(a)
		})
		if !found {
			return at
		}
		at = t[at].children[i]
	}
}

// wellKnownAddrs are tried first as representatives: addresses that nobody owns
// (RFC 5737, RFC 3849) and that no reader takes for their own, and one of the
// lower half.
var wellKnownAddrs = []netip.Addr{
	netip.AddrFrom4([4]byte{198, 51, 100, 1}), netip.AddrFrom4([4]byte{203, 0, 113, 1}), netip.AddrFrom4([4]byte{192, 0, 2, 1}),
	netip.AddrFrom4([4]byte{93, 184, 216, 34}),
	netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 1}),
}

// representative is an address of node i, false if its children cover all of it.
// An ordinary unicast address is preferred, the choice is always the same.
func (t prefixTree) representative(i int) (netip.Addr, bool) {
	for _, a := range wellKnownAddrs {
		if t[i].prefix.Contains(a) && t.find(a) == i {
			return a, true
		}
	}
	var fallback netip.Addr
	for from, to := range t.gaps(i) {
		for _, a := range []netip.Addr{from.Next(), from, to} {
			if !a.IsValid() || a.Compare(to) > 0 {
				continue
			}
			if ordinary(a) {
				return a, true
			}
			if !fallback.IsValid() {
				fallback = a
			}
		}
	}
	return fallback, fallback.IsValid()
}

// gaps yields the stretches of node i that no child covers, first and last address.
func (t prefixTree) gaps(i int) func(yield func(from, to netip.Addr) bool) {
	return func(yield func(from, to netip.Addr) bool) {
		from, end := t[i].prefix.Addr(), lastAddr(t[i].prefix)
		for _, c := range t[i].children {
			child := t[c].prefix
			if from.Compare(child.Addr()) < 0 && !yield(from, child.Addr().Prev()) {
				return
			}
			from = lastAddr(child).Next()
			if !from.IsValid() {
				return
			}
		}
		if from.Compare(end) <= 0 {
			yield(from, end)
		}
	}
}

func ordinary(a netip.Addr) bool {
	return a.IsGlobalUnicast() && (!a.Is4() || a.As4()[0] != 0 && a.As4()[0] < 240)
}

// lastAddr is the highest address of p.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// area is a set of addresses: within minus except.
type area struct{ within, except []netip.Prefix }

// areas writes the nodes of in as few prefixes: each area is disjoint from the
// others, its exceptions lie within it. Nodes without an address of their own
// (full) are taken either way, as it suits.
func (t prefixTree) areas(in, full []bool) []area {
	member := t.settle(in, full)
	var out []area
	depth := make([]int, len(t)) // how often membership changed on the way down
	for i, n := range t {
		was := false
		if n.parent >= 0 {
			depth[i], was = depth[n.parent], member[n.parent]
		}
		if member[i] == was {
			continue
		}
		depth[i]++
		level := (depth[i] - 1) / 2
		if level == len(out) {
			out = append(out, area{})
		}
		if member[i] {
			out[level].within = append(out[level].within, n.prefix)
		} else {
			out[level].except = append(out[level].except, n.prefix)
		}
	}
	for i := range out {
		out[i].within, out[i].except = aggregate(out[i].within), aggregate(out[i].except)
	}
	return out
}

// settle decides about full nodes: with their children if those agree, else with
// their parent.
func (t prefixTree) settle(in, full []bool) []bool {
	member := slices.Clone(in)
	for i := len(t) - 1; i >= 0; i-- {
		if full[i] {
			member[i] = !slices.ContainsFunc(t[i].children, func(c int) bool { return !member[c] })
		}
	}
	for i, n := range t {
		if full[i] && !member[i] && n.parent >= 0 {
			member[i] = member[n.parent]
		}
	}
	return member
}

// aggregate joins halves to the prefix that holds both, until none are left. The
// prefixes are disjoint and ordered.
func aggregate(list []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, p)
		for len(out) > 1 {
			a, b := out[len(out)-2], out[len(out)-1]
			up := netip.PrefixFrom(a.Addr(), a.Bits()-1).Masked()
			if a.Bits() != b.Bits() || a == b || !up.Contains(b.Addr()) {
				break
			}
			out = append(out[:len(out)-2], up)
		}
	}
	return out
}
