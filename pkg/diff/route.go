package diff

import "google.golang.org/protobuf/reflect/protoreflect"

const (
	route  = "envoy.config.route.v3."
	header = route + "RouteConfiguration."
	vhost  = route + "VirtualHost."
	action = route + "Route."
)

// routeLists: virtual hosts are found by domain, exact before wildcard,
// whatever their order; routes are tried in order (source/common/router/config_impl.cc).
var routeLists = table{
	header + "virtual_hosts":              {key: byName, set: true},
	vhost + "domains":                     {set: true},
	vhost + "routes":                      {key: byName},
	route + "RouteMatch.headers":          {key: byName, set: true},
	route + "RouteMatch.query_parameters": {key: byName, set: true},
	route + "WeightedCluster.clusters":    {key: byName, set: true},
	header + "response_headers_to_remove": {set: true},
	header + "request_headers_to_remove":  {set: true},
	header + "internal_only_headers":      {set: true},
	vhost + "response_headers_to_remove":  {set: true},
	vhost + "request_headers_to_remove":   {set: true},
	action + "response_headers_to_remove": {set: true},
	action + "request_headers_to_remove":  {set: true},
	header + "request_headers_to_add":     {key: headerKey},
	header + "response_headers_to_add":    {key: headerKey},
	vhost + "request_headers_to_add":      {key: headerKey},
	vhost + "response_headers_to_add":     {key: headerKey},
	action + "request_headers_to_add":     {key: headerKey},
	action + "response_headers_to_add":    {key: headerKey},
}

// headerKey names a HeaderValueOption by its header.
func headerKey(m protoreflect.Message) string {
	f := m.Descriptor().Fields().ByName("header")
	if f == nil {
		return ""
	}
	return text(m.Get(f).Message(), "key")
}
