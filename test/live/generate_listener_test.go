package live

import (
	"fmt"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	httpinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	directv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/direct_response/v3"
	echov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/echo/v3"
	nrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"
)

func listener(t *rapid.T, i int) *listenerv3.Listener {
	ip := one(t, addresses, "address")
	l := &listenerv3.Listener{Name: fmt.Sprintf("l%d", i), Address: socket(ip, one(t, ports, "port")),
		BindToPort: wrapperspb.Bool(false), ListenerFilters: inspectors(t), ContinueOnListenerFiltersTimeout: chance(t, "continue")}
	if l.ListenerFiltersTimeout = durationpb.New(one(t, []time.Duration{0, 200 * time.Millisecond}, "timeout")); rare(t, 15, "default timeout") {
		l.ListenerFiltersTimeout, l.ContinueOnListenerFiltersTimeout = nil, false // 15 s: nobody waits here for what comes then
	}
	switch {
	case ip == "::" && rare(t, 2, "compat"): // a port of its own: what was there before matters
		l.Address = socket("::", 5500)
		l.Address.GetSocketAddress().Ipv4Compat = true
	case rare(t, 5, "more addresses"):
		l.AdditionalAddresses = []*listenerv3.AdditionalAddress{{Address: socket(one(t, addresses, "second address"), one(t, ports, "second port"))}}
	}
	for j := range rapid.IntRange(0, 4).Draw(t, "chains") {
		l.FilterChains = append(l.FilterChains, chain(t, j))
	}
	if len(l.FilterChains) == 0 || chance(t, "default") {
		l.DefaultFilterChain = &listenerv3.FilterChain{Name: "default", Filters: terminal(t)}
	}
	if len(l.FilterChains) > 0 && rare(t, 5, "matcher") {
		l.FilterChainMatcher = tree(t, 2)
	}
	return l
}

func chain(t *rapid.T, j int) *listenerv3.FilterChain {
	c := &listenerv3.FilterChain{Name: fmt.Sprintf("c%d", j), FilterChainMatch: match(t), Filters: terminal(t)}
	if rare(t, 8, "ends tls") {
		endTLS(t, c)
	}
	return c
}

func inspectors(t *rapid.T) []*listenerv3.ListenerFilter {
	var out []*listenerv3.ListenerFilter
	add := func(name string, m proto.Message) {
		f := &listenerv3.ListenerFilter{Name: name, ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: packed(m)}}
		if rare(t, 4, "disabled") {
			f.FilterDisabled = disabled(t, 1)
		}
		out = append(out, f)
	}
	if chance(t, "tls inspector") {
		add("envoy.filters.listener.tls_inspector", &tlsinspectorv3.TlsInspector{})
	}
	if chance(t, "http inspector") {
		add("envoy.filters.listener.http_inspector", &httpinspectorv3.HttpInspector{})
	}
	if len(out) == 2 && rare(t, 4, "other order") {
		out[0], out[1] = out[1], out[0]
	}
	return out
}

// disabled draws when a listener filter does not run.
func disabled(t *rapid.T, depth int) *listenerv3.ListenerFilterChainMatchPredicate {
	type set = listenerv3.ListenerFilterChainMatchPredicate_MatchSet
	two := func() *set {
		return &set{Rules: []*listenerv3.ListenerFilterChainMatchPredicate{disabled(t, depth-1), disabled(t, depth-1)}}
	}
	kind := 0
	if depth > 0 {
		kind = rapid.IntRange(0, 4).Draw(t, "predicate")
	}
	switch kind {
	case 1:
		return &listenerv3.ListenerFilterChainMatchPredicate{Rule: &listenerv3.ListenerFilterChainMatchPredicate_OrMatch{OrMatch: two()}}
	case 2:
		return &listenerv3.ListenerFilterChainMatchPredicate{Rule: &listenerv3.ListenerFilterChainMatchPredicate_AndMatch{AndMatch: two()}}
	case 3:
		return &listenerv3.ListenerFilterChainMatchPredicate{Rule: &listenerv3.ListenerFilterChainMatchPredicate_NotMatch{NotMatch: disabled(t, depth-1)}}
	case 4:
		return &listenerv3.ListenerFilterChainMatchPredicate{Rule: &listenerv3.ListenerFilterChainMatchPredicate_AnyMatch{AnyMatch: true}}
	}
	lo := one(t, []int32{1, 3306, 5008, 8080}, "from")
	return &listenerv3.ListenerFilterChainMatchPredicate{Rule: &listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange{
		DestinationPortRange: &typev3.Int32Range{Start: lo, End: lo + one(t, []int32{1, 3000, 60000}, "to")}}}
}

// match draws a filter chain match; each part is there in some chains only.
func match(t *rapid.T) *listenerv3.FilterChainMatch {
	m := &listenerv3.FilterChainMatch{}
	part := func(label string, n int) bool { return rare(t, n, label) }
	if part("has port", 5) {
		m.DestinationPort = wrapperspb.UInt32(one(t, ports, "match port"))
	}
	if part("has prefixes", 3) {
		for _, p := range some(t, prefixes, "prefix") {
			m.PrefixRanges = append(m.PrefixRanges, cidr(p))
		}
	}
	if part("has names", 3) {
		m.ServerNames = some(t, patterns, "sni")
	}
	if part("has transport", 3) {
		m.TransportProtocol = one(t, transport, "transport")
	}
	if part("has protocols", 3) {
		m.ApplicationProtocols = some(t, protocols, "alpn")
	}
	if part("has sources", 5) {
		m.SourcePrefixRanges = []*corev3.CidrRange{cidr(one(t, sources, "source"))}
	}
	if part("has direct sources", 8) {
		m.DirectSourcePrefixRanges = []*corev3.CidrRange{cidr(one(t, sources, "direct source"))}
	}
	if part("has source type", 6) {
		m.SourceType = one(t, []listenerv3.FilterChainMatch_ConnectionSourceType{listenerv3.FilterChainMatch_SAME_IP_OR_LOOPBACK, listenerv3.FilterChainMatch_EXTERNAL}, "source type")
	}
	if part("has source port", 30) {
		m.SourcePorts = []uint32{40000}
	}
	return m
}

func terminal(t *rapid.T) []*listenerv3.Filter {
	var before []proto.Message
	if rare(t, 8, "network rbac") {
		before = append(before, &nrbacv3.RBAC{StatPrefix: "r", Rules: policy(t, false)})
	}
	switch rapid.IntRange(0, 7).Draw(t, "terminal") {
	case 0, 1, 2:
		return network(append(before, manager(t))...)
	case 3:
		return network(append(before, weighted(t))...)
	case 4:
		p := tcpProxy(one(t, targets, "late target"))
		if late(t) {
			p.UpstreamConnectMode, p.MaxEarlyDataBytes = tcpproxyv3.UpstreamConnectMode_ON_DOWNSTREAM_DATA, wrapperspb.UInt32(4096)
		}
		return network(append(before, p)...)
	case 5:
		switch rapid.IntRange(0, 4).Draw(t, "special") {
		case 0:
			return network(append(before, &directv3.Config{Response: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "hello\n"}}})...)
		case 1:
			return network(append(before, &echov3.Echo{})...)
		case 2:
			p := tcpProxy("svc-subset")
			p.MetadataMatch = wanted(t)
			return network(append(before, p)...)
		}
	}
	return network(append(before, tcpProxy(one(t, targets, "target")))...)
}

// late is drawn where the Envoy knows upstream_connect_mode.
func late(t *rapid.T) bool { return rare(t, 2, "late connect") && minor() >= 37 }

func weighted(t *rapid.T) *tcpproxyv3.TcpProxy {
	type weight = tcpproxyv3.TcpProxy_WeightedCluster_ClusterWeight
	return &tcpproxyv3.TcpProxy{StatPrefix: "t", ClusterSpecifier: &tcpproxyv3.TcpProxy_WeightedClusters{WeightedClusters: &tcpproxyv3.TcpProxy_WeightedCluster{
		Clusters: []*weight{{Name: one(t, legs, "leg 1"), Weight: 50}, {Name: one(t, legs, "leg 2"), Weight: 50}}}}}
}

// policy draws an RBAC that asks for the connection, or the request.
func policy(t *rapid.T, http bool) *rbacv3.RBAC {
	var p *rbacv3.Permission
	switch rapid.IntRange(0, 4).Draw(t, "permission") {
	case 0:
		p = &rbacv3.Permission{Rule: &rbacv3.Permission_Any{Any: true}}
	case 1:
		p = &rbacv3.Permission{Rule: &rbacv3.Permission_DestinationPort{DestinationPort: one(t, ports, "rbac port")}}
	case 2:
		p = &rbacv3.Permission{Rule: &rbacv3.Permission_DestinationIp{DestinationIp: cidr(one(t, prefixes, "rbac prefix"))}}
	case 3:
		p = &rbacv3.Permission{Rule: &rbacv3.Permission_RequestedServerName{RequestedServerName: exactly(one(t, []string{"a.ex", "b.ex"}, "rbac name"))}}
	default:
		p = &rbacv3.Permission{Rule: &rbacv3.Permission_NotRule{NotRule: &rbacv3.Permission{Rule: &rbacv3.Permission_DestinationPort{DestinationPort: one(t, ports, "rbac other port")}}}}
	}
	if http && rare(t, 4, "rbac template") {
		p = &rbacv3.Permission{Rule: &rbacv3.Permission_UriTemplate{UriTemplate: template(t)}}
	} else if http && chance(t, "rbac path") {
		p = &rbacv3.Permission{Rule: &rbacv3.Permission_UrlPath{UrlPath: &matcherv3.PathMatcher{Rule: &matcherv3.PathMatcher_Path{Path: exactly("/x")}}}}
	}
	who := &rbacv3.Principal{Identifier: &rbacv3.Principal_Any{Any: true}}
	if rare(t, 3, "rbac source") {
		who = &rbacv3.Principal{Identifier: &rbacv3.Principal_DirectRemoteIp{DirectRemoteIp: cidr(one(t, sources, "rbac source"))}}
	}
	if rare(t, 6, "rbac identity") {
		who = &rbacv3.Principal{Identifier: &rbacv3.Principal_Authenticated_{Authenticated: &rbacv3.Principal_Authenticated{PrincipalName: exactly("spiffe://a/b")}}}
	}
	return &rbacv3.RBAC{Action: one(t, []rbacv3.RBAC_Action{rbacv3.RBAC_ALLOW, rbacv3.RBAC_DENY}, "rbac action"),
		Policies: map[string]*rbacv3.Policy{"p": {Permissions: []*rbacv3.Permission{p}, Principals: []*rbacv3.Principal{who}}}}
}

func exactly(s string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: s}}
}
