package traffic

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
)

// fromStruct reads a message that was written as a Struct: the value of a
// TypedStruct of that type.
func fromStruct(url string, s *structpb.Struct) (proto.Message, string, error) {
	name := decode.TypeName(url)
	t, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		return nil, name, &decode.UnknownTypeError{URL: url}
	}
	b, err := protojson.Marshal(s)
	if err != nil {
		return nil, name, fmt.Errorf("reading a Struct as %s: %w", name, err)
	}
	m := t.New().Interface()
	if err := protojson.Unmarshal(b, m); err != nil {
		return nil, name, fmt.Errorf("reading a Struct as %s: %w", name, err)
	}
	return m, name, nil
}

// legacyConfig is the number of the Struct that a filter of xDS v2 may carry in
// place of typed_config; its name then says what it is.
const legacyConfig = 2

// legacyTypes names the types behind the filter names of xDS v2
// (source/extensions/filters/network/well_known_names.h in Envoy up to 1.17).
var legacyTypes = map[string]string{
	"envoy.tcp_proxy": "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "envoy.filters.network.tcp_proxy": "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
	"envoy.http_connection_manager":                 "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
	"envoy.filters.network.http_connection_manager": "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
	"envoy.filters.network.sni_cluster":             "envoy.extensions.filters.network.sni_cluster.v3.SniCluster",
	"envoy.mongo_proxy":                             "envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy",
	"envoy.filters.network.mongo_proxy":             "envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy",
	"envoy.filters.network.mysql_proxy":             "envoy.extensions.filters.network.mysql_proxy.v3.MySQLProxy",
	"envoy.filters.network.redis_proxy":             "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy",
	"envoy.filters.network.rbac":                    "envoy.extensions.filters.network.rbac.v3.RBAC",
	"envoy.router":                                  "envoy.extensions.filters.http.router.v3.Router",
	"envoy.filters.http.router":                     "envoy.extensions.filters.http.router.v3.Router",
	"envoy.cors":                                    "envoy.extensions.filters.http.cors.v3.Cors",
	"envoy.filters.http.cors":                       "envoy.extensions.filters.http.cors.v3.Cors",
	"envoy.fault":                                   "envoy.extensions.filters.http.fault.v3.HTTPFault",
	"envoy.filters.http.fault":                      "envoy.extensions.filters.http.fault.v3.HTTPFault",
	"envoy.filters.http.grpc_stats":                 "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
	"envoy.grpc_web":                                "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb",
	"mixer":                                         "istio.mixer.v1.config.client.HttpClientConfig",
	"istio.alpn":                                    "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
}

// legacyFilter opens a filter without typed_config: by its name, with the Struct
// that v2 had, or with nothing.
func legacyFilter(name string, f proto.Message) (proto.Message, string, error) {
	url, ok := legacyTypes[name]
	if !ok {
		return nil, name, &decode.UnknownTypeError{URL: name}
	}
	vals := unknownField(f, legacyConfig)
	if len(vals) == 0 {
		m, err := decode.Any(&anypb.Any{TypeUrl: "type.googleapis.com/" + url})
		return m, url, err
	}
	s := new(structpb.Struct)
	if err := proto.Unmarshal(vals[0], s); err != nil {
		return nil, url, fmt.Errorf("reading the config of %s: %w", name, err)
	}
	return fromStruct(url, s)
}
