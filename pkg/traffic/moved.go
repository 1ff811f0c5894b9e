package traffic

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// moved is what differs between two views in a way that a verdict may show: the
// step from one to the other, by name, and the listeners that it reaches. A
// listener that stands in both and is not among them gives the same verdicts.
type moved struct {
	routes    map[string]bool // route configurations
	clusters  map[string]bool // with those that depend on them; a change that decides nothing is left out
	listeners map[*listener]bool
}

// movedBetween is nil where names do not tell: then everything may have moved.
func movedBetween(old, new *View) *moved {
	if !sameBootstrap(old, new) || old.env.Istio != new.env.Istio || !maps.Equal(old.env.Resolved, new.env.Resolved) {
		return nil
	}
	m := &moved{routes: map[string]bool{}, clusters: map[string]bool{}}
	r := old.reachOf()
	new.keys() // only now: they may start from those of old
	new.carryReach(old)
	if len(r.odd) > 0 {
		return nil
	}
	for d := range state.Differences(old.snap, new.snap) {
		switch d.Type {
		case xds.RouteType:
			m.routes[d.Name] = true
		case xds.ClusterType, xds.EndpointType:
			m.named(r, old, new, d.Name)
		case xds.ListenerType:
			if old.internal(d.Old) || new.internal(d.New) {
				return nil
			}
		}
	}
	m.caught(r, old, new)
	m.listeners = r.listeners(m.routes, m.clusters)
	for l := range m.listeners {
		if l.internal {
			return nil // endpoints lead to it, and those are not indexed
		}
	}
	return m
}

func sameBootstrap(old, new *View) bool {
	return slices.Equal(old.env.Static, new.env.Static) || reflect.DeepEqual(old.env.Static, new.env.Static)
}

// internal reports that endpoints may lead to the listener.
func (v *View) internal(d xds.Digest) bool {
	if d.IsZero() {
		return false
	}
	return d == xds.Bodyless || v.engine.listener(d).internal || v.engine.listener(d).broken != ""
}

// named looks at a cluster or assignment that differs, and at the clusters that
// take their endpoints from it.
func (m *moved) named(r *reach, old, new *View, name string) {
	for _, c := range append([]string{name}, r.users.get(name)...) {
		if !m.clusters[c] && !sameCluster(old, new, c) {
			m.cluster(r, c)
		}
	}
}

// cluster adds a cluster and those that depend on it.
func (m *moved) cluster(r *reach, name string) {
	if m.clusters[name] {
		return
	}
	m.clusters[name] = true
	for _, u := range r.users.get(name) {
		m.cluster(r, u)
	}
}

// caught adds the clusters that mean "pass through" on one side only.
func (m *moved) caught(r *reach, old, new *View) {
	a, b := old.catchAll(), new.catchAll()
	if a == b {
		return
	}
	for _, name := range []string{a, b} {
		c, d := old.cluster(name), new.cluster(name)
		if name != "PassthroughCluster" && (c != nil && c.kind == kindOriginalDst || d != nil && d.kind == kindOriginalDst) {
			m.cluster(r, name)
		}
	}
}

// sameCluster reports that whatever gets to the cluster of that name ends alike in
// both views, but for clusters that it depends on and what endpoints of a usable
// cluster have as addresses.
func sameCluster(old, new *View, name string) bool {
	a, b := old.cluster(name), new.cluster(name)
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return (a.digest == b.digest && !a.digest.IsZero() || a.decides(b)) && reflect.DeepEqual(old.standsAt(a), new.standsAt(b))
}

// decides reports that c decides as o does.
func (c *cluster) decides(o *cluster) bool {
	x, y := *c, *o
	x.digest, y.digest, x.owner, y.owner = xds.Digest{}, xds.Digest{}, nil, nil
	return reflect.DeepEqual(x, y)
}

// clusterState is what verdicts tell of a cluster's endpoints but for addresses.
type clusterState struct {
	why       string // why nothing is known
	tcp, http [4]string
	standing  standing
	kinds     []string    // of endpoints: what sockets and subsets see of them
	whole     *assignment // where endpoints are listeners: all of it
}

// standsAt is the state of a cluster that balances over endpoints.
func (v *View) standsAt(c *cluster) clusterState {
	var out clusterState
	if c.kind == kindAggregate || c.kind == kindOther || c.kind == kindDynamic || c.kind == kindOriginalDst {
		return out
	}
	a, why := v.assignmentOf(c)
	if out.why = why; a == nil {
		return out
	}
	if a.internal() {
		out.whole = a // where they lead is up to the listeners
		return out
	}
	out.standing, out.kinds = a.standing(), a.kinds()
	out.tcp, out.http = v.end(c, false), v.end(c, true)
	return out
}

// end is the verdict of a cluster without addresses.
func (v *View) end(c *cluster, http bool) [4]string {
	x := &conn{v: v, l: &listener{}, f: &flight{size: 1}, http: http, depth: maxDepth}
	vd := x.dial(c, leg{cluster: c.name})
	return [4]string{string(vd.Kind), vd.Reason, vd.Transport, vd.Target}
}

// kinds are the kinds of endpoints that there are, sorted.
func (a *assignment) kinds() []string {
	seen := map[string]bool{}
	for i, p := range a.priorities {
		for _, l := range p.localities {
			for _, h := range l.hosts {
				seen[fmt.Sprint(i, l.weight > 0, h.health, h.named, h.addr.Is6(), " ")+string(metaKey(h.match))+"\x00"+string(metaKey(h.meta))] = true
			}
		}
	}
	return sortedKeys(seen)
}

func metaKey(m map[string]*structpb.Value) []byte { return subsetKey(host{meta: m}) }
