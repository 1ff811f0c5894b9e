package traffic

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	connlimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/connection_limit/v3"
	directv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/direct_response/v3"
	echov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/echo/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	lratev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/local_ratelimit/v3"
	mongov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/mongo_proxy/v3"
	ratev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/ratelimit/v3"
	nrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	nstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	sniclusterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/sni_cluster/v3"
	snidfpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	zkv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/zookeeper_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	udpav1 "github.com/cncf/xds/go/udpa/type/v1"
	xdsv3 "github.com/cncf/xds/go/xds/type/v3"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// networkFilter is a compiled network filter: apply says how a connection ends
// there, or lets it go on to the next filter.
type networkFilter interface {
	apply(x *conn) (v xds.Verdict, ends bool)
	points(v *View, f *facets)
}

// neutralTypes do not decide where a connection goes, whoever configures them;
// the attribute says what may be told about them. Istio's own have no Go type.
// A name alone never suffices: EnvoyFilters may put anything under any name.
var neutralTypes = map[string]string{
	"envoy.tcp.metadataexchange.config.MetadataExchange":    "",
	"envoy.tcp.metadataexchange.config.v3.MetadataExchange": "",
	"stats.PluginConfig":                                                       "",
	"io.istio.network.peer_metadata.Config":                                    "",
	"io.istio.http.peer_metadata.Config":                                       "",
	"istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig":                "",
	"istio.envoy.config.filter.http.alpn.v2.FilterConfig":                      "",
	"istio.envoy.config.filter.network.forward_downstream_sni.v2.FilterConfig": "",
	"envoy.config.filter.network.mysql_proxy.v1alpha1.MySQLProxy":              "",
	"envoy.extensions.filters.network.mysql_proxy.v3.MySQLProxy":               "",
	"envoy.extensions.filters.network.postgres_proxy.v3alpha.PostgresProxy":    "",
}

func compileFilters(in []*listenerv3.Filter, refs *references) []networkFilter {
	var out []networkFilter
	for _, f := range in {
		if n := compileFilter(f, refs); n != nil {
			out = append(out, n)
		}
	}
	return out
}

// compileFilter returns nil for a neutral filter.
func compileFilter(f *listenerv3.Filter, refs *references) networkFilter {
	if f.GetConfigDiscovery() != nil {
		return undecided("network filter " + f.GetName() + " comes by ECDS")
	}
	m, url, err := openFilter(f.GetName(), f.GetTypedConfig(), f)
	if attr, ok := neutralTypes[url]; ok {
		return neutral(attr)
	}
	if err != nil {
		return undecided("network filter " + f.GetName() + " is not evaluated: " + err.Error())
	}
	switch m := m.(type) {
	case *tcpv3.TcpProxy:
		return compileTCP(m, refs)
	case *hcmv3.HttpConnectionManager:
		return compileHCM(m, refs)
	case *nrbacv3.RBAC:
		return compileNetworkRBAC(f.GetName(), m)
	case *nstatev3.Config:
		return compileFilterState(m, refs)
	case *sniclusterv3.SniCluster:
		refs.dynamic = true
		return sniCluster{}
	case *snidfpv3.FilterConfig:
		return &sniDynamic{port: sniPort(m)}
	case *directv3.Config:
		return answers{f.GetName(), true}
	case *echov3.Echo:
		return answers{f.GetName(), false}
	case *mongov3.MongoProxy:
		if m.GetDelay() != nil {
			return attribute("may-delay")
		}
		return nil
	case *zkv3.ZooKeeperProxy:
		return nil
	case *connlimitv3.ConnectionLimit, *lratev3.LocalRateLimit, *ratev3.RateLimit:
		return attribute("may-limit")
	}
	return undecided("network filter " + f.GetName() + " (" + url + ") is not evaluated")
}

func neutral(attr string) networkFilter {
	if attr == "" {
		return nil
	}
	return attribute(attr)
}

// openFilter opens a filter's configuration. url is the type it is of: of a
// TypedStruct the inner one, whose fields are read where the type is linked.
func openFilter(name string, a *anypb.Any, f proto.Message) (proto.Message, string, error) {
	if a == nil {
		return legacyFilter(name, f)
	}
	url := decode.TypeName(a.GetTypeUrl())
	m, err := decode.Any(a)
	if err != nil {
		return nil, url, err
	}
	switch s := m.(type) {
	case *udpav1.TypedStruct:
		return fromStruct(s.GetTypeUrl(), s.GetValue())
	case *xdsv3.TypedStruct:
		return fromStruct(s.GetTypeUrl(), s.GetValue())
	}
	return m, url, nil
}

// undecided ends every connection that reaches it in "unknown".
type undecided string

func (u undecided) apply(*conn) (xds.Verdict, bool) {
	return xds.Verdict{Kind: xds.Unknown, Reason: string(u)}, true
}

func (undecided) points(*View, *facets) {}

// attribute only adds a word to the verdict.
type attribute string

func (a attribute) apply(x *conn) (xds.Verdict, bool) {
	x.attrs = append(x.attrs, string(a))
	return xds.Verdict{}, false
}

func (attribute) points(*View, *facets) {}

// answers are filters that talk to the client themselves.
type answers struct {
	name   string
	atOnce bool // without waiting for bytes
}

func (a answers) apply(x *conn) (xds.Verdict, bool) {
	if !a.atOnce && x.f.size == 0 {
		return xds.Verdict{Kind: xds.Stall, Reason: a.name + " answers what the client says"}, true
	}
	return xds.Verdict{Kind: xds.LocalReply, Reason: a.name + " answers"}, true
}

func (answers) points(*View, *facets) {}

// sniCluster makes the server name the cluster (source/extensions/filters/network/sni_cluster).
type sniCluster struct{}

func (sniCluster) apply(x *conn) (xds.Verdict, bool) {
	if x.in.sni != "" {
		x.cluster = x.in.sni
	}
	return xds.Verdict{}, false
}

func (sniCluster) points(v *View, f *facets) {
	for name := range v.snap.All(xds.ClusterType) {
		f.snis = append(f.snis, name)
	}
	f.anySNI = true
}

// sniDynamic resolves the server name (source/extensions/filters/network/sni_dynamic_forward_proxy).
type sniDynamic struct{ port uint32 }

func sniPort(m *snidfpv3.FilterConfig) uint32 {
	if p, ok := m.GetPortSpecifier().(*snidfpv3.FilterConfig_PortValue); ok {
		return p.PortValue
	}
	return 443
}

func (s *sniDynamic) apply(x *conn) (xds.Verdict, bool) {
	x.dynHost, x.dynPort, x.dynSet = x.in.sni, s.port, true
	return xds.Verdict{}, false
}

func (*sniDynamic) points(_ *View, f *facets) { f.anySNI = true }
