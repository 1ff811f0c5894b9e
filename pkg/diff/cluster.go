package diff

// clusterLists: transport socket matches are tried in order, cluster filters
// run in order.
var clusterLists = table{
	"envoy.config.cluster.v3.Cluster.transport_socket_matches": {key: byName},
	"envoy.config.cluster.v3.Cluster.filters":                  {key: byName},
}
