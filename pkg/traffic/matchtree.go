package traffic

import (
	"net/netip"
	"sort"
	"strconv"
	"strings"

	matcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
)

// matchTree is a compiled filter_chain_matcher (source/common/matcher/matcher.h).
type matchTree struct {
	list    []listMatch
	input   inputFunc
	exact   map[string]*onMatch
	prefix  []prefixMatch // longest first
	ips     []ipMatch
	noMatch *onMatch
	unsure  string
	pts     facets
}

type inputFunc func(q *query) (string, bool)

type listMatch struct {
	when predicate
	then *onMatch
}

type prefixMatch struct {
	prefix string
	then   *onMatch
}

type ipMatch struct {
	prefix    netip.Prefix
	exclusive bool // not tried where the tree below a longer one finds nothing
	then      *onMatch
}

// onMatch is a chain's name or a further tree.
type onMatch struct {
	name string
	tree *matchTree
}

// predicate reports a match; an error-like string means that it cannot be told.
type predicate func(q *query) (bool, string)

func (l *listener) matchedByTree(m *listenerv3.Listener) {
	l.byName = map[string]*chain{}
	for i, fc := range m.GetFilterChains() {
		c := l.chains[i]
		c.match = nil // ignored beside a matcher
		if fc.GetName() == "" {
			l.breaks("a matcher needs names, and filter chain %d has none", i)
			continue
		}
		if l.byName[fc.GetName()] != nil {
			l.breaks("two filter chains are named %s", fc.GetName())
		}
		l.byName[fc.GetName()] = c
	}
	l.matcher = compileTree(m.GetFilterChainMatcher())
}

func compileTree(m *matcherv3.Matcher) *matchTree {
	t := &matchTree{noMatch: compileOnMatch(m.GetOnNoMatch())}
	if t.noMatch != nil && t.noMatch.tree != nil {
		t.pts = t.noMatch.tree.pts
	}
	if hasUnknown(m) {
		t.unsure = "the matcher has fields that are not known"
	}
	switch k := m.GetMatcherType().(type) {
	case *matcherv3.Matcher_MatcherList_:
		t.compileList(k.MatcherList)
	case *matcherv3.Matcher_MatcherTree_:
		t.compileMap(k.MatcherTree)
	default:
		if t.noMatch == nil {
			t.unsure = "the matcher is of a kind that is not known"
		}
	}
	return t
}

func compileOnMatch(o *matcherv3.Matcher_OnMatch) *onMatch {
	if o == nil {
		return nil
	}
	if hasUnknown(o) {
		return &onMatch{tree: &matchTree{unsure: "what a match leads to has fields that are not known"}}
	}
	if o.GetKeepMatching() {
		// Tried on 1.36 and 1.40: a listener tells nobody of the match, and calls that.
		return &onMatch{tree: &matchTree{unsure: "the matcher keeps matching, at which Envoy crashes"}}
	}
	if t := o.GetMatcher(); t != nil {
		return &onMatch{tree: compileTree(t)}
	}
	m, err := decode.Any(o.GetAction().GetTypedConfig())
	if s, ok := m.(*wrapperspb.StringValue); ok && err == nil {
		return &onMatch{name: s.GetValue()}
	}
	return &onMatch{tree: &matchTree{unsure: "the matcher has an action that is not evaluated"}}
}

func (t *matchTree) addPoints(o *onMatch) {
	if o != nil && o.tree != nil {
		t.pts = union(t.pts, o.tree.pts)
	}
}

func (t *matchTree) compileList(l *matcherv3.Matcher_MatcherList) {
	for _, m := range l.GetMatchers() {
		then := compileOnMatch(m.GetOnMatch())
		t.addPoints(then)
		t.list = append(t.list, listMatch{t.predicate(m.GetPredicate()), then})
	}
}

func (t *matchTree) predicate(p *matcherv3.Matcher_MatcherList_Predicate) predicate {
	switch k := p.GetMatchType().(type) {
	case *matcherv3.Matcher_MatcherList_Predicate_SinglePredicate_:
		return t.single(k.SinglePredicate)
	case *matcherv3.Matcher_MatcherList_Predicate_OrMatcher:
		return anyOf(t.predicates(k.OrMatcher), true)
	case *matcherv3.Matcher_MatcherList_Predicate_AndMatcher:
		return anyOf(t.predicates(k.AndMatcher), false)
	case *matcherv3.Matcher_MatcherList_Predicate_NotMatcher:
		p := t.predicate(k.NotMatcher)
		return func(q *query) (bool, string) { ok, why := p(q); return !ok, why }
	}
	return cannot("a predicate of a kind that is not known")
}

func (t *matchTree) predicates(l *matcherv3.Matcher_MatcherList_Predicate_PredicateList) []predicate {
	var out []predicate
	for _, p := range l.GetPredicate() {
		out = append(out, t.predicate(p))
	}
	return out
}

// anyOf stops at the first predicate that is as stop says.
func anyOf(ps []predicate, stop bool) predicate {
	return func(q *query) (bool, string) {
		for _, p := range ps {
			if ok, why := p(q); why != "" || ok == stop {
				return ok, why
			}
		}
		return !stop, ""
	}
}

func cannot(why string) predicate { return func(*query) (bool, string) { return false, why } }

func (t *matchTree) single(p *matcherv3.Matcher_MatcherList_Predicate_SinglePredicate) predicate {
	in, kind := compileInput(p.GetInput().GetTypedConfig())
	if in == nil {
		return cannot("the matcher's input " + p.GetInput().GetName() + " is not evaluated")
	}
	vm := p.GetValueMatch()
	if vm == nil {
		return cannot("the matcher " + p.GetCustomMatch().GetName() + " is not evaluated")
	}
	match := compileXDSString(vm)
	if match == nil {
		return cannot("a string matcher that is not evaluated")
	}
	if e := vm.GetExact(); e != "" {
		t.point(kind, e)
	} else {
		t.pts.opaque = true
	}
	return func(q *query) (bool, string) {
		v, ok := in(q)
		return ok && match(v), ""
	}
}

func (t *matchTree) compileMap(m *matcherv3.Matcher_MatcherTree) {
	in, kind := compileInput(m.GetInput().GetTypedConfig())
	if in == nil {
		t.unsure = "the matcher's input " + m.GetInput().GetName() + " is not evaluated"
		return
	}
	t.input = in
	switch k := m.GetTreeType().(type) {
	case *matcherv3.Matcher_MatcherTree_ExactMatchMap:
		t.exact = map[string]*onMatch{}
		for key, o := range k.ExactMatchMap.GetMap() {
			t.exact[key] = compileOnMatch(o)
			t.addPoints(t.exact[key])
			t.point(kind, key)
		}
	case *matcherv3.Matcher_MatcherTree_PrefixMatchMap:
		for key, o := range k.PrefixMatchMap.GetMap() {
			t.prefix = append(t.prefix, prefixMatch{key, compileOnMatch(o)})
			t.addPoints(t.prefix[len(t.prefix)-1].then)
			t.pts.opaque = true
		}
		sort.Slice(t.prefix, func(i, j int) bool { return len(t.prefix[i].prefix) > len(t.prefix[j].prefix) })
	case *matcherv3.Matcher_MatcherTree_CustomMatch:
		t.compileCustom(k.CustomMatch.GetTypedConfig(), kind)
	}
}

// compileCustom knows the tries over addresses that waypoints use
// (source/extensions/common/matcher/ip_range_matcher.h).
func (t *matchTree) compileCustom(a *anypb.Any, kind string) {
	m, err := decode.Any(a)
	ip, ok := m.(*matcherv3.IPMatcher)
	if err != nil || !ok {
		t.unsure = "a custom matcher (" + decode.TypeName(a.GetTypeUrl()) + ") is not evaluated"
		return
	}
	for _, r := range ip.GetRangeMatchers() {
		then := compileOnMatch(r.GetOnMatch())
		t.addPoints(then)
		for _, c := range r.GetRanges() {
			addr, err := netip.ParseAddr(c.GetAddressPrefix())
			if err != nil {
				t.unsure = "a range of the matcher is no address"
				return
			}
			p := netip.PrefixFrom(addr, min(int(c.GetPrefixLen().GetValue()), addr.BitLen())).Masked()
			t.ips = append(t.ips, ipMatch{p, r.GetExclusive(), then})
			if kind == "ip" {
				t.pts.prefixes = append(t.pts.prefixes, p)
			}
		}
	}
	sort.SliceStable(t.ips, func(i, j int) bool { return t.ips[i].prefix.Bits() > t.ips[j].prefix.Bits() })
}

// point notes where the tree tells connections apart.
func (t *matchTree) point(kind, val string) {
	switch kind {
	case "ip":
		if a, err := netip.ParseAddr(val); err == nil {
			t.pts.prefixes = append(t.pts.prefixes, netip.PrefixFrom(a, a.BitLen()))
		}
	case "port":
		if n, err := strconv.ParseUint(val, 10, 16); err == nil {
			t.pts.ports = append(t.pts.ports, uint16(n))
		}
	case "sni":
		t.pts.snis = append(t.pts.snis, val)
	case "alpn":
		t.pts.alpns = append(t.pts.alpns, strings.Split(strings.ReplaceAll(val, "'", ""), ",")...)
	}
}

// pick runs the tree: a name that no chain has closes the connection, no match
// means the default chain.
func (t *matchTree) pick(l *listener, q *query) ([]*chain, string) {
	name, ok, why := t.match(q)
	switch {
	case why != "":
		return nil, why
	case q.unsure != "":
		return nil, q.unsure
	case !ok:
		return []*chain{l.def}, ""
	}
	return []*chain{l.byName[name]}, ""
}

func (t *matchTree) match(q *query) (name string, ok bool, why string) {
	if t.unsure != "" {
		return "", false, t.unsure
	}
	for _, m := range t.list {
		hit, why := m.when(q)
		if why != "" {
			return "", false, why
		}
		if hit {
			if name, ok, why := m.then.run(q); ok || why != "" {
				return name, ok, why
			}
		}
	}
	for _, o := range t.lookup(q) {
		if name, ok, why := o.run(q); ok || why != "" {
			return name, ok, why
		}
	}
	return t.noMatch.run(q)
}

// lookup gives what the input's value leads to, best first: where the tree below a
// prefix or a range finds nothing, the next shorter one is tried
// (source/common/matcher/prefix_map_matcher.h, which did not before Envoy 1.35;
// source/extensions/common/matcher/ip_range_matcher.h).
func (t *matchTree) lookup(q *query) []*onMatch {
	if t.input == nil {
		return nil
	}
	val, ok := t.input(q)
	if !ok {
		return nil
	}
	if o := t.exact[val]; o != nil {
		return []*onMatch{o}
	}
	var out []*onMatch
	for _, p := range t.prefix {
		if strings.HasPrefix(val, p.prefix) {
			out = append(out, p.then)
		}
	}
	if a, err := netip.ParseAddr(val); err == nil {
		for _, p := range t.ips {
			if p.prefix.Contains(a) && (len(out) == 0 || !p.exclusive) {
				out = append(out, p.then)
			}
		}
	}
	return out
}

func (o *onMatch) run(q *query) (string, bool, string) {
	if o == nil {
		return "", false, ""
	}
	if o.tree != nil {
		return o.tree.match(q)
	}
	return o.name, true, ""
}

// points adds what the tree tells apart.
func (t *matchTree) points(f *facets) {
	if t != nil {
		*f = union(*f, t.pts)
	}
}
