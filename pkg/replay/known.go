package replay

import (
	"bytes"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// known remembers which JSON of a resource was found equal to which recorded bytes, so
// that only what is new in a dump is read.
type known map[string]pair // by type and name

type pair struct{ shown, want xds.Digest }

// shelf is where resources of a type stand in a dump.
var shelves = map[string]struct{ typ, field, name string }{
	"dynamic_active_clusters":  {xds.ClusterType, "cluster", "name"},
	"dynamic_listeners":        {xds.ListenerType, "active_state", "name"},
	"dynamic_route_configs":    {xds.RouteType, "route_config", "name"},
	"dynamic_endpoint_configs": {xds.EndpointType, "endpoint_config", "cluster_name"},
}

// extract is the part of a dump that has to be read, and what of it was there.
type extract struct {
	rest  []byte
	same  map[string]bool       // known to equal what is wanted
	fresh map[string]xds.Digest // the JSON of what has to be read
	hosts map[string][]byte     // ditto, of assignments, by name
}

func key(typ, name string) string { return typ + " " + name }

// extract leaves out of a dump what is known to equal what is wanted.
func (k known) extract(raw []byte, want *state.Snapshot) extract {
	out := extract{same: map[string]bool{}, fresh: map[string]xds.Digest{}, hosts: map[string][]byte{}}
	var b bytes.Buffer
	b.WriteString(`{"configs":[`)
	sep := ""
	for config := range items(field(raw, "configs")) {
		kind, ok := plain(field(config, "@type"))
		if !ok || bytes.HasSuffix([]byte(kind), []byte("BootstrapConfigDump")) || bytes.HasSuffix([]byte(kind), []byte("SecretsConfigDump")) {
			continue
		}
		b.WriteString(sep + `{"@type":"` + kind + `"`)
		for name, list := range fields(config) {
			if s, ok := shelves[name]; ok {
				b.WriteString(`,"` + name + `":[`)
				k.list(&b, &out, want, s.typ, s.field, s.name, list)
				b.WriteString("]")
			}
		}
		b.WriteString("}")
		sep = ","
	}
	b.WriteString("]}")
	out.rest = b.Bytes()
	return out
}

// list copies the entries of a list that are not known.
func (k known) list(b *bytes.Buffer, out *extract, want *state.Snapshot, typ, inside, naming string, list []byte) {
	sep := ""
	for entry := range items(list) {
		body := field(entry, inside)
		if typ == xds.ListenerType {
			body = field(body, "listener")
		}
		if name, ok := plain(field(body, naming)); ok && body != nil {
			id, sum := key(typ, name), xds.DigestOf(body)
			d, there := want.Lookup(typ, name)
			if p, seen := k[id]; seen && there && p == (pair{sum, d}) && !out.same[id] {
				out.same[id] = true
				continue
			}
			out.fresh[id] = sum
			if typ == xds.EndpointType {
				out.hosts[name] = body
			}
		}
		if typ == xds.EndpointType {
			continue
		}
		b.WriteString(sep)
		b.Write(entry)
		sep = ","
	}
}

// learn notes what was read and found equal.
func (k known) learn(x extract, want *state.Snapshot, diffs []Difference) {
	bad := map[string]bool{}
	for _, d := range diffs {
		bad[key(d.Type, d.Name)] = true
	}
	for _, typ := range []string{xds.ClusterType, xds.ListenerType, xds.RouteType, xds.EndpointType} {
		for name, d := range want.All(typ) {
			if sum, ok := x.fresh[key(typ, name)]; ok && !bad[key(typ, name)] {
				k[key(typ, name)] = pair{sum, d}
			}
		}
	}
}
