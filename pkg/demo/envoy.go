package demo

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// bootstrap is what Istio's agent gives an Envoy, as far as the demo needs it:
// ADS over Delta through a Unix socket, and secrets from a static cluster.
const bootstrap = `{
 "node": %[1]s,
 "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
 "dynamic_resources": {
  "lds_config": {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"},
  "cds_config": {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"},
  "ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
   "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}]}
 },
 "static_resources": {"clusters": [
  {"name": "xds-grpc", "type": "STATIC", "connect_timeout": "1s", %[2]s,
   "load_assignment": {"cluster_name": "xds-grpc", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": %[3]s}}]}]}},
  {"name": "sds-grpc", "type": "STATIC", "connect_timeout": "1s", %[2]s,
   "load_assignment": {"cluster_name": "sds-grpc", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": %[4]s}}]}]}}
 ]}
}`

const http2 = `"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
 "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}`

// WriteBootstrap makes Envoy's configuration file in dir and returns its path.
// xDS goes to xds and secrets straight to sds (they are nothing to record); both
// are host:port or unix:///path.
func WriteBootstrap(dir string, node proto.Message, xds, sds string) (string, error) {
	n, err := protojson.Marshal(node)
	if err != nil {
		return "", fmt.Errorf("writing the recorded node: %w", err)
	}
	to, err := address(xds)
	if err != nil {
		return "", err
	}
	secrets, err := address(sds)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "envoy.json")
	if err := os.WriteFile(path, fmt.Appendf(nil, bootstrap, n, http2, to, secrets), 0o600); err != nil {
		return "", fmt.Errorf("writing Envoy's bootstrap: %w", err)
	}
	return path, nil
}

// address is an Envoy address in JSON.
func address(a string) (string, error) {
	if path, ok := strings.CutPrefix(a, "unix://"); ok {
		return fmt.Sprintf(`{"pipe": {"path": %q}}`, path), nil
	}
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		return "", fmt.Errorf("reading address %q: %w", a, err)
	}
	return fmt.Sprintf(`{"socket_address": {"address": %q, "port_value": %s}}`, host, port), nil
}
