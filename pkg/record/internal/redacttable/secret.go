package redacttable

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/cncf/xds/go/udpa/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

const dataSource = "envoy.config.core.v3.DataSource"

// harmless lists the fields that stay readable inside a secret message: they say
// where a secret is, not what it is.
var harmless = map[string][]string{
	dataSource:                                                                                  {"filename", "environment_variable", "watched_directory"},
	"envoy.config.core.v3.HeaderValue":                                                          {"key"},
	"envoy.config.route.v3.HeaderMatcher":                                                       {"name"},
	"envoy.config.route.v3.QueryParameterMatcher":                                               {"name"},
	"envoy.config.core.v3.TypedExtensionConfig":                                                 {"name"},
	"xds.core.v3.TypedExtensionConfig":                                                          {"name"},
	"xds.type.matcher.v3.Matcher.MatcherList.Predicate.SinglePredicate":                         {"input"},
	"envoy.config.common.matcher.v3.Matcher.MatcherList.Predicate.SinglePredicate":              {"input"},
	"envoy.config.core.v3.WatchedDirectory":                                                     {"path"},
	"envoy.extensions.transport_sockets.tls.v3.Secret":                                          {"name"},
	"envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig":                                 {"name", "sds_config"},
	"envoy.config.core.v3.GrpcService.GoogleGrpc.CallCredentials.MetadataCredentialsFromPlugin": {"name"},
	"envoy.extensions.transport_sockets.tls.v3.PrivateKeyProvider":                              {"provider_name"},
}

// tlsType matches types whose inline data is key material or trust.
var tlsType = regexp.MustCompile(`^envoy\.extensions\.transport_sockets\.|^envoy\.extensions\.grpc_service\.channel_credentials\.|(Tls|Ssl|Certificate|Credentials)[A-Za-z]*$`)

// secretName matches names of fields that hold a secret though the API does not
// mark them. They count only where the value stands in the field itself.
var secretName = regexp.MustCompile(`password|passphrase|private_key|client_secret|shared_secret|^secret$|secret_key|secret_access_key|session_token|access_token$|^token$|api_key$|hmac_secret`)

// secret reports whether everything in field f of m is secret.
func secret(m protoreflect.MessageDescriptor, f protoreflect.FieldDescriptor) bool {
	name, in := string(f.Name()), string(m.FullName())
	switch {
	case marked(f):
		return true
	case in == "envoy.extensions.transport_sockets.tls.v3.Secret":
		return name != "name"
	case in == "envoy.extensions.wasm.v3.EnvironmentVariables":
		return name == "key_values"
	case in == "envoy.config.core.v3.GrpcService" && name == "initial_metadata":
		return true
	case strings.HasPrefix(in, "envoy.config.core.v3.GrpcService.GoogleGrpc.CallCredentials"):
		return true
	case strings.HasPrefix(in, "envoy.extensions.grpc_service.call_credentials."):
		return true
	case in == "envoy.extensions.filters.http.jwt_authn.v3.JwtProvider" && name == "local_jwks":
		return true // may hold symmetric keys
	case in == "envoy.config.route.v3.CookieMatcher":
		return name != "name" // as the header cookie is
	}
	if strings.HasSuffix(name, "_file") || strings.HasSuffix(name, "_path") {
		return false
	}
	inline := f.Message() != nil && f.Message().FullName() == dataSource
	if inline && tlsType.MatchString(in) {
		return true
	}
	text := f.Kind() == protoreflect.StringKind || f.Kind() == protoreflect.BytesKind
	return (inline || text) && strings.HasPrefix(in, "envoy.") && secretName.MatchString(name)
}

// marked reports whether Envoy marks f with (udpa.annotations.sensitive).
func marked(f protoreflect.FieldDescriptor) bool {
	o, ok := f.Options().(*descriptorpb.FieldOptions)
	if !ok {
		return false
	}
	v, ok := proto.GetExtension(o, annotations.E_Sensitive).(bool)
	return ok && v
}

const (
	structName    = "google.protobuf.Struct"
	structMapName = "map<string, google.protobuf.Struct>" // no descriptor has this name
	tlsPackage    = "envoy.extensions.transport_sockets.tls.v3."
)

// old lists fields of xDS v2 that v3 does not have: configuration as a Struct,
// and TLS contexts in place.
var old = []struct {
	in  string
	num int
	to  string
}{
	{"envoy.config.cluster.v3.Cluster", 11, tlsPackage + "UpstreamTlsContext"},
	{"envoy.config.cluster.v3.Cluster", 35, structMapName},
	{"envoy.config.listener.v3.FilterChain", 2, tlsPackage + "DownstreamTlsContext"},
	{"envoy.config.listener.v3.Filter", 2, structName},
	{"envoy.config.listener.v3.ListenerFilter", 2, structName},
	{"envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter", 2, structName},
	{"envoy.config.core.v3.TransportSocket", 2, structName},
	{"envoy.config.core.v3.HealthCheck.CustomHealthCheck", 2, structName},
	{"envoy.config.accesslog.v3.AccessLog", 3, structName},
	{"envoy.config.accesslog.v3.ExtensionFilter", 2, structName},
	{"envoy.config.trace.v3.Tracing.Http", 2, structName},
	{"envoy.config.metrics.v3.StatsSink", 2, structName},
	{"envoy.config.route.v3.VirtualHost", 12, structMapName},
	{"envoy.config.route.v3.Route", 8, structMapName},
	{"envoy.config.route.v3.WeightedCluster.ClusterWeight", 8, structMapName},
	{"envoy.config.core.v3.GrpcService.GoogleGrpc.CallCredentials.MetadataCredentialsFromPlugin", 2, structName + "!"},
}

// oldMatchers lists the fields of xDS v2 that hold what a matcher compares with.
var oldMatchers = map[string]int{
	"envoy.config.route.v3.HeaderMatcher!":         5, // regex_match
	"envoy.config.route.v3.QueryParameterMatcher!": 3, // value
	"envoy.type.matcher.v3.StringMatcher!":         4, // regex
}

// opaque lists types outside of Envoy's API whose bytes need no search.
var opaque = []string{
	"istio.networking.nds.v1.NameTable",
	"istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
	"envoy.tcp.metadataexchange.config.MetadataExchange",
	"io.istio.http.peer_metadata.Config",
	"stats.PluginConfig",
}

// extras adds what no linked descriptor says.
func (t *table) extras() error {
	t.nodes[structMapName] = &node{name: structMapName, rules: []rule{{num: 2, to: structName}}}
	if _, ok := t.nodes[structName+"!"]; !ok {
		t.nodes[structName+"!"] = &node{name: structName + "!", kind: kinds[structName+"!"]}
	}
	t.nodes["google.rpc.Status"] = &node{name: "google.rpc.Status", rules: []rule{{num: 2, act: actText}, {num: 3, to: "google.protobuf.Any"}}}
	// Their packages need a module that nothing else here does.
	const core = "envoy.config.core.v3."
	const access = "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig"
	const stats = "envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig"
	t.nodes[access] = &node{name: access, rules: []rule{
		{num: 1, to: "envoy.extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig"},
		{num: 7, to: core + "TypedExtensionConfig"}, {num: 8, to: core + "HttpService"}, {num: 9, to: core + "GrpcService"},
		{num: 15, to: core + "TypedExtensionConfig"}}}
	t.nodes[stats] = &node{name: stats, rules: []rule{{num: 1, to: core + "GrpcService"},
		{num: 7, to: core + "TypedExtensionConfig"}, {num: 8, to: "xds.type.matcher.v3.Matcher"}, {num: 9, to: core + "HttpService"}}}
	for _, name := range opaque {
		t.nodes[name] = &node{name: name}
	}
	for in, num := range oldMatchers {
		n := t.nodes[in]
		if n == nil {
			return fmt.Errorf("adding field %d of v2 to %s: there is no such type", num, in)
		}
		n.rules = append(n.rules, rule{num: num, act: actMark})
	}
	for _, o := range old {
		m, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(o.in))
		if err != nil {
			return fmt.Errorf("adding field %d of v2 to %s: %w", o.num, o.in, err)
		}
		if f := m.Descriptor().Fields().ByNumber(protoreflect.FieldNumber(o.num)); f != nil {
			return fmt.Errorf("field %d of %s, free in v2, is %s", o.num, o.in, f.Name())
		}
		n := t.nodes[o.in]
		n.rules = append(n.rules, rule{num: o.num, to: o.to})
	}
	return nil
}
