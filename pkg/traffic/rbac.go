package traffic

import (
	"net/netip"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	nrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// rbac is a compiled RBAC policy: what needs no more than the connection and the
// request is evaluated (source/extensions/filters/common/rbac/engine_impl.cc).
type rbac struct {
	action   rbacv3.RBAC_Action
	policies []policy
	unsure   string
	hidden   []headerMatch // those that compare with a secret
	pts      facets
}

type policy struct {
	permissions, principals []test
}

// test is one condition.
type test func(x *conn) trilean

// trilean is an answer that may be unknown.
type trilean int8

const (
	no trilean = iota
	yes
	maybe
)

func truth(b bool) trilean {
	if b {
		return yes
	}
	return no
}

// compileRBAC returns nil where nothing is enforced.
func compileRBAC(m *rbacv3.RBAC, matcher bool) *rbac {
	if matcher {
		return &rbac{unsure: "an RBAC matcher is not evaluated"}
	}
	if m == nil {
		return nil
	}
	r := &rbac{action: m.GetAction()}
	for _, p := range m.GetPolicies() {
		var out policy
		for _, x := range p.GetPermissions() {
			out.permissions = append(out.permissions, r.permission(x))
		}
		for _, x := range p.GetPrincipals() {
			out.principals = append(out.principals, r.principal(x))
		}
		if p.GetCondition() != nil || p.GetCheckedCondition() != nil {
			out.permissions = []test{func(*conn) trilean { return maybe }}
		}
		r.policies = append(r.policies, out)
	}
	return r
}

// allowed says whether a connection passes.
func (r *rbac) allowed(x *conn) trilean {
	if r.action == rbacv3.RBAC_LOG {
		return yes
	}
	hit := no
	for _, p := range r.policies {
		hit = max3(hit, min3(some(p.permissions)(x), some(p.principals)(x)))
	}
	if hit == maybe {
		return maybe
	}
	return truth((hit == yes) == (r.action == rbacv3.RBAC_ALLOW))
}

// max3 is "or": yes beats maybe beats no.
func max3(a, b trilean) trilean {
	switch {
	case a == yes || b == yes:
		return yes
	case a == maybe || b == maybe:
		return maybe
	}
	return no
}

// min3 is "and".
func min3(a, b trilean) trilean {
	switch {
	case a == no || b == no:
		return no
	case a == maybe || b == maybe:
		return maybe
	}
	return yes
}

func some(ts []test) test {
	return func(x *conn) trilean {
		out := no
		for _, t := range ts {
			out = max3(out, t(x))
		}
		return out
	}
}

func every(ts []test) test {
	return func(x *conn) trilean {
		out := yes
		for _, t := range ts {
			out = min3(out, t(x))
		}
		return out
	}
}

func negate(t test) test {
	return func(x *conn) trilean {
		switch t(x) {
		case yes:
			return no
		case no:
			return yes
		}
		return maybe
	}
}

func constant(t trilean) test { return func(*conn) trilean { return t } }

func (r *rbac) permission(m *rbacv3.Permission) test {
	switch p := m.GetRule().(type) {
	case *rbacv3.Permission_Any:
		return constant(truth(p.Any))
	case *rbacv3.Permission_AndRules:
		return every(r.permissions(p.AndRules))
	case *rbacv3.Permission_OrRules:
		return some(r.permissions(p.OrRules))
	case *rbacv3.Permission_NotRule:
		return negate(r.permission(p.NotRule))
	case *rbacv3.Permission_DestinationPort:
		r.pts.ports = append(r.pts.ports, uint16(p.DestinationPort))
		return func(x *conn) trilean { return truth(uint32(x.dst.Port()) == p.DestinationPort) }
	case *rbacv3.Permission_DestinationPortRange:
		a, b := p.DestinationPortRange.GetStart(), p.DestinationPortRange.GetEnd()
		r.pts.ranges = append(r.pts.ranges, [2]int32{a, b})
		return func(x *conn) trilean { return truth(a <= int32(x.dst.Port()) && int32(x.dst.Port()) < b) }
	case *rbacv3.Permission_DestinationIp:
		return r.destination(p.DestinationIp)
	case *rbacv3.Permission_Header:
		return r.headerTest(compileHeader(p.Header))
	case *rbacv3.Permission_UrlPath:
		return onPath(compileString(p.UrlPath.GetPath()))
	case *rbacv3.Permission_UriTemplate:
		return onPath(compileTemplate(p.UriTemplate))
	case *rbacv3.Permission_RequestedServerName:
		match := compileString(p.RequestedServerName)
		r.pts.opaque = r.pts.opaque || p.RequestedServerName.GetExact() == ""
		r.pts.snis, r.pts.anySNI = append(r.pts.snis, p.RequestedServerName.GetExact()), true
		return func(x *conn) trilean {
			if match == nil {
				return maybe
			}
			return truth(match(x.in.sni))
		}
	}
	return constant(maybe)
}

// onPath looks at the path of a request; a connection without one does not match.
func onPath(match stringMatch) test {
	return func(x *conn) trilean {
		if match == nil {
			return maybe
		}
		return truth(x.req != nil && match(x.req.pathOnly()))
	}
}

// authenticated: nobody is without TLS, and inside TLS nothing is known of the client
// (AuthenticatedMatcher in source/extensions/filters/common/rbac/matchers.cc).
func authenticated(x *conn) trilean {
	if x.insideTLS {
		return maybe
	}
	return no
}

func (r *rbac) permissions(s *rbacv3.Permission_Set) []test {
	var out []test
	for _, p := range s.GetRules() {
		out = append(out, r.permission(p))
	}
	return out
}

func (r *rbac) destination(c *corev3.CidrRange) test {
	ps, err := prefixes([]*corev3.CidrRange{c})
	if err != nil {
		return constant(maybe)
	}
	r.pts.prefixes = append(r.pts.prefixes, ps...)
	return func(x *conn) trilean { return truth(ps[0].Contains(x.dst.Addr())) }
}

func (r *rbac) headerTest(h headerMatch) test {
	if h.hidden {
		r.hidden = append(r.hidden, h)
	}
	return func(x *conn) trilean {
		if x.req == nil || h.doubt(x.req) != "" {
			return maybe
		}
		return truth(h.matches(x.req))
	}
}

func (r *rbac) principal(m *rbacv3.Principal) test {
	switch p := m.GetIdentifier().(type) {
	case *rbacv3.Principal_Any:
		return constant(truth(p.Any))
	case *rbacv3.Principal_AndIds:
		return every(r.principals(p.AndIds))
	case *rbacv3.Principal_OrIds:
		return some(r.principals(p.OrIds))
	case *rbacv3.Principal_NotId:
		return negate(r.principal(p.NotId))
	case *rbacv3.Principal_DirectRemoteIp:
		return source(p.DirectRemoteIp)
	case *rbacv3.Principal_SourceIp:
		return source(p.SourceIp)
	case *rbacv3.Principal_RemoteIp:
		return source(p.RemoteIp)
	case *rbacv3.Principal_Header:
		return r.headerTest(compileHeader(p.Header))
	case *rbacv3.Principal_UrlPath:
		return onPath(compileString(p.UrlPath.GetPath()))
	case *rbacv3.Principal_Authenticated_:
		return authenticated
	}
	return constant(maybe)
}

func (r *rbac) principals(s *rbacv3.Principal_Set) []test {
	var out []test
	for _, p := range s.GetIds() {
		out = append(out, r.principal(p))
	}
	return out
}

func source(c *corev3.CidrRange) test {
	ps, err := prefixes([]*corev3.CidrRange{c})
	return func(x *conn) trilean {
		if err != nil || !x.src.IsValid() {
			return maybe
		}
		return truth(netip.Prefix.Contains(ps[0], x.src))
	}
}

func (r *rbac) http(x *conn, name string) (xds.Verdict, bool) {
	if r.unsure != "" {
		return unknown("HTTP filter " + name + ": " + r.unsure), true
	}
	switch r.allowed(x) {
	case yes:
		return xds.Verdict{}, false
	case no:
		return local(403, "RBAC denies it"), true
	}
	for _, h := range r.hidden {
		if why := h.doubt(x.req); why != "" {
			return unknown("HTTP filter " + name + ": " + why), true
		}
	}
	return unknown("HTTP filter " + name + " has conditions that are not evaluated"), true
}

// networkRBAC acts on the first bytes of the client: one that says nothing gets
// to the upstream first (source/extensions/filters/network/rbac/rbac_filter.cc).
type networkRBAC struct {
	name  string
	rules *rbac
}

func compileNetworkRBAC(name string, m *nrbacv3.RBAC) networkFilter {
	rules := compileRBAC(m.GetRules(), m.GetMatcher() != nil)
	if rules == nil {
		return nil
	}
	return &networkRBAC{name, rules}
}

func (n *networkRBAC) apply(x *conn) (xds.Verdict, bool) {
	if n.rules.unsure != "" {
		return unknown("network filter " + n.name + ": " + n.rules.unsure), true
	}
	if x.f.size == 0 {
		return xds.Verdict{}, false
	}
	switch n.rules.allowed(x) {
	case yes:
		return xds.Verdict{}, false
	case no:
		return xds.Verdict{Kind: xds.Blocked, Reason: n.name + " denies it"}, true
	}
	return unknown("network filter " + n.name + " has conditions that are not evaluated"), true
}

func (n *networkRBAC) points(_ *View, f *facets) { *f = union(*f, n.rules.pts) }
