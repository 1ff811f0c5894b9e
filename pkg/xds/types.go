package xds

import "strings"

// The type URLs of Envoy's v3 resource types, which are also the names under
// which state is kept (Canonical maps the v2 ones onto them).
const (
	TypePrefix       = "type.googleapis.com/"
	ListenerType     = TypePrefix + "envoy.config.listener.v3.Listener"
	ClusterType      = TypePrefix + "envoy.config.cluster.v3.Cluster"
	RouteType        = TypePrefix + "envoy.config.route.v3.RouteConfiguration"
	ScopedRouteType  = TypePrefix + "envoy.config.route.v3.ScopedRouteConfiguration"
	VirtualHostType  = TypePrefix + "envoy.config.route.v3.VirtualHost"
	EndpointType     = TypePrefix + "envoy.config.endpoint.v3.ClusterLoadAssignment"
	SecretType       = TypePrefix + "envoy.extensions.transport_sockets.tls.v3.Secret"
	ExtensionType    = TypePrefix + "envoy.config.core.v3.TypedExtensionConfig"
	RuntimeType      = TypePrefix + "envoy.service.runtime.v3.Runtime"
	NameTableType    = TypePrefix + "istio.networking.nds.v1.NameTable"
	ProxyConfigType  = TypePrefix + "istio.mesh.v1alpha1.ProxyConfig"
	HealthType       = TypePrefix + "istio.v1.HealthInformation"
	BootstrapType    = TypePrefix + "envoy.config.bootstrap.v3.Bootstrap"
	ResourceWrapper  = TypePrefix + "envoy.service.discovery.v3.Resource"
	ResourceWrapper2 = TypePrefix + "envoy.api.v2.Resource"
)

// v2 maps the resource types of xDS v2 (Istio up to 1.7) onto their v3 names.
// The messages share field numbers, so the v3 types read the v2 bytes.
var v2 = map[string]string{
	TypePrefix + "envoy.api.v2.Listener":                  ListenerType,
	TypePrefix + "envoy.api.v2.Cluster":                   ClusterType,
	TypePrefix + "envoy.api.v2.RouteConfiguration":        RouteType,
	TypePrefix + "envoy.api.v2.ScopedRouteConfiguration":  ScopedRouteType,
	TypePrefix + "envoy.api.v2.route.VirtualHost":         VirtualHostType,
	TypePrefix + "envoy.api.v2.ClusterLoadAssignment":     EndpointType,
	TypePrefix + "envoy.api.v2.auth.Secret":               SecretType,
	TypePrefix + "envoy.service.discovery.v2.Runtime":     RuntimeType,
	TypePrefix + "envoy.config.bootstrap.v2.Bootstrap":    BootstrapType,
	TypePrefix + "envoy.api.v2.core.TypedExtensionConfig": ExtensionType,
}

// Canonical returns the v3 type URL for a v2 one, and any other unchanged.
func Canonical(typeURL string) string {
	if v3, ok := v2[typeURL]; ok {
		return v3
	}
	return typeURL
}

var short = map[string]string{
	ListenerType: "LDS", ClusterType: "CDS", RouteType: "RDS", EndpointType: "EDS",
	ScopedRouteType: "SRDS", VirtualHostType: "VHDS", SecretType: "SDS", ExtensionType: "ECDS",
	RuntimeType: "RTDS", NameTableType: "NDS", ProxyConfigType: "PCDS", HealthType: "HEALTH",
}

// ShortType is a type URL as people say it: LDS, CDS, ..., else its last word.
func ShortType(typeURL string) string {
	if s, ok := short[Canonical(typeURL)]; ok {
		return s
	}
	return typeURL[strings.LastIndexAny(typeURL, "./")+1:]
}

// Debug reports whether a type is one of istiod's debug types, of which only
// size and digest are kept (answers can be tens of megabytes).
func Debug(typeURL string) bool { return strings.HasPrefix(typeURL, "istio.io/debug") }
