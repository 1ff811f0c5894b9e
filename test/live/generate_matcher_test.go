package live

import (
	"strconv"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	matcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	netinv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"
)

// tree draws a filter_chain_matcher over chains c0 to c3; some are not there.
func tree(t *rapid.T, depth int) *matcherv3.Matcher {
	m := &matcherv3.Matcher{}
	switch rapid.IntRange(0, 3).Draw(t, "tree kind") {
	case 0:
		m.MatcherType = &matcherv3.Matcher_MatcherTree_{MatcherTree: exactTree(t, depth)}
	case 1:
		m.MatcherType = &matcherv3.Matcher_MatcherTree_{MatcherTree: rangeTree(t, depth)}
	case 2:
		m.MatcherType = &matcherv3.Matcher_MatcherTree_{MatcherTree: prefixTree(t, depth)}
	default:
		list := &matcherv3.Matcher_MatcherList{}
		for range rapid.IntRange(1, 3).Draw(t, "list") {
			list.Matchers = append(list.Matchers, &matcherv3.Matcher_MatcherList_FieldMatcher{Predicate: predicate(t, 1), OnMatch: onMatch(t, depth)})
		}
		m.MatcherType = &matcherv3.Matcher_MatcherList_{MatcherList: list}
	}
	if chance(t, "on no match") {
		m.OnNoMatch = onMatch(t, 0)
	}
	return m
}

func extension(name string, m proto.Message) *xdscorev3.TypedExtensionConfig {
	return &xdscorev3.TypedExtensionConfig{Name: name, TypedConfig: packed(m)}
}

func onMatch(t *rapid.T, depth int) *matcherv3.Matcher_OnMatch {
	if depth > 0 && chance(t, "deeper") {
		return &matcherv3.Matcher_OnMatch{OnMatch: &matcherv3.Matcher_OnMatch_Matcher{Matcher: tree(t, depth-1)}}
	}
	name := one(t, []string{"c0", "c1", "c2", "c3"}, "chain name")
	return &matcherv3.Matcher_OnMatch{OnMatch: &matcherv3.Matcher_OnMatch_Action{Action: extension(name, wrapperspb.String(name))}}
}

// input draws something to look at, and values that it may have.
func input(t *rapid.T) (*xdscorev3.TypedExtensionConfig, []string) {
	switch rapid.IntRange(0, 5).Draw(t, "input") {
	case 0:
		var values []string
		for _, p := range ports {
			values = append(values, strconv.Itoa(int(p)))
		}
		return extension("port", &netinv3.DestinationPortInput{}), values
	case 1:
		return extension("ip", &netinv3.DestinationIPInput{}), []string{"10.1.2.3", "10.1.9.9", "198.51.100.7", "fd00::7"}
	case 2:
		return extension("sni", &netinv3.ServerNameInput{}), []string{"a.ex", "w.a.ex", "b.ex"}
	case 3:
		return extension("alpn", &netinv3.ApplicationProtocolInput{}), []string{"'http/1.1'", "'h2c'", "'h2'", "'h2','http/1.1'"}
	case 4:
		return extension("source", &netinv3.SourceTypeInput{}), []string{"local"}
	}
	return extension("transport", &netinv3.TransportProtocolInput{}), []string{"tls", "raw_buffer"}
}

func exactTree(t *rapid.T, depth int) *matcherv3.Matcher_MatcherTree {
	in, values := input(t)
	m := map[string]*matcherv3.Matcher_OnMatch{}
	for _, v := range values {
		if len(m) == 0 || chance(t, "value") {
			m[v] = onMatch(t, depth)
		}
	}
	return &matcherv3.Matcher_MatcherTree{Input: in, TreeType: &matcherv3.Matcher_MatcherTree_ExactMatchMap{ExactMatchMap: &matcherv3.Matcher_MatcherTree_MatchMap{Map: m}}}
}

// prefixTree draws prefixes of one another.
func prefixTree(t *rapid.T, depth int) *matcherv3.Matcher_MatcherTree {
	in, values := input(t)
	m := map[string]*matcherv3.Matcher_OnMatch{}
	for _, v := range values {
		for i := range 3 {
			if n := min(len(v), 1+2*i); len(m) == 0 || chance(t, "prefix length") {
				m[v[:n]] = onMatch(t, depth)
			}
		}
	}
	return &matcherv3.Matcher_MatcherTree{Input: in, TreeType: &matcherv3.Matcher_MatcherTree_PrefixMatchMap{PrefixMatchMap: &matcherv3.Matcher_MatcherTree_MatchMap{Map: m}}}
}

func rangeTree(t *rapid.T, depth int) *matcherv3.Matcher_MatcherTree {
	var in proto.Message = &netinv3.DestinationIPInput{}
	pool := prefixes
	if rare(t, 4, "by source") {
		in, pool = &netinv3.SourceIPInput{}, sources
	}
	ip := &matcherv3.IPMatcher{}
	for _, p := range some(t, pool, "range") {
		c := cidr(p)
		ip.RangeMatchers = append(ip.RangeMatchers, &matcherv3.IPMatcher_IPRangeMatcher{OnMatch: onMatch(t, depth), Exclusive: rare(t, 4, "exclusive"),
			Ranges: []*xdscorev3.CidrRange{{AddressPrefix: c.AddressPrefix, PrefixLen: c.PrefixLen}}})
	}
	return &matcherv3.Matcher_MatcherTree{Input: extension("ip", in), TreeType: &matcherv3.Matcher_MatcherTree_CustomMatch{CustomMatch: extension("ip", ip)}}
}

func predicate(t *rapid.T, depth int) *matcherv3.Matcher_MatcherList_Predicate {
	type p = matcherv3.Matcher_MatcherList_Predicate
	kind := 0
	if depth > 0 {
		kind = rapid.IntRange(0, 3).Draw(t, "predicate kind")
	}
	two := func() *matcherv3.Matcher_MatcherList_Predicate_PredicateList {
		return &matcherv3.Matcher_MatcherList_Predicate_PredicateList{Predicate: []*p{predicate(t, depth-1), predicate(t, depth-1)}}
	}
	switch kind {
	case 1:
		return &p{MatchType: &matcherv3.Matcher_MatcherList_Predicate_OrMatcher{OrMatcher: two()}}
	case 2:
		return &p{MatchType: &matcherv3.Matcher_MatcherList_Predicate_AndMatcher{AndMatcher: two()}}
	case 3:
		return &p{MatchType: &matcherv3.Matcher_MatcherList_Predicate_NotMatcher{NotMatcher: predicate(t, depth-1)}}
	}
	in, values := input(t)
	v := one(t, values, "value")
	sm := &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: v}}
	switch {
	case rare(t, 4, "by prefix"):
		sm.MatchPattern = &matcherv3.StringMatcher_Prefix{Prefix: v[:1]}
	case rare(t, 4, "by suffix"):
		sm.MatchPattern = &matcherv3.StringMatcher_Suffix{Suffix: v[len(v)-1:]}
	}
	return &p{MatchType: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{SinglePredicate: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
		Input: in, Matcher: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{ValueMatch: sm}}}}
}
