package traffic

import (
	"slices"
	"strconv"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// fault is a compiled fault injection (source/extensions/filters/http/fault/fault_filter.cc).
type fault struct {
	share    uint32 // of requests that are aborted, in millionths
	status   int
	byHeader bool // the request names the status
	delays   bool
	cluster  string
	headers  []headerMatch
	nodes    []string
	off      bool
}

func share(p *typev3.FractionalPercent) uint32 {
	return min(alwaysMatch, p.GetNumerator()*(alwaysMatch/percentOf(int32(p.GetDenominator()))))
}

func compileFault(m *faultv3.HTTPFault) *fault {
	a := m.GetAbort()
	f := &fault{share: share(a.GetPercentage()), delays: share(m.GetDelay().GetPercentage()) > 0, byHeader: a.GetHeaderAbort() != nil,
		cluster: m.GetUpstreamCluster(), nodes: m.GetDownstreamNodes()}
	switch s := a.GetErrorType().(type) {
	case *faultv3.FaultAbort_HttpStatus:
		f.status = int(s.HttpStatus)
	case *faultv3.FaultAbort_GrpcStatus:
		f.status = 200 // grpc-status tells the rest
	}
	f.off = m.GetMaxActiveFaults() != nil && m.GetMaxActiveFaults().GetValue() == 0
	for _, h := range m.GetHeaders() {
		f.headers = append(f.headers, compileHeader(h))
	}
	return f
}

func (f *fault) apply(x *conn, rt routed) (xds.Verdict, bool) {
	on, why := f.applies(x, rt)
	if why != "" {
		return unknown(why), true
	}
	if !on {
		return xds.Verdict{}, false
	}
	if f.delays {
		x.attrs = append(x.attrs, "may-delay")
	}
	status := f.status
	if f.byHeader {
		val, ok := x.req.header("x-envoy-fault-abort-request")
		n, err := strconv.Atoi(val)
		if !ok || err != nil || n < 200 || n > 599 {
			return xds.Verdict{}, false
		}
		status = n
	}
	switch {
	case f.share == 0 || status == 0:
		return xds.Verdict{}, false
	case f.share < alwaysMatch:
		x.attrs = append(x.attrs, "may-abort")
		return xds.Verdict{}, false
	}
	return local(status, "fault injection"), true
}

// applies: by the cluster of the route, the sending node, and headers.
func (f *fault) applies(x *conn, rt routed) (bool, string) {
	if f.off {
		return false, ""
	}
	if f.cluster != "" {
		if rt.route == nil || len(rt.route.legs) > 1 || rt.route.header != "" {
			return false, "a fault of one cluster on a route to several is not evaluated"
		}
		if len(rt.route.legs) == 0 || rt.route.legs[0].cluster != f.cluster {
			return false, ""
		}
	}
	if len(f.nodes) > 0 {
		node, _ := x.req.header("x-envoy-downstream-service-node")
		if !slices.Contains(f.nodes, node) {
			return false, ""
		}
	}
	for _, h := range f.headers {
		if why := h.doubt(x.req); why != "" {
			return false, why
		}
		if !h.matches(x.req) {
			return false, ""
		}
	}
	return true, ""
}

// cors is a compiled CORS policy; only preflight requests end there
// (source/extensions/filters/http/cors/cors_filter.cc).
type cors struct {
	origins []stringMatch
	forward bool // a preflight of another origin goes on
	share   uint32
	unsure  bool
}

func compileCORS(m *corsv3.CorsPolicy) *cors {
	c := &cors{share: alwaysMatch, forward: m.GetForwardNotMatchingPreflights() == nil || m.GetForwardNotMatchingPreflights().GetValue()}
	if m.GetFilterEnabled() != nil {
		c.share = share(m.GetFilterEnabled().GetDefaultValue())
	}
	c.add(m.GetAllowOriginStringMatch())
	return c
}

func legacyCORS(m *routev3.CorsPolicy) *cors {
	c := &cors{share: alwaysMatch, forward: m.GetForwardNotMatchingPreflights() == nil || m.GetForwardNotMatchingPreflights().GetValue()}
	if f, ok := m.GetEnabledSpecifier().(*routev3.CorsPolicy_FilterEnabled); ok {
		c.share = share(f.FilterEnabled.GetDefaultValue())
	}
	c.add(m.GetAllowOriginStringMatch())
	c.unsure = c.unsure || hasUnknown(m)
	return c
}

func (c *cors) add(ms []*matcherv3.StringMatcher) {
	for _, o := range ms {
		match := compileString(o)
		if o.GetExact() == "*" {
			match = func(string) bool { return true }
		}
		c.unsure = c.unsure || match == nil
		c.origins = append(c.origins, match)
	}
}

func (c *cors) apply(x *conn) (xds.Verdict, bool) {
	origin, ok := x.req.header("origin")
	method, asks := x.req.header("access-control-request-method")
	if !ok || origin == "" || x.req.method != "OPTIONS" || !asks || method == "" || c.share == 0 {
		return xds.Verdict{}, false
	}
	if c.unsure || c.share < alwaysMatch {
		return unknown("a CORS policy that is not evaluated"), true
	}
	for _, o := range c.origins {
		if o(origin) {
			return local(200, "CORS preflight"), true
		}
	}
	if c.forward {
		return xds.Verdict{}, false
	}
	return local(200, "CORS preflight of another origin"), true
}
