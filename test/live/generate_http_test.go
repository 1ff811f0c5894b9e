package live

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	hrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	uritemplatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/path/match/uri_template/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"
)

const (
	corsName  = "envoy.filters.http.cors"
	faultName = "envoy.filters.http.fault"
	rbacName  = "envoy.filters.http.rbac"
)

func manager(t *rapid.T) *hcmv3.HttpConnectionManager {
	m := &hcmv3.HttpConnectionManager{StatPrefix: "h", MergeSlashes: chance(t, "merge"), NormalizePath: wrapperspb.Bool(chance(t, "normalize")), HttpFilters: httpFilters(t)}
	if chance(t, "inline") {
		m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes(t, "inline")}
	} else {
		name := one(t, routeNames, "rds")
		if rare(t, 12, "no such routes") {
			name = "rds-absent"
		}
		m.RouteSpecifier = &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: name, ConfigSource: ads()}}
	}
	switch rapid.IntRange(0, 5).Draw(t, "strip") {
	case 0:
		m.StripPortMode = &hcmv3.HttpConnectionManager_StripAnyHostPort{StripAnyHostPort: true}
	case 1:
		m.StripMatchingHostPort = true
	}
	m.StripTrailingHostDot = rare(t, 4, "strip dot")
	if rare(t, 5, "http/1.0") {
		m.HttpProtocolOptions = &corev3.Http1ProtocolOptions{AcceptHttp_10: true, DefaultHostForHttp_10: one(t, []string{"", "a.ex"}, "default host")}
	}
	return m
}

// ads waits as long as it takes: what is absent keeps its listener warming.
func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{ResourceApiVersion: corev3.ApiVersion_V3, InitialFetchTimeout: durationpb.New(0),
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}
}

func httpFilters(t *rapid.T) []*hcmv3.HttpFilter {
	var out []*hcmv3.HttpFilter
	add := func(name string, m proto.Message) {
		out = append(out, &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(m)}})
	}
	if rare(t, 3, "cors") {
		add(corsName, &corsv3.Cors{})
	}
	if rare(t, 4, "fault") {
		add(faultName, &faultv3.HTTPFault{})
	}
	if rare(t, 5, "http rbac") {
		add(rbacName, &hrbacv3.RBAC{Rules: policy(t, true)})
	}
	add("envoy.filters.http.router", &routerv3.Router{})
	return out
}

func routes(t *rapid.T, name string) *routev3.RouteConfiguration {
	rc := &routev3.RouteConfiguration{Name: name, IgnorePortInHostMatching: rare(t, 3, "ignore port"), ValidateClusters: wrapperspb.Bool(false)}
	for i, d := range some(t, domains, "domain") {
		vh := &routev3.VirtualHost{Name: fmt.Sprintf("v%d", i), Domains: []string{d}, RequireTls: one(t, []routev3.VirtualHost_TlsRequirementType{0, 0, 0, 0, 0, 0, 1, 2}, "require tls")}
		for range rapid.IntRange(0, 3).Draw(t, "routes") {
			vh.Routes = append(vh.Routes, route(t))
		}
		if rare(t, 6, "host fault") {
			vh.TypedPerFilterConfig = map[string]*anypb.Any{faultName: packed(abort(t))}
		}
		rc.VirtualHosts = append(rc.VirtualHosts, vh)
	}
	return rc
}

// abort is a fault that always, or never, happens.
func abort(t *rapid.T) *faultv3.HTTPFault {
	share := one(t, []uint32{0, 100}, "share")
	return &faultv3.HTTPFault{Abort: &faultv3.FaultAbort{ErrorType: &faultv3.FaultAbort_HttpStatus{HttpStatus: 555}, Percentage: &typev3.FractionalPercent{Numerator: share}}}
}

func route(t *rapid.T) *routev3.Route {
	r := &routev3.Route{Match: routeMatch(t)}
	switch rapid.IntRange(0, 6).Draw(t, "action") {
	case 0:
		r.Action = &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: one(t, []uint32{200, 404, 418, 502}, "status")}}
	case 1:
		r.Action = &routev3.Route_Redirect{Redirect: redirect(t)}
	case 2:
		type weight = routev3.WeightedCluster_ClusterWeight
		r.Action = &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_WeightedClusters{WeightedClusters: &routev3.WeightedCluster{
			Clusters: []*weight{{Name: one(t, legs, "leg 1"), Weight: wrapperspb.UInt32(1)}, {Name: one(t, legs, "leg 2"), Weight: wrapperspb.UInt32(one(t, []uint32{0, 1}, "leg weight"))}}}}}}
	default:
		r.Action = &routev3.Route_Route{Route: forward(t)}
	}
	r.TypedPerFilterConfig = overrides(t)
	return r
}

func redirect(t *rapid.T) *routev3.RedirectAction {
	r := &routev3.RedirectAction{PathRewriteSpecifier: &routev3.RedirectAction_PathRedirect{PathRedirect: "/new"}}
	r.ResponseCode = one(t, []routev3.RedirectAction_RedirectResponseCode{routev3.RedirectAction_MOVED_PERMANENTLY, routev3.RedirectAction_FOUND, routev3.RedirectAction_PERMANENT_REDIRECT}, "redirect code")
	return r
}

func forward(t *rapid.T) *routev3.RouteAction {
	r := &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: one(t, targets, "route target")}}
	switch rapid.IntRange(0, 6).Draw(t, "forward") {
	case 0:
		r.PrefixRewrite = "/new"
	case 1:
		r.MetadataMatch = wanted(t)
		if chance(t, "subset target") {
			r.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: "svc-subset"}
		}
	case 2:
		r.ClusterSpecifier = &routev3.RouteAction_ClusterHeader{ClusterHeader: "x-team"}
	case 3:
		r.ClusterNotFoundResponseCode = one(t, []routev3.RouteAction_ClusterNotFoundResponseCode{routev3.RouteAction_NOT_FOUND, routev3.RouteAction_SERVICE_UNAVAILABLE}, "not found")
	}
	return r
}

// wanted draws what is asked of the metadata of endpoints.
func wanted(t *rapid.T) *corev3.Metadata {
	md := inSubset(one(t, []string{"v1", "v2", "v9"}, "subset"))
	fields := md.FilterMetadata["envoy.lb"].Fields
	switch rapid.IntRange(0, 3).Draw(t, "wanted") {
	case 0:
		fields["stage"] = structpb.NewStringValue(one(t, []string{"prod", "canary", "none"}, "wanted stage"))
	case 1:
		fields["stage"] = structpb.NewStringValue("prod")
		delete(fields, "version")
	}
	return md
}

func inSubset(version string) *corev3.Metadata {
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"envoy.lb": {Fields: map[string]*structpb.Value{"version": structpb.NewStringValue(version)}}}}
}

func overrides(t *rapid.T) map[string]*anypb.Any {
	switch rapid.IntRange(0, 9).Draw(t, "override") {
	case 0:
		return map[string]*anypb.Any{faultName: packed(abort(t))}
	case 1:
		return map[string]*anypb.Any{corsName: packed(&corsv3.CorsPolicy{AllowOriginStringMatch: []*matcherv3.StringMatcher{exactly("http://a.ex")}, AllowMethods: "GET"})}
	case 2:
		return map[string]*anypb.Any{rbacName: packed(&hrbacv3.RBACPerRoute{})}
	}
	return nil
}

func routeMatch(t *rapid.T) *routev3.RouteMatch {
	m := &routev3.RouteMatch{}
	switch rapid.IntRange(0, 4).Draw(t, "path kind") {
	case 0:
		m.PathSpecifier = &routev3.RouteMatch_Path{Path: one(t, []string{"/", "/x", "/x/y"}, "path")}
		m.CaseSensitive = wrapperspb.Bool(chance(t, "case"))
	case 1:
		m.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: one(t, []string{"/x.*", "/[a-z]", "/", "(?i)/X"}, "regex")}}
	case 2:
		m.PathSpecifier = &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: "/x"}
		if chance(t, "template") {
			m.PathSpecifier = &routev3.RouteMatch_PathMatchPolicy{PathMatchPolicy: template(t)}
		}
	default:
		m.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: one(t, []string{"/", "/x", "/old", "/X"}, "prefix")}
		m.CaseSensitive = wrapperspb.Bool(chance(t, "prefix case"))
	}
	if rare(t, 4, "header") {
		m.Headers = []*routev3.HeaderMatcher{headerMatch(t)}
	}
	if rare(t, 6, "query") {
		m.QueryParameters = []*routev3.QueryParameterMatcher{queryMatch(t)}
	}
	return m
}

func template(t *rapid.T) *corev3.TypedExtensionConfig {
	return &corev3.TypedExtensionConfig{Name: "envoy.path.match.uri_template.uri_template_matcher", TypedConfig: packed(&uritemplatev3.UriTemplateMatchConfig{
		PathTemplate: one(t, []string{"/*", "/x/**", "/{a}/{b=*}", "/**y", "/{a=**}", "/*x"}, "path template")})}
}

func headerMatch(t *rapid.T) *routev3.HeaderMatcher {
	h := &routev3.HeaderMatcher{Name: one(t, []string{"x-team", "x-team", ":method", ":authority"}, "header name"), InvertMatch: chance(t, "invert"), TreatMissingHeaderAsEmpty: rare(t, 4, "missing is empty")}
	value := one(t, []string{"shop", "GET", "a.ex", "7"}, "header value")
	text := func(m *matcherv3.StringMatcher) *routev3.HeaderMatcher_StringMatch {
		m.IgnoreCase = chance(t, "header case")
		return &routev3.HeaderMatcher_StringMatch{StringMatch: m}
	}
	switch rapid.IntRange(0, 6).Draw(t, "header kind") {
	case 4:
		h.HeaderMatchSpecifier = text(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Suffix{Suffix: value[len(value)-1:]}})
	case 5:
		h.HeaderMatchSpecifier = text(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Contains{Contains: value[:1]}})
	case 6:
		h.HeaderMatchSpecifier = &routev3.HeaderMatcher_RangeMatch{RangeMatch: &typev3.Int64Range{Start: -1, End: one(t, []int64{7, 8}, "range end")}}
	case 0:
		h.HeaderMatchSpecifier = &routev3.HeaderMatcher_PresentMatch{PresentMatch: chance(t, "present")}
	case 1:
		h.HeaderMatchSpecifier = &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{IgnoreCase: true, MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: value[:min(2, len(value))]}}}
	case 2:
		h.HeaderMatchSpecifier = &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: value[:1] + ".*"}}}}
	default:
		h.HeaderMatchSpecifier = &routev3.HeaderMatcher_StringMatch{StringMatch: exactly(value)}
	}
	return h
}

func queryMatch(t *rapid.T) *routev3.QueryParameterMatcher {
	if chance(t, "query present") {
		return &routev3.QueryParameterMatcher{Name: "q", QueryParameterMatchSpecifier: &routev3.QueryParameterMatcher_PresentMatch{PresentMatch: chance(t, "is present")}}
	}
	return &routev3.QueryParameterMatcher{Name: "q", QueryParameterMatchSpecifier: &routev3.QueryParameterMatcher_StringMatch{StringMatch: exactly(one(t, []string{"1", "2"}, "query value"))}}
}
