package decode

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// UnknownTypeError says that a message is of a type that is not linked.
type UnknownTypeError struct{ URL string }

func (e *UnknownTypeError) Error() string { return "unknown type " + e.URL }

// Any opens a. v2 type URLs give the v3 type, a TypedStruct is returned as such;
// a type that is not linked is an *UnknownTypeError.
func Any(a *anypb.Any) (proto.Message, error) {
	t, err := find(a.GetTypeUrl())
	if err != nil {
		return nil, err
	}
	m := t.New().Interface()
	if err := proto.Unmarshal(a.GetValue(), m); err != nil {
		return nil, fmt.Errorf("unmarshalling %s: %w", a.GetTypeUrl(), err)
	}
	return m, nil
}

func find(url string) (protoreflect.MessageType, error) {
	name := TypeName(url)
	if name == "" {
		return nil, &UnknownTypeError{URL: url}
	}
	t, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	if errors.Is(err, protoregistry.NotFound) {
		return nil, &UnknownTypeError{URL: url}
	}
	if err != nil {
		return nil, fmt.Errorf("looking up %s: %w", url, err)
	}
	return t, nil
}

// TypeName is the message name in a type URL, v2 names replaced by v3 ones.
func TypeName(url string) string {
	name := url[strings.LastIndexByte(url, '/')+1:]
	if v3, ok := v2Names[name]; ok {
		return v3
	}
	return strings.TrimPrefix(xds.Canonical(xds.TypePrefix+name), xds.TypePrefix)
}

// v2Names maps what stands inside v2 resources (Istio up to 1.7) onto v3. The
// messages share field numbers, so the v3 types read the v2 bytes
// (api/envoy/**/v2 in Envoy up to 1.17; udpa.annotations.versioning names the pairs).
var v2Names = map[string]string{
	"envoy.config.filter.network.tcp_proxy.v2.TcpProxy":                            "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
	"envoy.config.filter.network.http_connection_manager.v2.HttpConnectionManager": "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
	"envoy.config.filter.network.mongo_proxy.v2.MongoProxy":                        "envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy",
	"envoy.config.filter.network.redis_proxy.v2.RedisProxy":                        "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy",
	"envoy.config.filter.network.rbac.v2.RBAC":                                     "envoy.extensions.filters.network.rbac.v3.RBAC",
	"envoy.config.filter.network.ext_authz.v2.ExtAuthz":                            "envoy.extensions.filters.network.ext_authz.v3.ExtAuthz",
	"envoy.config.filter.network.local_rate_limit.v2alpha.LocalRateLimit":          "envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit",
	"envoy.config.filter.network.rate_limit.v2.RateLimit":                          "envoy.extensions.filters.network.ratelimit.v3.RateLimit",
	"envoy.config.filter.network.direct_response.v2.Config":                        "envoy.extensions.filters.network.direct_response.v3.Config",
	"envoy.config.filter.network.echo.v2.Echo":                                     "envoy.extensions.filters.network.echo.v3.Echo",
	"envoy.config.filter.network.sni_cluster.v2.SniCluster":                        "envoy.extensions.filters.network.sni_cluster.v3.SniCluster",
	"envoy.config.filter.network.zookeeper_proxy.v1alpha1.ZooKeeperProxy":          "envoy.extensions.filters.network.zookeeper_proxy.v3.ZooKeeperProxy",
	"envoy.config.filter.network.thrift_proxy.v2alpha1.ThriftProxy":                "envoy.extensions.filters.network.thrift_proxy.v3.ThriftProxy",
	"envoy.config.filter.listener.original_dst.v2.OriginalDst":                     "envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
	"envoy.config.filter.listener.original_src.v2alpha1.OriginalSrc":               "envoy.extensions.filters.listener.original_src.v3.OriginalSrc",
	"envoy.config.filter.listener.http_inspector.v2.HttpInspector":                 "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector",
	"envoy.config.filter.listener.tls_inspector.v2.TlsInspector":                   "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
	"envoy.config.filter.listener.proxy_protocol.v2.ProxyProtocol":                 "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
	"envoy.config.filter.http.router.v2.Router":                                    "envoy.extensions.filters.http.router.v3.Router",
	"envoy.config.filter.http.cors.v2.Cors":                                        "envoy.extensions.filters.http.cors.v3.Cors",
	"envoy.config.filter.http.fault.v2.HTTPFault":                                  "envoy.extensions.filters.http.fault.v3.HTTPFault",
	"envoy.config.filter.http.rbac.v2.RBAC":                                        "envoy.extensions.filters.http.rbac.v3.RBAC",
	"envoy.config.filter.http.rbac.v2.RBACPerRoute":                                "envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
	"envoy.config.filter.http.grpc_stats.v2alpha.FilterConfig":                     "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
	"envoy.config.filter.http.grpc_web.v2.GrpcWeb":                                 "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb",
	"envoy.config.filter.http.compressor.v2.Compressor":                            "envoy.extensions.filters.http.compressor.v3.Compressor",
	"envoy.config.filter.http.gzip.v2.Gzip":                                        "envoy.extensions.filters.http.gzip.v3.Gzip",
	"envoy.config.filter.http.lua.v2.Lua":                                          "envoy.extensions.filters.http.lua.v3.Lua",
	"envoy.config.filter.http.buffer.v2.Buffer":                                    "envoy.extensions.filters.http.buffer.v3.Buffer",
	"envoy.config.filter.http.rate_limit.v2.RateLimit":                             "envoy.extensions.filters.http.ratelimit.v3.RateLimit",
	"envoy.config.filter.http.ext_authz.v2.ExtAuthz":                               "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
	"envoy.config.filter.http.jwt_authn.v2alpha.JwtAuthentication":                 "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
	"envoy.config.filter.http.health_check.v2.HealthCheck":                         "envoy.extensions.filters.http.health_check.v3.HealthCheck",
	"envoy.config.filter.http.dynamic_forward_proxy.v2alpha.FilterConfig":          "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig",
	"envoy.config.filter.dubbo.router.v2alpha1.Router":                             "envoy.extensions.filters.network.dubbo_proxy.router.v3.Router",
	"envoy.config.filter.network.sni_dynamic_forward_proxy.v2alpha.FilterConfig":   "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig",
	"envoy.config.cluster.dynamic_forward_proxy.v2alpha.ClusterConfig":             "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
	"envoy.config.cluster.aggregate.v2alpha.ClusterConfig":                         "envoy.extensions.clusters.aggregate.v3.ClusterConfig",
	"envoy.config.cluster.redis.RedisClusterConfig":                                "envoy.extensions.clusters.redis.v3.RedisClusterConfig",
	"envoy.api.v2.auth.UpstreamTlsContext":                                         "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
	"envoy.api.v2.auth.DownstreamTlsContext":                                       "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
	"envoy.api.v2.auth.CommonTlsContext":                                           "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext",
	"envoy.config.transport_socket.raw_buffer.v2.RawBuffer":                        "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
	"envoy.config.transport_socket.alts.v2alpha.Alts":                              "envoy.extensions.transport_sockets.alts.v3.Alts",
	"envoy.config.transport_socket.tap.v2alpha.Tap":                                "envoy.extensions.transport_sockets.tap.v3.Tap",
	"envoy.config.accesslog.v2.FileAccessLog":                                      "envoy.extensions.access_loggers.file.v3.FileAccessLog",
	"envoy.config.accesslog.v2.HttpGrpcAccessLogConfig":                            "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
	"envoy.config.accesslog.v2.TcpGrpcAccessLogConfig":                             "envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig",
	"envoy.config.retry.omit_host_metadata.v2.OmitHostMetadataConfig":              "envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig",
	"envoy.config.retry.previous_priorities.PreviousPrioritiesConfig":              "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
	"envoy.config.trace.v2.ZipkinConfig":                                           "envoy.config.trace.v3.ZipkinConfig",
}
