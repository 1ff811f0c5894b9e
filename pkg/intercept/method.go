package intercept

import (
	"slices"
	"strings"
)

// kind is what a stream is to the observer.
type kind int32

const (
	kindUnknown kind = iota // the server speaks and the request is not parsed yet: read as discovery
	kindNone                // no gRPC: not told
	kindOther               // gRPC, but no discovery: its messages are counted
	kindSotW
	kindDelta
)

// kindOf decides by the method alone, never by what is inside: the discovery
// services of Envoy's API v3 (envoy/service/*/v3) and v2 (envoy/api/v2,
// envoy/service/discovery/v2). Unary Fetch methods are no streams.
func kindOf(path, contentType string) kind {
	service, method, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !ok || contentType != "" && !strings.HasPrefix(contentType, "application/grpc") {
		return kindNone
	}
	switch {
	case !discoveryService(service):
		return kindOther
	case strings.HasPrefix(method, "Delta"):
		return kindDelta
	case strings.HasPrefix(method, "Stream"):
		return kindSotW
	}
	return kindOther
}

// servicesV3 are the packages under envoy.service that hold discovery services.
var servicesV3 = []string{"discovery", "cluster", "endpoint", "listener", "route", "secret", "extension", "runtime"}

func discoveryService(s string) bool {
	if !strings.HasSuffix(s, "DiscoveryService") {
		return false
	}
	p := strings.Split(s, ".")
	switch {
	case len(p) == 5 && p[0] == "envoy" && p[1] == "service" && p[3] == "v3":
		return slices.Contains(servicesV3, p[2])
	case len(p) == 5 && p[0] == "envoy" && p[1] == "service" && p[3] == "v2":
		return p[2] == "discovery"
	case len(p) == 4 && p[0] == "envoy" && p[1] == "api":
		return p[2] == "v2"
	}
	return false
}
