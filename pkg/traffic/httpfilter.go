package traffic

import (
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	compressorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/compressor/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	decompressorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/decompressor/v3"
	dfpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/dynamic_forward_proxy/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	grpcstatsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	grpcwebv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_web/v3"
	gzipv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/gzip/v3"
	hlratev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	hratev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ratelimit/v3"
	hrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	statefulv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/stateful_session/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// httpFilter is a compiled HTTP filter.
type httpFilter struct {
	name     string
	router   bool
	disabled bool
	attr     string // only told
	unsure   string
	fault    *fault
	cors     bool
	rbac     *rbac
	dynamic  bool
}

// compileHTTPFilter returns none for a neutral filter.
func compileHTTPFilter(f *hcmv3.HttpFilter, refs *references) []httpFilter {
	out := httpFilter{name: f.GetName(), disabled: f.GetDisabled()}
	if f.GetConfigDiscovery() != nil {
		out.unsure = "HTTP filter " + f.GetName() + " comes by ECDS"
		return []httpFilter{out}
	}
	m, url, err := openFilter(f.GetName(), f.GetTypedConfig(), f)
	if attr, ok := neutralTypes[url]; ok {
		if out.attr = attr; attr == "" {
			return nil
		}
		return []httpFilter{out}
	}
	if err != nil {
		out.unsure = "HTTP filter " + f.GetName() + " is not evaluated: " + err.Error()
		return []httpFilter{out}
	}
	if !out.take(m, refs) {
		out.unsure = "HTTP filter " + f.GetName() + " (" + url + ") is not evaluated"
	}
	if out.idle() {
		return nil
	}
	return []httpFilter{out}
}

// take reads the filters that are evaluated, and those that do not matter.
func (f *httpFilter) take(m proto.Message, _ *references) bool {
	switch m := m.(type) {
	case *routerv3.Router:
		f.router = true
	case *corsv3.Cors:
		f.cors = true
	case *faultv3.HTTPFault:
		f.fault = compileFault(m)
	case *hrbacv3.RBAC:
		f.rbac = compileRBAC(m.GetRules(), m.GetMatcher() != nil)
	case *dfpv3.FilterConfig:
		f.dynamic = true
		if m.GetAllowDynamicHostFromFilterState() {
			return false
		}
	case *hlratev3.LocalRateLimit, *hratev3.RateLimit:
		f.attr = "may-limit"
	case *statefulv3.StatefulSession:
		f.attr = "stateful-session"
	case *grpcstatsv3.FilterConfig, *grpcwebv3.GrpcWeb, *compressorv3.Compressor, *decompressorv3.Decompressor, *gzipv3.Gzip:
	case *hstatev3.Config:
		return harmlessState(m)
	default:
		return false
	}
	return true
}

// harmlessState: an HTTP set_filter_state that names no key of Envoy's own.
func harmlessState(m *hstatev3.Config) bool {
	for _, v := range m.GetOnRequestHeaders() {
		key := v.GetObjectKey()
		if key == "" {
			key = v.GetFactoryKey()
		}
		if strings.HasPrefix(key, "envoy.") && !harmlessKeys[key] {
			return false
		}
	}
	return true
}

func (f *httpFilter) idle() bool {
	return !f.router && f.attr == "" && f.unsure == "" && f.fault == nil && !f.cors && f.rbac == nil && !f.dynamic
}

// off reports that the filter does not run on a route.
func (f *httpFilter) off(o override, has bool) bool {
	if has && o.disabled {
		return true
	}
	return f.disabled && !has
}

func (f *httpFilter) apply(x *conn, rt routed, o override) (xds.Verdict, bool) {
	switch {
	case f.unsure != "":
		return unknown(f.unsure), true
	case o.unsure != "" && (f.fault != nil || f.cors || f.rbac != nil):
		return unknown("HTTP filter " + f.name + ": " + o.unsure), true
	case f.attr != "":
		x.attrs = append(x.attrs, f.attr)
	case f.dynamic:
		x.setDynamic(x.req.host)
	case f.fault != nil:
		fl := f.fault
		if o.fault != nil {
			fl = o.fault
		}
		return fl.apply(x, rt)
	case f.cors && o.cors != nil:
		return o.cors.apply(x)
	case f.rbac != nil:
		rules := f.rbac
		if o.rbac != nil {
			rules = o.rbac
		}
		return rules.http(x, f.name)
	}
	return xds.Verdict{}, false
}

// setDynamic takes host and port from an authority; 80 where it names none.
func (x *conn) setDynamic(host string) {
	x.dynSet, x.dynHost, x.dynPort = true, host, 80
	if i := portStart(host); i >= 0 {
		n, _ := strconv.Atoi(host[i+1:])
		x.dynHost, x.dynPort = host[:i], uint32(n)
	}
}

// overrides are typed_per_filter_config, by filter name.
type overrides map[string]override

type override struct {
	disabled bool
	fault    *fault
	cors     *cors
	rbac     *rbac
	unsure   string
}

const corsFilter = "envoy.filters.http.cors"

func compileOverrides(in map[string]*anypb.Any) overrides {
	var out overrides
	for name, a := range in {
		if out == nil {
			out = overrides{}
		}
		out[name] = compileOverride(a)
	}
	return out
}

func compileOverride(a *anypb.Any) override {
	m, _, err := openFilter("", a, nil)
	if err != nil {
		return override{unsure: err.Error()}
	}
	switch m := m.(type) {
	case *routev3.FilterConfig:
		if m.GetDisabled() {
			return override{disabled: true}
		}
		if m.GetConfig() == nil {
			return override{}
		}
		return compileOverride(m.GetConfig())
	case *faultv3.HTTPFault:
		return override{fault: compileFault(m)}
	case *corsv3.CorsPolicy:
		return override{cors: compileCORS(m)}
	case *hrbacv3.RBACPerRoute:
		if m.GetRbac() == nil {
			return override{disabled: true}
		}
		return override{rbac: compileRBAC(m.GetRbac().GetRules(), m.GetRbac().GetMatcher() != nil)}
	}
	return override{unsure: "an override of type " + decode.TypeName(a.GetTypeUrl()) + " is not evaluated"}
}

// legacyCORS takes the policy that stood in routes before filters had overrides.
func (o *overrides) legacyCORS(p *routev3.CorsPolicy) {
	if p == nil {
		return
	}
	if *o == nil {
		*o = overrides{}
	}
	if _, ok := (*o)[corsFilter]; !ok {
		(*o)[corsFilter] = override{cors: legacyCORS(p)}
	}
}

// override is the most specific one: route, virtual host, configuration. Without a
// route there is none, even if the name of the host is known
// (source/common/http/filter_manager.cc).
func (rt routed) override(rc *routeConfig, name string) (override, bool) {
	if rt.route == nil {
		return override{}, false
	}
	if o, ok := rt.route.overrides[name]; ok {
		return o, true
	}
	if o, ok := rt.host.overrides[name]; ok {
		return o, true
	}
	o, ok := rc.overrides[name]
	return o, ok
}

func itoa(p uint16) string { return strconv.Itoa(int(p)) }
