package traffic

import (
	"net/netip"
	"strings"
	"testing"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const hiddenMark = "xdsproxy-redacted:0123456789abcdef"

func hiddenMatcher() *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: hiddenMark}}
}

func hiddenHeaders() []*routev3.HeaderMatcher {
	regex := &matcherv3.RegexMatcher{Regex: hiddenMark}
	return []*routev3.HeaderMatcher{
		{HeaderMatchSpecifier: &routev3.HeaderMatcher_ExactMatch{ExactMatch: hiddenMark}},
		{HeaderMatchSpecifier: &routev3.HeaderMatcher_PrefixMatch{PrefixMatch: hiddenMark}, InvertMatch: true},
		{HeaderMatchSpecifier: &routev3.HeaderMatcher_SuffixMatch{SuffixMatch: hiddenMark}},
		{HeaderMatchSpecifier: &routev3.HeaderMatcher_ContainsMatch{ContainsMatch: hiddenMark}},
		{HeaderMatchSpecifier: &routev3.HeaderMatcher_SafeRegexMatch{SafeRegexMatch: regex}},
		{HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: hiddenMatcher()}},
		{HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: regex}}}},
	}
}

// TestHiddenMatchers: of a request that carries what is compared with a secret
// nothing is known; any other passes by that route.
func TestHiddenMatchers(t *testing.T) {
	type ask struct {
		match  *routev3.RouteMatch
		signal xds.Signal
		reason string
	}
	asks := []ask{
		{&routev3.RouteMatch{QueryParameters: []*routev3.QueryParameterMatcher{{Name: "token", QueryParameterMatchSpecifier: &routev3.QueryParameterMatcher_StringMatch{StringMatch: hiddenMatcher()}}}},
			xds.Signal{Path: "/x?token=1"}, "query parameter token"},
		{&routev3.RouteMatch{Cookies: []*routev3.CookieMatcher{{Name: "session", StringMatch: hiddenMatcher()}}},
			xds.Signal{Path: "/x", Headers: map[string]string{"cookie": "session=1"}}, "cookie session"},
	}
	for _, h := range hiddenHeaders() {
		h.Name = "Authorization"
		asks = append(asks, ask{&routev3.RouteMatch{Headers: []*routev3.HeaderMatcher{h}},
			xds.Signal{Path: "/x", Headers: map[string]string{"authorization": "Bearer 1"}}, "header authorization"})
	}
	for _, a := range asks {
		a.match.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: "/x"}
		v := webView(t, &routev3.VirtualHost{Name: "v", Domains: []string{"*"}, Routes: []*routev3.Route{{Match: a.match,
			Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 200}}}}})
		resolve := func(s xds.Signal) xds.Verdict {
			s.Kind, s.Host = xds.HTTP11, "a"
			return v.Resolve(netip.MustParseAddrPort("8.8.8.8:80"), netip.Addr{}, s)
		}
		if vd := resolve(a.signal); vd.Kind != xds.Unknown || !strings.Contains(vd.Reason, "the value of the matcher on "+a.reason+" was not recorded") {
			t.Errorf("with %s: %s, %s", a.reason, vd.Kind, vd.Reason)
		}
		if vd := resolve(xds.Signal{Path: "/x"}); vd.Kind != xds.NoRoute {
			t.Errorf("without %s: %s, %s", a.reason, vd.Kind, vd.Reason)
		}
		unknown := 0
		for _, vd := range v.Classes(netip.MustParseAddrPort("8.8.8.8:80"), netip.Addr{}) {
			if vd.Kind == xds.Unknown && strings.Contains(vd.Reason, a.reason) {
				unknown++
			}
		}
		if unknown == 0 {
			t.Errorf("no class of requests with %s", a.reason)
		}
	}
}

func TestHiddenRBAC(t *testing.T) {
	header := hiddenHeaders()[5]
	header.Name = "x-api-key"
	r := compileRBAC(&rbacv3.RBAC{Policies: map[string]*rbacv3.Policy{"p": {
		Permissions: []*rbacv3.Permission{{Rule: &rbacv3.Permission_Any{Any: true}}},
		Principals:  []*rbacv3.Principal{{Identifier: &rbacv3.Principal_Header{Header: header}}}}}}, false)
	with := newRequest(xds.Signal{Headers: map[string]string{"X-Api-Key": "1"}})
	if vd, _ := r.http(&conn{req: with}, "rbac"); vd.Kind != xds.Unknown || !strings.Contains(vd.Reason, "header x-api-key was not recorded") {
		t.Errorf("with the header: %s, %s", vd.Kind, vd.Reason)
	}
	if vd, _ := r.http(&conn{req: newRequest(xds.Signal{})}, "rbac"); vd.Kind != xds.LocalReply || vd.Status != 403 {
		t.Errorf("without the header: %s %d, %s", vd.Kind, vd.Status, vd.Reason)
	}
}
