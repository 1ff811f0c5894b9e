package traffic

import (
	"sort"
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// routeConfig is a compiled RouteConfiguration (source/common/router/config_impl.cc).
type routeConfig struct {
	name       string
	exact      map[string]*virtualHost
	suffix     []wildcard // "*.foo", longest first
	prefix     []wildcard // "foo.*", ditto
	fallback   *virtualHost
	hosts      []*virtualHost
	ignorePort bool
	ignoreArgs bool // path parameters (";...") take no part in matching
	hostHeader string
	overrides  overrides
	mirrors    []string

	clusters []string
	dynamic  bool
	broken   string
}

type wildcard struct {
	text string // without the star
	host *virtualHost
}

type virtualHost struct {
	name      string
	domains   []string
	routes    []*route
	tls       routev3.VirtualHost_TlsRequirementType
	overrides overrides
	mirrors   []string
	unsure    string
}

// route is a compiled Route: a match and what then happens.
type route struct {
	name      string
	match     routeMatch
	overrides overrides

	legs     []leg
	header   string // the cluster is what this header says
	missing  int    // status where the cluster does not exist
	status   int    // redirect or direct response
	redirect bool
	blocked  bool
	mirrors  []string
	upgrades map[string]bool
	rewrite  string // the host that a dynamic forward proxy resolves
	unsure   string
}

func compileRoutes(m *routev3.RouteConfiguration) *routeConfig {
	refs := &references{}
	rc := &routeConfig{name: m.GetName(), exact: map[string]*virtualHost{}, ignorePort: m.GetIgnorePortInHostMatching(),
		ignoreArgs: m.GetIgnorePathParametersInPathMatching(), hostHeader: strings.ToLower(m.GetVhostHeader()),
		overrides: compileOverrides(m.GetTypedPerFilterConfig()), mirrors: mirrors(m.GetRequestMirrorPolicies())}
	if m.GetVhds() != nil {
		rc.broken = "virtual hosts come by VHDS"
	}
	if len(m.GetRouteSpecifiers()) > 0 {
		rc.broken = "route_specifiers are not evaluated"
	}
	for _, vh := range m.GetVirtualHosts() {
		rc.host(vh, refs)
	}
	sort.SliceStable(rc.suffix, func(i, j int) bool { return len(rc.suffix[i].text) > len(rc.suffix[j].text) })
	sort.SliceStable(rc.prefix, func(i, j int) bool { return len(rc.prefix[i].text) > len(rc.prefix[j].text) })
	rc.clusters, rc.dynamic = refs.clusterNames(), refs.dynamic
	return rc
}

func mirrors(ps []*routev3.RouteAction_RequestMirrorPolicy) []string {
	var out []string
	for _, p := range ps {
		name := p.GetCluster()
		if name == "" {
			name = "header " + p.GetClusterHeader()
		}
		out = append(out, "mirror: "+name)
	}
	return out
}

func (rc *routeConfig) host(m *routev3.VirtualHost, refs *references) {
	vh := &virtualHost{name: m.GetName(), tls: m.GetRequireTls(), overrides: compileOverrides(m.GetTypedPerFilterConfig()), mirrors: mirrors(m.GetRequestMirrorPolicies())}
	vh.overrides.legacyCORS(m.GetCors())
	if m.GetMatcher() != nil || len(m.GetRouteSpecifiers()) > 0 {
		vh.unsure = "virtual host " + vh.name + " routes by a matcher, which is not evaluated"
	}
	for _, r := range m.GetRoutes() {
		vh.routes = append(vh.routes, compileRoute(r, refs))
	}
	vh.findBlock()
	for _, d := range m.GetDomains() {
		rc.domain(strings.ToLower(d), vh)
	}
	rc.hosts = append(rc.hosts, vh)
}

func (rc *routeConfig) domain(d string, vh *virtualHost) {
	vh.domains = append(vh.domains, d)
	switch {
	case d == "*":
		rc.fallback = vh
	case strings.HasPrefix(d, "*"):
		rc.suffix = append(rc.suffix, wildcard{d[1:], vh})
	case strings.HasSuffix(d, "*"):
		rc.prefix = append(rc.prefix, wildcard{d[:len(d)-1], vh})
	default:
		rc.exact[d] = vh
	}
}

// find chooses the virtual host; a star stands for at least one character.
func (rc *routeConfig) find(q *request) *virtualHost {
	host, ok := q.host, q.hasHost
	if rc.hostHeader != "" {
		host, ok = q.header(rc.hostHeader)
	}
	if !ok {
		return rc.fallbackOnly()
	}
	host = strings.ToLower(host)
	if rc.ignorePort {
		if i := portStart(host); i >= 0 {
			host = host[:i]
		}
	}
	if vh, ok := rc.exact[host]; ok {
		return vh
	}
	for _, w := range rc.suffix {
		if len(host) > len(w.text) && strings.HasSuffix(host, w.text) {
			return w.host
		}
	}
	for _, w := range rc.prefix {
		if len(host) > len(w.text) && strings.HasPrefix(host, w.text) {
			return w.host
		}
	}
	return rc.fallback
}

// fallbackOnly: without a host only a configuration of "*" alone has an answer.
func (rc *routeConfig) fallbackOnly() *virtualHost {
	if len(rc.exact)+len(rc.suffix)+len(rc.prefix) > 0 {
		return nil
	}
	return rc.fallback
}

// findBlock recognises Istio's block_all: all that the host does is say 502.
func (vh *virtualHost) findBlock() {
	if len(vh.routes) == 1 && vh.name == "block_all" && vh.routes[0].status == 502 && !vh.routes[0].redirect {
		vh.routes[0].blocked = true
	}
}

func compileRoute(m *routev3.Route, refs *references) *route {
	r := &route{name: m.GetName(), match: compileMatchOf(m.GetMatch()), overrides: compileOverrides(m.GetTypedPerFilterConfig())}
	if len(m.GetRouteSpecifiers()) > 0 {
		r.unsure = "route_specifiers are not evaluated"
	}
	switch a := m.GetAction().(type) {
	case *routev3.Route_Route:
		r.action(a.Route, refs)
	case *routev3.Route_Redirect:
		r.redirect, r.status = true, redirectStatus(a.Redirect.GetResponseCode())
	case *routev3.Route_DirectResponse:
		r.status = int(a.DirectResponse.GetStatus())
	default:
		r.unsure = "an action that is not evaluated"
	}
	return r
}

func redirectStatus(c routev3.RedirectAction_RedirectResponseCode) int {
	return map[routev3.RedirectAction_RedirectResponseCode]int{routev3.RedirectAction_FOUND: 302, routev3.RedirectAction_SEE_OTHER: 303,
		routev3.RedirectAction_TEMPORARY_REDIRECT: 307, routev3.RedirectAction_PERMANENT_REDIRECT: 308, routev3.RedirectAction_MOVED_PERMANENTLY: 301}[c]
}

func (r *route) action(a *routev3.RouteAction, refs *references) {
	r.missing = map[routev3.RouteAction_ClusterNotFoundResponseCode]int{routev3.RouteAction_SERVICE_UNAVAILABLE: 503,
		routev3.RouteAction_NOT_FOUND: 404, routev3.RouteAction_INTERNAL_SERVER_ERROR: 500}[a.GetClusterNotFoundResponseCode()]
	r.mirrors = mirrors(a.GetRequestMirrorPolicies())
	r.rewrite = a.GetHostRewriteLiteral()
	r.overrides.legacyCORS(a.GetCors())
	r.upgrade(a.GetUpgradeConfigs())
	asks := criteriaOf(a.GetMetadataMatch())
	switch s := a.GetClusterSpecifier().(type) {
	case *routev3.RouteAction_Cluster:
		r.legs = []leg{{s.Cluster, 0, asks}}
	case *routev3.RouteAction_ClusterHeader:
		r.header, refs.dynamic = strings.ToLower(s.ClusterHeader), true
	case *routev3.RouteAction_WeightedClusters:
		r.weighted(s.WeightedClusters, asks)
	default:
		r.unsure = "a cluster specifier that is not evaluated"
	}
	for _, l := range r.legs {
		refs.cluster(l.cluster)
	}
}

func (r *route) upgrade(cs []*routev3.RouteAction_UpgradeConfig) {
	for _, u := range cs {
		if r.upgrades == nil {
			r.upgrades = map[string]bool{}
		}
		r.upgrades[strings.ToLower(u.GetUpgradeType())] = u.GetEnabled() == nil || u.GetEnabled().GetValue()
	}
}

// weighted keeps the legs that get traffic.
func (r *route) weighted(w *routev3.WeightedCluster, asks criteria) {
	for _, c := range w.GetClusters() {
		if c.GetWeight().GetValue() == 0 {
			continue
		}
		if c.GetClusterHeader() != "" || len(c.GetTypedPerFilterConfig()) > 0 {
			r.unsure = "a weighted cluster with settings that are not evaluated"
		}
		r.legs = append(r.legs, leg{c.GetName(), c.GetWeight().GetValue(), asks.with(criteriaOf(c.GetMetadataMatch()))})
	}
	if len(r.legs) == 0 {
		r.unsure = "a weighted choice without weights"
	}
	if w.GetHeaderName() != "" {
		r.unsure = "a header chooses among weighted clusters, which is not evaluated"
	}
}

// routed is what a request got.
type routed struct {
	host   *virtualHost
	route  *route
	tls    bool // only https is served: redirected
	outer  bool // ditto, of external requests only
	unsure string
}

// choose finds the route of a request.
func (rc *routeConfig) choose(q *request) routed {
	if rc.broken != "" {
		return routed{unsure: "route configuration " + rc.name + ": " + rc.broken}
	}
	vh := rc.find(q)
	if vh == nil {
		return routed{}
	}
	out := routed{host: vh, unsure: vh.unsure}
	if vh.tls != routev3.VirtualHost_NONE {
		if proto, _ := q.header("x-forwarded-proto"); proto != "https" {
			out.tls, out.outer = true, vh.tls == routev3.VirtualHost_EXTERNAL_ONLY
			return out
		}
	}
	for _, r := range vh.routes {
		a := r.match.matches(q, rc.ignoreArgs)
		if a.unsure != "" {
			out.unsure = "route " + strconv.Quote(r.name) + " of " + vh.name + ": " + a.unsure
			return out
		}
		if a.yes {
			out.route = r
			return out
		}
	}
	return out
}

// act is what the router does with a route.
func (x *conn) act(rt routed) xds.Verdict {
	switch {
	case rt.tls:
		return xds.Verdict{Kind: xds.LocalReply, Status: 301, Reason: "the virtual host wants TLS"}
	case rt.host == nil:
		return xds.Verdict{Kind: xds.NoRoute, Reason: "no virtual host has the name " + strconv.Quote(x.req.host)}
	case rt.route == nil:
		return xds.Verdict{Kind: xds.NoRoute, Reason: "no route of virtual host " + rt.host.name + " matches"}
	}
	r := rt.route
	switch {
	case r.unsure != "":
		return unknown("route " + strconv.Quote(r.name) + ": " + r.unsure)
	case r.blocked:
		return xds.Verdict{Kind: xds.Blocked, Status: r.status, Reason: "direct response"}
	case r.redirect:
		return xds.Verdict{Kind: xds.LocalReply, Status: r.status, Reason: "redirect"}
	case r.status != 0:
		return xds.Verdict{Kind: xds.LocalReply, Status: r.status, Reason: "direct response"}
	}
	return x.forward(r)
}

func (x *conn) forward(r *route) xds.Verdict {
	legs := r.legs
	if r.header != "" {
		name, _ := x.req.header(r.header)
		if name == "" {
			return xds.Verdict{Kind: xds.NoCluster, Reason: "the request has no header " + r.header + " to name a cluster"}
		}
		legs = []leg{{cluster: name}}
	}
	if r.rewrite != "" && x.dynSet {
		x.setDynamic(r.rewrite)
	}
	vd := x.legs(legs)
	if vd.Kind == xds.NoCluster && r.missing != 503 && r.missing != 0 {
		vd.Kind, vd.Status = xds.LocalReply, r.missing
	}
	return vd
}
