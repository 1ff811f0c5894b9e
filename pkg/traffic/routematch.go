package traffic

import (
	"fmt"
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
)

// pathKind is how a route looks at the path.
type pathKind uint8

const (
	pathAny pathKind = iota
	pathPrefix
	pathExact
	pathSeparated
	pathRegex
	pathConnect
	pathTemplate
)

// routeMatch is a compiled RouteMatch.
type routeMatch struct {
	kind    pathKind
	path    string
	fold    bool
	regex   stringMatch
	headers []headerMatch
	query   []valueMatch
	cookies []valueMatch
	grpc    bool
	share   uint32 // of requests, in millionths; alwaysMatch = all
	unsure  string
}

const alwaysMatch = 1_000_000

// headerMatch is a compiled HeaderMatcher (source/common/http/header_utility.cc).
type headerMatch struct {
	name    string
	match   stringMatch // nil: presence is asked for
	present bool
	invert  bool
	empty   bool // a missing header counts as an empty one
	unsure  string
	hidden  bool // it compares with a secret
	text    string
	example string // a value that matches, where one is known
	hasEx   bool
}

// valueMatch is a query parameter or cookie matcher.
type valueMatch struct {
	name    string
	match   stringMatch // nil: presence
	present bool
	invert  bool
	unsure  bool
	hidden  bool // it compares with a secret
	example string
	hasEx   bool
}

func compileMatchOf(m *routev3.RouteMatch) routeMatch {
	out := routeMatch{share: alwaysMatch, fold: m.GetCaseSensitive() != nil && !m.GetCaseSensitive().GetValue()}
	out.setPath(m)
	out.others(m)
	for _, h := range m.GetHeaders() {
		out.headers = append(out.headers, compileHeader(h))
	}
	for _, q := range m.GetQueryParameters() {
		out.query = append(out.query, compileQuery(q))
	}
	for _, c := range m.GetCookies() {
		match := compileString(c.GetStringMatch())
		out.cookies = append(out.cookies, valueMatch{name: c.GetName(), match: match, invert: c.GetInvertMatch(), unsure: match == nil,
			hidden: hiddenString(c.GetStringMatch())})
	}
	return out
}

func (r *routeMatch) setPath(m *routev3.RouteMatch) {
	switch p := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		r.kind, r.path = pathPrefix, p.Prefix
	case *routev3.RouteMatch_Path:
		r.kind, r.path = pathExact, p.Path
	case *routev3.RouteMatch_PathSeparatedPrefix:
		r.kind, r.path = pathSeparated, p.PathSeparatedPrefix
	case *routev3.RouteMatch_SafeRegex:
		r.kind, r.path = pathRegex, p.SafeRegex.GetRegex()
		if r.regex = compileRegex(r.path); r.regex == nil {
			r.unsure = "the regex " + strconv.Quote(r.path) + " is not evaluated"
		}
	case *routev3.RouteMatch_PathMatchPolicy:
		r.kind, r.path = pathTemplate, templateOf(p.PathMatchPolicy)
		if r.regex = compileTemplate(p.PathMatchPolicy); r.regex == nil {
			r.unsure = "the path match policy " + p.PathMatchPolicy.GetName() + " is not evaluated"
		}
	case *routev3.RouteMatch_ConnectMatcher_:
		r.kind = pathConnect
	default:
		r.legacyPath(m)
	}
	if r.fold && r.kind != pathRegex {
		r.path = strings.ToLower(r.path)
	}
}

// legacyRegex is the number of RouteMatch.regex in xDS v2: ECMAScript, matched
// against the whole path.
const legacyRegex = 3

func (r *routeMatch) legacyPath(m *routev3.RouteMatch) {
	if re := unknownField(m, legacyRegex); len(re) > 0 {
		r.kind, r.path = pathRegex, string(re[0])
		if r.regex = compileRegex(r.path); r.regex != nil {
			return
		}
	}
	r.unsure = "a path matcher that is not evaluated"
}

func (r *routeMatch) others(m *routev3.RouteMatch) {
	r.grpc = m.GetGrpc() != nil
	if f := m.GetRuntimeFraction().GetDefaultValue(); f != nil {
		r.share = min(alwaysMatch, f.GetNumerator()*(alwaysMatch/percentOf(int32(f.GetDenominator()))))
	}
	switch {
	case m.GetTlsContext() != nil:
		r.unsure = "a tls_context matcher is not evaluated"
	case len(m.GetDynamicMetadata()) > 0:
		r.unsure = "a dynamic_metadata matcher is not evaluated"
	case len(m.GetFilterState()) > 0:
		r.unsure = "a filter_state matcher is not evaluated"
	case hasUnknown(m) && r.kind != pathRegex:
		r.unsure = "a matcher that is not known"
	}
}

func compileHeader(m *routev3.HeaderMatcher) headerMatch {
	h := headerMatch{name: strings.ToLower(m.GetName()), invert: m.GetInvertMatch(), empty: m.GetTreatMissingHeaderAsEmpty(), present: true}
	eq := func(v string) { h.match, h.example, h.hasEx = func(s string) bool { return s == v }, v, true }
	switch s := m.GetHeaderMatchSpecifier().(type) {
	case *routev3.HeaderMatcher_ExactMatch:
		eq(s.ExactMatch)
	case *routev3.HeaderMatcher_PrefixMatch:
		h.match, h.example, h.hasEx = func(v string) bool { return strings.HasPrefix(v, s.PrefixMatch) }, s.PrefixMatch, true
	case *routev3.HeaderMatcher_SuffixMatch:
		h.match, h.example, h.hasEx = func(v string) bool { return strings.HasSuffix(v, s.SuffixMatch) }, s.SuffixMatch, true
	case *routev3.HeaderMatcher_ContainsMatch:
		h.match, h.example, h.hasEx = func(v string) bool { return strings.Contains(v, s.ContainsMatch) }, s.ContainsMatch, true
	case *routev3.HeaderMatcher_SafeRegexMatch:
		h.match = compileRegex(s.SafeRegexMatch.GetRegex())
		h.demand()
	case *routev3.HeaderMatcher_RangeMatch:
		h.match = inRange(s.RangeMatch.GetStart(), s.RangeMatch.GetEnd())
		h.example, h.hasEx = strconv.FormatInt(s.RangeMatch.GetStart(), 10), true
	case *routev3.HeaderMatcher_PresentMatch:
		h.present = s.PresentMatch
	case *routev3.HeaderMatcher_StringMatch:
		h.match = compileString(s.StringMatch)
		h.example, h.hasEx = exampleOf(s.StringMatch)
		h.demand()
	default:
		if hasUnknown(m) {
			h.unsure = "a header matcher that is not known"
		}
	}
	if madeByEnvoy(h.name) {
		h.unsure = "it asks for the header " + h.name + ", which Envoy makes itself"
	}
	h.text = headerText(m)
	if h.hidden = hiddenHeader(m); h.hidden {
		h.example, h.hasEx = redacted, true // to carry the header is all that counts
	}
	return h
}

func (h *headerMatch) demand() {
	if h.match == nil {
		h.unsure = "a header matcher that is not evaluated"
	}
}

func inRange(start, end int64) stringMatch {
	return func(s string) bool {
		n, err := strconv.ParseInt(s, 10, 64)
		return err == nil && start <= n && n < end
	}
}

func compileQuery(m *routev3.QueryParameterMatcher) valueMatch {
	v := valueMatch{name: m.GetName(), present: true}
	switch s := m.GetQueryParameterMatchSpecifier().(type) {
	case *routev3.QueryParameterMatcher_StringMatch:
		v.match = compileString(s.StringMatch)
		v.unsure, v.hidden = v.match == nil, hiddenString(s.StringMatch)
		v.example, v.hasEx = exampleOf(s.StringMatch)
	case *routev3.QueryParameterMatcher_PresentMatch:
		v.present = s.PresentMatch
	default:
		v.unsure = hasUnknown(m)
	}
	return v
}

// answer is a match that may not be known.
type answer struct {
	yes    bool
	unsure string
}

// matches evaluates all conditions; one that fails decides, whatever is unsure.
func (r *routeMatch) matches(q *request, ignoreParams bool) answer {
	if r.unsure == "" && !r.pathMatches(q, ignoreParams) || r.share == 0 {
		return answer{}
	}
	unsure := r.unsure
	if r.grpc {
		ct := q.headers["content-type"]
		if ct != "application/grpc" && !strings.HasPrefix(ct, "application/grpc+") {
			return answer{}
		}
	}
	for _, h := range r.headers {
		switch why := h.doubt(q); {
		case why != "":
			unsure = why
		case !h.matches(q):
			return answer{}
		}
	}
	for _, p := range r.query {
		val, ok := q.query(p.name)
		switch {
		case p.unsure:
			unsure = "a query parameter matcher that is not evaluated"
		case p.hidden && ok:
			unsure = notRecorded("query parameter", p.name)
		case !p.matches(val, ok):
			return answer{}
		}
	}
	for _, c := range r.cookies {
		val, ok := cookie(q.headers["cookie"], c.name)
		switch {
		case c.unsure:
			unsure = "a cookie matcher that is not evaluated"
		case c.hidden && ok:
			unsure = notRecorded("cookie", c.name)
		case !c.matches(val, ok):
			return answer{}
		}
	}
	if r.share != alwaysMatch && unsure == "" {
		unsure = "the route takes a share of requests at random"
	}
	return answer{yes: true, unsure: unsure}
}

func cookie(header, name string) (string, bool) {
	for _, c := range strings.Split(header, ";") {
		if k, v, ok := strings.Cut(strings.TrimSpace(c), "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}

func (r *routeMatch) pathMatches(q *request, ignoreParams bool) bool {
	if r.kind == pathConnect {
		return q.method == "CONNECT"
	}
	p := q.pathOnly()
	if q.method == "CONNECT" && p == "" {
		return false
	}
	if ignoreParams && r.kind != pathTemplate {
		p, _, _ = strings.Cut(p, ";")
	}
	if r.fold && r.kind != pathRegex && r.kind != pathTemplate {
		p = strings.ToLower(p)
	}
	switch r.kind {
	case pathPrefix:
		return strings.HasPrefix(p, r.path)
	case pathExact:
		return p == r.path
	case pathSeparated:
		return strings.HasPrefix(p, r.path) && (len(p) == len(r.path) || p[len(r.path)] == '/')
	case pathRegex, pathTemplate:
		return r.regex(p)
	}
	return false
}

// matches: a matcher on a missing header is false even when inverted, unless it
// is one for presence.
func (h *headerMatch) matches(q *request) bool {
	v, ok := q.header(h.name)
	if h.match == nil {
		return ((ok || h.empty) == h.present) != h.invert
	}
	if !ok {
		if !h.empty {
			return false
		}
		v = ""
	}
	return h.match(v) != h.invert
}

func (p *valueMatch) matches(v string, ok bool) bool {
	if p.match == nil {
		return ok == p.present
	}
	return ok && p.match(v) != p.invert
}

func headerText(m *routev3.HeaderMatcher) string {
	not := ""
	if m.GetInvertMatch() {
		not = "not "
	}
	var s string
	switch {
	case m.GetExactMatch() != "":
		s = "= " + m.GetExactMatch()
	case m.GetStringMatch().GetExact() != "":
		s = "= " + m.GetStringMatch().GetExact()
	case m.GetStringMatch().GetPrefix() != "":
		s = "= " + m.GetStringMatch().GetPrefix() + "*"
	case m.GetStringMatch().GetSafeRegex() != nil:
		s = "~ " + m.GetStringMatch().GetSafeRegex().GetRegex()
	case m.GetRangeMatch() != nil:
		s = fmt.Sprintf("in [%d,%d)", m.GetRangeMatch().GetStart(), m.GetRangeMatch().GetEnd())
	default:
		s = "present"
	}
	return not + "header " + m.GetName() + " " + s
}
