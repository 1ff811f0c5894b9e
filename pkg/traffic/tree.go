package traffic

import (
	"errors"
	"net/netip"
	"sort"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
)

// The decision structure of filter_chain_match, in the order in which Envoy asks
// (source/common/listener_manager/filter_chain_manager_impl.cc). A step that
// finds something never comes back: what fails below it ends at the default chain.
type (
	portTree struct {
		exact map[uint16]*dstTree
		any   *dstTree
	}
	dstTree struct{ ipMap[sniTree] }
	sniTree struct {
		exact, wild map[string]*transportTree // wild by ".suffix"
		none        *transportTree
	}
	transportTree struct{ by map[string]*alpnTree }
	alpnTree      struct{ by map[string]*directTree }
	directTree    struct{ ipMap[typeTree] }
	typeTree      struct{ by [3]*sourceTree }
	sourceTree    struct{ ipMap[sourcePorts] }
	sourcePorts   struct{ by map[uint16]*chain }
)

// ipMap finds a value by longest prefix. "No prefix" is a key of its own beside
// an explicit prefix of length 0: where both are all there is, Envoy takes
// whichever its hash order yields.
type ipMap[V any] struct {
	none *V
	list []ipEntry[V] // longest first
}

type ipEntry[V any] struct {
	prefix netip.Prefix
	val    *V
}

// at returns the value for p, made if it is not there. An invalid p is "no prefix".
func (m *ipMap[V]) at(p netip.Prefix) *V {
	if !p.IsValid() {
		if m.none == nil {
			m.none = new(V)
		}
		return m.none
	}
	for _, e := range m.list {
		if e.prefix == p {
			return e.val
		}
	}
	v := new(V)
	m.list = append(m.list, ipEntry[V]{p, v})
	sort.SliceStable(m.list, func(i, j int) bool { return m.list[i].prefix.Bits() > m.list[j].prefix.Bits() })
	return v
}

// find returns the value for a, and a second one where the choice is Envoy's hash order.
func (m *ipMap[V]) find(a netip.Addr) (first, second *V) {
	for _, e := range m.list {
		if !e.prefix.Contains(a) {
			continue
		}
		if e.prefix.Bits() == 0 {
			return e.val, m.none
		}
		return e.val, nil
	}
	return m.none, nil
}

// plain reports that the address does not matter.
func (m *ipMap[V]) plain() bool { return len(m.list) == 0 }

var errDuplicate = errors.New("another chain has the same match")

// add enters c under every combination of its keys.
func (t *portTree) add(c *chain) error {
	m := c.match
	dst := t.port(m.port)
	for _, p := range orNone(m.prefixes) {
		for _, name := range orAny(m.snis) {
			tr := dst.at(p).at(name).at(m.transport)
			for _, alpn := range orAny(m.alpns) {
				if err := tr.at(alpn).add(c); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (t *directTree) add(c *chain) error {
	m := c.match
	for _, d := range orNone(m.direct) {
		src := t.at(d).at(m.sourceType)
		for _, s := range orNone(m.sources) {
			leaf := src.at(s)
			if leaf.by == nil {
				leaf.by = map[uint16]*chain{}
			}
			for _, port := range orZero(m.ports) {
				if leaf.by[port] != nil {
					return errDuplicate
				}
				leaf.by[port] = c
			}
		}
	}
	return nil
}

func orNone(p []netip.Prefix) []netip.Prefix {
	if len(p) == 0 {
		return []netip.Prefix{{}}
	}
	return p
}

func orAny(s []string) []string {
	if len(s) == 0 {
		return []string{""}
	}
	return s
}

func orZero(p []uint16) []uint16 {
	if len(p) == 0 {
		return []uint16{0}
	}
	return p
}

func (t *portTree) port(p uint16) *dstTree {
	if p == 0 {
		if t.any == nil {
			t.any = &dstTree{}
		}
		return t.any
	}
	if t.exact == nil {
		t.exact = map[uint16]*dstTree{}
	}
	return child(t.exact, p)
}

func child[K comparable, V any](m map[K]*V, k K) *V {
	v := m[k]
	if v == nil {
		v = new(V)
		m[k] = v
	}
	return v
}

func (t *sniTree) at(name string) *transportTree {
	switch {
	case name == "":
		if t.none == nil {
			t.none = &transportTree{}
		}
		return t.none
	case strings.HasPrefix(name, "*."):
		if t.wild == nil {
			t.wild = map[string]*transportTree{}
		}
		return child(t.wild, name[1:])
	}
	if t.exact == nil {
		t.exact = map[string]*transportTree{}
	}
	return child(t.exact, name)
}

func (t *transportTree) at(name string) *alpnTree {
	if t.by == nil {
		t.by = map[string]*alpnTree{}
	}
	return child(t.by, name)
}

func (t *alpnTree) at(name string) *directTree {
	if t.by == nil {
		t.by = map[string]*directTree{}
	}
	return child(t.by, name)
}

func (t *typeTree) at(typ listenerv3.FilterChainMatch_ConnectionSourceType) *sourceTree {
	i := int(typ) % 3
	if t.by[i] == nil {
		t.by[i] = &sourceTree{}
	}
	return t.by[i]
}

// query is what a connection shows to the choice of a chain.
type query struct {
	dst       netip.AddrPort
	src       netip.Addr // invalid = not known
	sni       string
	transport string
	alpn      []string

	unsure string // set where the answer depends on what is not known
}

// pick returns the chains that Envoy may choose: one, or more where it depends on
// its hash order. nil stands for "none found: the default chain".
func (t *portTree) pick(q *query) []*chain {
	dst := t.any
	if d, ok := t.exact[q.dst.Port()]; ok {
		dst = d
	}
	if dst == nil {
		return []*chain{nil}
	}
	a, b := dst.find(q.dst.Addr())
	return both(a.pick(q), b, func(t *sniTree) []*chain { return t.pick(q) })
}

// both adds what a second subtree gives.
func both[V any](first []*chain, second *V, pick func(*V) []*chain) []*chain {
	if second == nil {
		return first
	}
	return append(first, pick(second)...)
}

func (t *sniTree) pick(q *query) []*chain {
	if t == nil {
		return []*chain{nil}
	}
	return t.name(q.sni).pick(q)
}

// name is the subtree of the exact name, of the longest wildcard that ends at a
// dot, or of no name.
func (t *sniTree) name(sni string) *transportTree {
	if sni == "" {
		return t.none
	}
	if tr, ok := t.exact[sni]; ok {
		return tr
	}
	for pos := dotFrom(sni, 1); pos >= 0 && pos < len(sni)-1; pos = dotFrom(sni, pos+1) {
		if tr, ok := t.wild[sni[pos:]]; ok {
			return tr
		}
	}
	return t.none
}

func dotFrom(s string, from int) int {
	if from >= len(s) {
		return -1
	}
	i := strings.IndexByte(s[from:], '.')
	if i < 0 {
		return -1
	}
	return from + i
}

func (t *transportTree) pick(q *query) []*chain {
	if t == nil {
		return []*chain{nil}
	}
	if a, ok := t.by[q.transport]; ok {
		return a.pick(q)
	}
	return t.by[""].pick(q)
}

func (t *alpnTree) pick(q *query) []*chain {
	if t == nil {
		return []*chain{nil}
	}
	for _, p := range q.alpn {
		if d, ok := t.by[p]; ok {
			return d.pick(q)
		}
	}
	return t.by[""].pick(q)
}

func (t *directTree) pick(q *query) []*chain {
	if t == nil {
		return []*chain{nil}
	}
	if !q.src.IsValid() && !t.plain() {
		q.unsure = "the choice of a filter chain depends on the source address"
	}
	a, b := t.find(q.src)
	return both(a.pick(q), b, func(t *typeTree) []*chain { return t.pick(q) })
}

func (t *typeTree) pick(q *query) []*chain {
	if t == nil {
		return []*chain{nil}
	}
	either, local, external := t.by[0], t.by[1], t.by[2]
	if local == nil && external == nil {
		return either.pick(q)
	}
	if !q.src.IsValid() {
		q.unsure = "the choice of a filter chain depends on whether the source is local"
	}
	isLocal := q.src == q.dst.Addr() || loopback(q.src)
	switch {
	case isLocal && local != nil:
		return local.pick(q)
	case !isLocal && external != nil:
		return external.pick(q)
	}
	return either.pick(q)
}

// loopback is the one address that Envoy means by it (source/common/network/utility.cc).
func loopback(a netip.Addr) bool {
	return a == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || a == netip.IPv6Loopback()
}

func (t *sourceTree) pick(q *query) []*chain {
	if t == nil {
		return []*chain{nil}
	}
	if !q.src.IsValid() && !t.plain() {
		q.unsure = "the choice of a filter chain depends on the source address"
	}
	a, b := t.find(q.src)
	return both(a.pick(q), b, func(t *sourcePorts) []*chain { return t.pick(q) })
}

// The ports that a client's socket gets by default (net.ipv4.ip_local_port_range).
const firstEphemeral, lastEphemeral = 32768, 60999

// pick takes the chain without source ports: the port of a connection is not
// known, but it is one that the kernel hands out.
func (t *sourcePorts) pick(q *query) []*chain {
	if t == nil {
		return []*chain{nil}
	}
	for p := range t.by {
		if firstEphemeral <= p && p <= lastEphemeral {
			q.unsure = "the choice of a filter chain depends on the source port"
		}
	}
	return []*chain{t.by[0]}
}
