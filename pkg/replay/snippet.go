package replay

import (
	"fmt"
	"net"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// Snippet is what an Envoy's bootstrap (YAML) needs to take its configuration from a
// replay at addr; kind is GRPC or DELTA_GRPC.
func Snippet(addr, kind string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = addr, "0"
	}
	return fmt.Sprintf(`  dynamic_resources:
    ads_config: {api_type: %s, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: %s}}]}
    cds_config: {ads: {}, resource_api_version: V3}
    lds_config: {ads: {}, resource_api_version: V3}
  static_resources:
    clusters:
    - name: %s
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {http2_protocol_options: {}}
      load_assignment:
        cluster_name: %s
        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %s, port_value: %s}}}}]}]`,
		kind, serverCluster, serverCluster, serverCluster, host, port)
}

// AdminAddress is where an Envoy's admin interface goes: a free port, or in a
// namespace of its own the one that Istio uses.
func AdminAddress(in *Namespace) *corev3.Address {
	if in != nil {
		return Socket("127.0.0.1", adminPort)
	}
	return Socket("127.0.0.1", 0)
}
