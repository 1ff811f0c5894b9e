package record_test

import (
	"strings"
	"testing"

	v2route "github.com/envoyproxy/go-control-plane/envoy/api/v2/route"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	netrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/record"
)

func routeMatch(m *routev3.RouteMatch) proto.Message {
	return &routev3.RouteConfiguration{Name: "visible", VirtualHosts: []*routev3.VirtualHost{{Name: "visible", Routes: []*routev3.Route{{Match: m}}}}}
}

func matchers(name string) *routev3.RouteMatch {
	regex := &matcherv3.RegexMatcher{Regex: "(" + planted + ")"}
	specs := []*routev3.HeaderMatcher{
		{HeaderMatchSpecifier: &routev3.HeaderMatcher_ExactMatch{ExactMatch: planted}},
		{HeaderMatchSpecifier: &routev3.HeaderMatcher_PrefixMatch{PrefixMatch: planted}},
		{HeaderMatchSpecifier: &routev3.HeaderMatcher_SuffixMatch{SuffixMatch: planted}},
		{HeaderMatchSpecifier: &routev3.HeaderMatcher_ContainsMatch{ContainsMatch: planted}},
		{HeaderMatchSpecifier: &routev3.HeaderMatcher_SafeRegexMatch{SafeRegexMatch: regex}},
	}
	out := &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/visible"}}
	for _, m := range []*matcherv3.StringMatcher{
		{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: planted}},
		{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: planted}, IgnoreCase: true},
		{MatchPattern: &matcherv3.StringMatcher_Suffix{Suffix: planted}},
		{MatchPattern: &matcherv3.StringMatcher_Contains{Contains: planted}},
		{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: regex}},
	} {
		specs = append(specs, &routev3.HeaderMatcher{HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: m}})
		out.QueryParameters = append(out.QueryParameters, &routev3.QueryParameterMatcher{Name: name,
			QueryParameterMatchSpecifier: &routev3.QueryParameterMatcher_StringMatch{StringMatch: m}})
	}
	for _, h := range specs {
		h.Name = name
	}
	out.Headers = specs
	return out
}

// TestPlantedInMatchers: what a matcher compares a credential with is one.
func TestPlantedInMatchers(t *testing.T) {
	for _, name := range []string{"Authorization", "x-api-key", "cookie", "x-auth-token", "my-secret"} {
		m := matchers(name)
		header := m.Headers[5]
		rules := &rbacv3.RBAC{Policies: map[string]*rbacv3.Policy{"visible": {
			Permissions: []*rbacv3.Permission{{Rule: &rbacv3.Permission_NotRule{NotRule: &rbacv3.Permission{Rule: &rbacv3.Permission_Header{Header: header}}}}},
			Principals:  []*rbacv3.Principal{{Identifier: &rbacv3.Principal_Header{Header: header}}}}}}
		old := pack(t, &v2route.RouteMatch{Headers: []*v2route.HeaderMatcher{{Name: name, HeaderMatchSpecifier: &v2route.HeaderMatcher_RegexMatch{RegexMatch: planted}}},
			QueryParameters: []*v2route.QueryParameterMatcher{{Name: name, Value: planted}}})
		for what, r := range map[string]*anypb.Any{
			"route":        pack(t, routeMatch(m)),
			"route, v2":    old,
			"http RBAC":    pack(t, filter(t, &httprbacv3.RBAC{Rules: rules})),
			"network RBAC": pack(t, listener(t, &netrbacv3.RBAC{StatPrefix: "visible", Rules: rules})),
			"cookie": pack(t, routeMatch(&routev3.RouteMatch{Cookies: []*routev3.CookieMatcher{{Name: "visible",
				StringMatch: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: planted}}}}})),
			"Struct": pack(t, filter(t, structure(t, map[string]any{"visible": []any{map[string]any{"name": name, "exact_match": planted},
				map[string]any{"name": name, "stringMatch": map[string]any{"prefix": planted}}}}))),
		} {
			p := newPlay(t, record.Config{})
			p.run("1 open delta\n1 req LDS node=web")
			p.response(respond(t, r))
			got := p.dump()
			if strings.Contains(got, planted) || what != "cookie" && !strings.Contains(got, name) || strings.Count(got, record.Marker) < strings.Count(string(r.Value), planted) {
				t.Errorf("%s of %s: the history holds %q", what, name, got)
			}
			if strings.Count(got, "visible") < strings.Count(string(r.Value), "visible") {
				t.Errorf("%s of %s: more was taken than the secret: %q", what, name, got)
			}
			p.decodes()
		}
	}
}

// A matcher of anything else stays, byte by byte.
func TestMatchersStay(t *testing.T) {
	r := pack(t, routeMatch(matchers("x-version")))
	p := newPlay(t, record.Config{})
	p.run("1 open delta\n1 req LDS node=web")
	p.response(respond(t, r))
	if got := p.dump(); strings.Contains(got, record.Marker) || !strings.Contains(got, string(r.Value)) {
		t.Errorf("the history holds %q", got)
	}
}
