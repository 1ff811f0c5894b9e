package traffic

import (
	"fmt"
	"net/netip"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
)

// chain is a compiled filter chain.
type chain struct {
	label   string // for the path of a verdict
	match   *chainMatch
	tls     bool    // it takes TLS only
	end     *tlsEnd // how, then
	filters []networkFilter
	refs    references // what its filters name
	broken  string
}

// chainMatch is a FilterChainMatch with its defaults filled in: an empty list
// means "any".
type chainMatch struct {
	port       uint16 // 0 = any
	prefixes   []netip.Prefix
	snis       []string // lower case, wildcards as "*.suffix"
	transport  string
	alpns      []string
	direct     []netip.Prefix
	sourceType listenerv3.FilterChainMatch_ConnectionSourceType
	sources    []netip.Prefix
	ports      []uint16 // of the source
}

func (l *listener) compileChains(m *listenerv3.Listener, refs *references) {
	for i, fc := range m.GetFilterChains() {
		l.chains = append(l.chains, l.compileChain(fc, i, refs))
	}
	if d := m.GetDefaultFilterChain(); d != nil {
		l.def = l.compileChain(d, -1, refs)
		l.def.match = nil // ignored there
	}
	if m.GetFilterChainMatcher() != nil {
		l.matchedByTree(m)
		return
	}
	l.tree = &portTree{}
	for i, c := range l.chains {
		if err := l.tree.add(c); err != nil {
			l.breaks("filter chain %d: %v", i, err)
		}
	}
}

func (l *listener) compileChain(fc *listenerv3.FilterChain, i int, refs *references) *chain {
	c := &chain{}
	match, err := compileMatch(fc.GetFilterChainMatch())
	c.match = match
	if err != nil && i >= 0 {
		l.breaks("filter chain %d: %v", i, err)
	}
	c.label = chainLabel(fc.GetName(), match, i)
	c.end, c.broken = compileTLSEnd(fc)
	c.tls = c.end != nil
	c.filters = compileFilters(fc.GetFilters(), &c.refs)
	refs.join(&c.refs)
	return c
}

// allChains lists every chain, the default one last.
func (l *listener) allChains() []*chain {
	if l.def == nil {
		return l.chains
	}
	return append(l.chains[:len(l.chains):len(l.chains)], l.def)
}

// chainLabel names a chain as people know it: by its name, else by what it matches.
func chainLabel(name string, m *chainMatch, i int) string {
	switch {
	case name != "":
		return "filter chain " + name
	case i < 0:
		return "default filter chain"
	}
	return "filter chain (" + m.String() + ")"
}

// String shows what m asks for; "match all" if nothing.
func (m *chainMatch) String() string {
	var out []string
	add := func(what string, vals ...string) {
		if len(vals) > 3 {
			vals = append(vals[:3:3], "...")
		}
		out = append(out, what+" "+strings.Join(vals, ","))
	}
	if m == nil {
		return "match all"
	}
	if m.port != 0 {
		add("port", fmt.Sprint(m.port))
	}
	if len(m.prefixes) > 0 {
		add("destination", stringsOf(m.prefixes)...)
	}
	if len(m.snis) > 0 {
		add("sni", m.snis...)
	}
	if m.transport != "" {
		add("transport", m.transport)
	}
	if len(m.alpns) > 0 {
		add("alpn", m.alpns...)
	}
	if len(m.direct)+len(m.sources)+len(m.ports) > 0 || m.sourceType != 0 {
		out = append(out, "source")
	}
	if len(out) == 0 {
		return "match all"
	}
	return strings.Join(out, "; ")
}

func stringsOf[T fmt.Stringer](xs []T) []string {
	out := make([]string, len(xs))
	for i, x := range xs {
		out[i] = x.String()
	}
	return out
}

func compileMatch(m *listenerv3.FilterChainMatch) (*chainMatch, error) {
	c := &chainMatch{transport: m.GetTransportProtocol(), alpns: m.GetApplicationProtocols(), sourceType: m.GetSourceType()}
	if m == nil {
		return c, nil
	}
	if m.GetAddressSuffix() != "" || m.GetSuffixLen() != nil {
		return c, fmt.Errorf("address_suffix is not implemented by Envoy")
	}
	c.port = uint16(m.GetDestinationPort().GetValue())
	var err error
	if c.prefixes, err = prefixes(m.GetPrefixRanges()); err != nil {
		return c, err
	}
	if c.direct, err = prefixes(m.GetDirectSourcePrefixRanges()); err != nil {
		return c, err
	}
	if c.sources, err = prefixes(m.GetSourcePrefixRanges()); err != nil {
		return c, err
	}
	for _, p := range m.GetSourcePorts() {
		c.ports = append(c.ports, uint16(p))
	}
	for _, n := range m.GetServerNames() {
		if strings.Contains(n, "*") && (!strings.HasPrefix(n, "*.") || strings.Contains(n[1:], "*")) {
			return c, fmt.Errorf("server name %q has a partial wildcard", n)
		}
		c.snis = append(c.snis, strings.ToLower(n))
	}
	return c, nil
}

// prefixes masks what it reads: 10.1.2.99/16 is 10.1.0.0/16
// (source/common/network/cidr_range.cc).
func prefixes(in []*corev3.CidrRange) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, r := range in {
		a, err := netip.ParseAddr(r.GetAddressPrefix())
		if err != nil {
			return nil, fmt.Errorf("prefix %q is no address", r.GetAddressPrefix())
		}
		// A length beyond the family's is cut to it.
		n := min(int(r.GetPrefixLen().GetValue()), a.BitLen())
		out = append(out, netip.PrefixFrom(a.WithZone(""), n).Masked())
	}
	return out, nil
}
