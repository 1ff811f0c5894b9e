package traffic

import (
	"strings"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// hcm is a compiled HTTP connection manager (source/common/http/conn_manager_impl.cc).
type hcm struct {
	codec     hcmv3.HttpConnectionManager_CodecType
	http10    bool // HTTP/1.0 is accepted
	host10    string
	inline    *routeConfig
	rds       string
	normalize bool
	merge     bool
	slashes   hcmv3.HttpConnectionManager_PathWithEscapedSlashesAction
	stripAny  bool
	stripOwn  bool // a port that is the listener's
	stripDot  bool
	custom    bool // methods of any name
	upgrades  map[string]bool
	filters   []httpFilter
	unsure    string
	remaps    bool // local replies get another status
	remote    bool // use_remote_address
}

func compileHCM(m *hcmv3.HttpConnectionManager, refs *references) networkFilter {
	o := m.GetHttpProtocolOptions()
	h := &hcm{codec: m.GetCodecType(), http10: o.GetAcceptHttp_10(), host10: o.GetDefaultHostForHttp_10(), normalize: m.GetNormalizePath().GetValue(),
		merge: m.GetMergeSlashes(), slashes: m.GetPathWithEscapedSlashesAction(), stripAny: m.GetStripAnyHostPort(), stripOwn: m.GetStripMatchingHostPort(),
		stripDot: m.GetStripTrailingHostDot(), custom: o.GetAllowCustomMethods(), remote: m.GetUseRemoteAddress().GetValue(), upgrades: map[string]bool{}}
	h.routeSource(m, refs)
	for _, u := range m.GetUpgradeConfigs() {
		h.upgrades[strings.ToLower(u.GetUpgradeType())] = u.GetEnabled() == nil || u.GetEnabled().GetValue()
		if len(u.GetFilters()) > 0 {
			h.unsure = "upgrade filters are not evaluated"
		}
	}
	for _, r := range m.GetLocalReplyConfig().GetMappers() {
		h.remaps = h.remaps || r.GetStatusCode() != nil
	}
	switch {
	case len(m.GetEarlyHeaderMutationExtensions()) > 0:
		h.unsure = "early header mutation is not evaluated"
	case m.GetPathNormalizationOptions() != nil:
		h.unsure = "path_normalization_options is not evaluated"
	case m.GetTypedHeaderValidationConfig() != nil:
		h.unsure = "typed_header_validation_config is not evaluated"
	}
	for _, f := range m.GetHttpFilters() {
		h.filters = append(h.filters, compileHTTPFilter(f, refs)...)
	}
	return h
}

func (h *hcm) routeSource(m *hcmv3.HttpConnectionManager, refs *references) {
	switch s := m.GetRouteSpecifier().(type) {
	case *hcmv3.HttpConnectionManager_RouteConfig:
		h.inline = compileRoutes(s.RouteConfig)
		for _, c := range h.inline.clusters {
			refs.cluster(c)
		}
		refs.dynamic = refs.dynamic || h.inline.dynamic
	case *hcmv3.HttpConnectionManager_Rds:
		h.rds = s.Rds.GetRouteConfigName()
		refs.route(h.rds)
	default:
		h.unsure = "scoped routes are not evaluated"
	}
}

func local(status int, why string) xds.Verdict {
	return xds.Verdict{Kind: xds.LocalReply, Status: status, Reason: why}
}

func (h *hcm) apply(x *conn) (xds.Verdict, bool) {
	x.step("http_connection_manager")
	x.http = true
	vd := h.serve(x)
	if h.remaps && vd.Kind != xds.Service && vd.Kind != xds.Passthrough && vd.Kind != xds.Tunnel && vd.Kind != xds.Stall {
		return unknown("local_reply_config changes the status of replies, which is not evaluated"), true
	}
	return vd, true
}

func (h *hcm) serve(x *conn) xds.Verdict {
	if x.f.opaque {
		return unknown("what is inside TLS is not known")
	}
	if vd, ends := h.read(x); ends {
		return vd
	}
	if h.unsure != "" {
		return unknown("http_connection_manager: " + h.unsure)
	}
	q := *x.f.req
	x.req = &q
	if vd, ends := h.check(x); ends {
		return vd
	}
	rc, vd := x.v.routesOf(h)
	if rc == nil {
		return vd
	}
	x.step("route configuration " + rc.name)
	return h.request(x, rc)
}

// read is what the codec makes of the first bytes.
func (h *hcm) read(x *conn) (xds.Verdict, bool) {
	f := x.f
	two := h.codec == hcmv3.HttpConnectionManager_HTTP2
	switch {
	case h.codec == hcmv3.HttpConnectionManager_HTTP3:
		return unknown("HTTP/3 is not evaluated"), true
	case f.size == 0:
		return xds.Verdict{Kind: xds.Stall, Reason: "the HTTP connection manager waits for a request"}, true
	case two && f.line != string(xds.H2C):
		return h.notHTTP2(f), true
	case f.req == nil && f.exact:
		return h.partial(f), true
	case f.req == nil:
		return local(400, "not an HTTP request"), true
	case f.req.unread != "":
		return unknown(f.req.unread), true
	case f.line == string(xds.H2C) && h.codec == hcmv3.HttpConnectionManager_HTTP1:
		return local(400, "HTTP/2 on an HTTP/1 codec"), true
	}
	return xds.Verdict{}, false
}

func (h *hcm) notHTTP2(f *flight) xds.Verdict {
	if f.exact && len(f.raw) < len(h2Preface) && strings.HasPrefix(h2Preface, string(f.raw)) {
		return xds.Verdict{Kind: xds.Stall, Reason: "the HTTP/2 codec waits for the rest of the preface"}
	}
	return xds.Verdict{Kind: xds.NoChain, Reason: "the HTTP/2 codec closes what is not HTTP/2"}
}

// partial is an exact first flight that holds no whole request. The codec refuses
// a control character at once, a request line when it ends, and waits otherwise
// (quiche's BalsaFrame, source/common/http/http1/balsa_parser.cc).
func (h *hcm) partial(f *flight) xds.Verdict {
	line, rest, ended := strings.Cut(string(f.raw), "\n")
	switch {
	case f.raw[0] == '\r' || f.raw[0] == '\n':
		return unknown("blank lines before a request are not evaluated")
	case f.raw[0] <= ' ':
		return local(400, "not an HTTP request")
	case strings.HasPrefix(string(f.raw), "PRI * HTTP/2"):
		return unknown("an unfinished HTTP/2 preface is not evaluated") // the HTTP/2 codec sends its SETTINGS, and waits or hangs up
	case len(line) > maxLine:
		return unknown("an odd request is not evaluated")
	case !ended:
		return xds.Verdict{Kind: xds.Stall, Reason: "the HTTP codec waits for the end of the request line"}
	}
	switch words := strings.Fields(line); {
	case !h.custom && !methods[words[0]] || len(words) < 2 || len(words) > 3 || len(words) == 3 && !isVersion(words[2]):
		return local(400, "not an HTTP request")
	case len(words) == 2 && h.http10:
		return unknown("HTTP/0.9 is not evaluated")
	case len(words) == 2:
		return local(426, "HTTP/0.9 is not accepted")
	case strings.Contains("\n"+rest, "\n\r\n") || strings.Contains("\n"+rest, "\n\n"):
		return unknown("an odd request is not evaluated")
	}
	return xds.Verdict{Kind: xds.Stall, Reason: "the HTTP codec waits for the rest of the headers"}
}

// isVersion reports whether s is HTTP/ and two digits with a dot.
func isVersion(s string) bool {
	v, ok := strings.CutPrefix(s, "HTTP/")
	return ok && len(v) == 3 && digit(v[0]) && v[1] == '.' && digit(v[2])
}

// check is what the manager itself refuses, and what it does to path and host.
func (h *hcm) check(x *conn) (xds.Verdict, bool) {
	q := x.req
	if q.proto == xds.HTTP10 {
		if !h.http10 {
			return local(426, "HTTP/1.0 is not accepted"), true
		}
		if !q.hasHost && h.host10 != "" {
			q.host, q.hasHost = h.host10, true
		}
	}
	if q.proto != xds.H2C && !h.custom && !methods[q.method] {
		return local(400, "the method is not known"), true
	}
	if q.proto != xds.H2C {
		q.absolute()
	}
	if !q.hasHost || q.host == "" || !validAuthority(q.host) {
		return local(400, "no valid host"), true
	}
	if vd, ends := h.path(q); ends {
		return vd, true
	}
	h.strip(q, x.dst.Port())
	return xds.Verdict{}, false
}

// routesOf is the route configuration of h, or a verdict where there is none.
func (v *View) routesOf(h *hcm) (*routeConfig, xds.Verdict) {
	if h.inline != nil {
		return h.inline, xds.Verdict{}
	}
	d, ok := v.snap.Lookup(xds.RouteType, h.rds)
	switch {
	case !ok && v.snap.Len(xds.RouteType) == 0:
		return nil, unknown("route configuration " + h.rds + " was not recorded")
	case !ok:
		return nil, xds.Verdict{Kind: xds.Pending, Reason: "route configuration " + h.rds + " has not come"}
	case d == xds.Bodyless:
		return nil, unknown("the body of route configuration " + h.rds + " was not recorded")
	}
	return v.engine.routeConfig(d), xds.Verdict{}
}

// request routes, runs the filters, and acts on the route.
func (h *hcm) request(x *conn, rc *routeConfig) xds.Verdict {
	rt := rc.choose(x.req)
	if rt.unsure != "" {
		return unknown(rt.unsure)
	}
	if rt.outer && h.mayBeInternal(x.req) {
		return unknown("virtual host " + rt.host.name + " wants TLS of external requests, and whether this is one is not evaluated")
	}
	if rt.host != nil {
		x.step("virtual host " + rt.host.name)
	}
	if rt.route != nil {
		x.step("route " + rt.route.label())
	}
	if vd, ends := h.upgraded(x, rt); ends {
		return vd
	}
	for _, f := range h.filters {
		o, has := rt.override(rc, f.name)
		if f.off(o, has) {
			continue
		}
		if f.router {
			x.mirrors(rc, rt)
			return x.act(rt)
		}
		if vd, ends := f.apply(x, rt, o); ends {
			return vd
		}
	}
	return unknown("the HTTP connection manager has no router")
}

// mayBeInternal: without use_remote_address a request is internal only if a header
// says so (source/common/http/conn_manager_utility.cc).
func (h *hcm) mayBeInternal(q *request) bool {
	_, xff := q.headers["x-forwarded-for"]
	_, internal := q.headers["x-envoy-internal"]
	return h.remote || xff || internal
}

func (r *route) label() string {
	name := r.name
	if name == "" {
		name = "(" + r.match.String() + ")"
	}
	return name
}

func (x *conn) mirrors(rc *routeConfig, rt routed) {
	if rt.route == nil || len(rt.route.legs) == 0 && rt.route.header == "" {
		return
	}
	switch {
	case len(rt.route.mirrors) > 0:
		x.attrs = append(x.attrs, rt.route.mirrors...)
	case len(rt.host.mirrors) > 0:
		x.attrs = append(x.attrs, rt.host.mirrors...)
	default:
		x.attrs = append(x.attrs, rc.mirrors...)
	}
}

// upgraded: an upgrade that is not configured is refused.
func (h *hcm) upgraded(x *conn, rt routed) (xds.Verdict, bool) {
	kind := x.req.upgrade()
	if kind == "" {
		return xds.Verdict{}, false
	}
	if rt.route != nil {
		if on, ok := rt.route.upgrades[kind]; ok {
			if on {
				return xds.Verdict{}, false
			}
			return local(403, "the route does not allow "+kind), true
		}
	}
	if h.upgrades[kind] {
		return xds.Verdict{}, false
	}
	return local(403, "an upgrade to "+kind+" is not allowed"), true
}

// upgrade is the kind of upgrade that a request asks for, "" if none.
func (r *request) upgrade() string {
	if r.method == "CONNECT" {
		return "connect"
	}
	if !strings.Contains(strings.ToLower(r.headers["connection"]), "upgrade") {
		return ""
	}
	return strings.ToLower(r.headers["upgrade"])
}
