package diff

import (
	"maps"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// tables says how the lists of each resource type are compared. Lists that
// stand in none are compared by place.
var tables = map[string]table{
	xds.ListenerType:    merge(listenerLists, routeLists),
	xds.RouteType:       routeLists,
	xds.ScopedRouteType: routeLists,
	xds.VirtualHostType: routeLists,
	xds.ClusterType:     merge(clusterLists, endpointLists),
	xds.EndpointType:    endpointLists,
}

func merge(ts ...table) table {
	out := table{}
	for _, t := range ts {
		maps.Copy(out, t)
	}
	return out
}

// byName keys elements by their field "name".
func byName(m protoreflect.Message) string { return text(m, "name") }

// text is a string field of a message by name, "" where there is none.
func text(m protoreflect.Message, name protoreflect.Name) string {
	f := m.Descriptor().Fields().ByName(name)
	if f == nil || f.Kind() != protoreflect.StringKind || f.IsList() {
		return ""
	}
	return m.Get(f).String()
}
