package traffic

import (
	"maps"
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// reach is who leads to what in a view: from a name that changed to the listeners
// whose verdicts may have. It never changes; with returns the next one, which
// shares all that did not differ.
type reach struct {
	routes multimap[*listener] // route configuration -> the listeners that use it
	direct multimap[*listener] // cluster -> the listeners that name it themselves
	via    multimap[string]    // cluster -> the route configurations that name it
	users  multimap[string]    // cluster or assignment -> the clusters of another name that depend on it

	dynamic       map[*listener]bool // listeners that take cluster names from the client
	dynamicRoutes map[string]bool    // ditto
	odd           map[string]bool    // listeners under a name that is not their own: two may be one
}

// multimap is an immutable map from a name to several values. Its parts are
// shared between versions.
type multimap[V comparable] struct {
	shards *[fanout]map[string][]V
}

// fanout is how many parts a multimap has: a change of one name copies one.
const fanout = 256

// shardOf is FNV-1a, folded.
func shardOf(name string) int {
	h := uint32(2166136261)
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return int((h ^ h>>8 ^ h>>16 ^ h>>24) % fanout)
}

func (m multimap[V]) get(name string) []V {
	if m.shards == nil {
		return nil
	}
	return m.shards[shardOf(name)][name]
}

// multiEdit is a multimap that is being changed: parts are copied when they are
// first written to.
type multiEdit[V comparable] struct {
	multimap[V]
	own map[int]bool // nil: nothing is copied yet
}

func (e *multiEdit[V]) shard(name string) map[string][]V {
	if e.own == nil {
		next := new([fanout]map[string][]V)
		if e.shards != nil {
			*next = *e.shards
		}
		e.shards, e.own = next, map[int]bool{}
	}
	i := shardOf(name)
	if !e.own[i] {
		e.shards[i], e.own[i] = clone(e.shards[i]), true
	}
	return e.shards[i]
}

func (e *multiEdit[V]) add(name string, v V) {
	if !slices.Contains(e.get(name), v) {
		s := e.shard(name)
		s[name] = append(slices.Clip(s[name]), v)
	}
}

func (e *multiEdit[V]) remove(name string, v V) {
	if !slices.Contains(e.get(name), v) {
		return
	}
	s := e.shard(name)
	left := slices.DeleteFunc(slices.Clone(s[name]), func(x V) bool { return x == v })
	if s[name] = left; len(left) == 0 {
		delete(s, name)
	}
}

// reachEdit is a reach that is being made.
type reachEdit struct {
	routes, direct multiEdit[*listener]
	via, users     multiEdit[string]

	dynamic       map[*listener]bool
	dynamicRoutes map[string]bool
	odd           map[string]bool
}

func (r *reach) edit() *reachEdit {
	if r == nil {
		r = &reach{}
	}
	return &reachEdit{routes: multiEdit[*listener]{multimap: r.routes}, direct: multiEdit[*listener]{multimap: r.direct},
		via: multiEdit[string]{multimap: r.via}, users: multiEdit[string]{multimap: r.users},
		dynamic: clone(r.dynamic), dynamicRoutes: clone(r.dynamicRoutes), odd: clone(r.odd)}
}

func (e *reachEdit) done() *reach {
	return &reach{routes: e.routes.multimap, direct: e.direct.multimap, via: e.via.multimap, users: e.users.multimap,
		dynamic: e.dynamic, dynamicRoutes: e.dynamicRoutes, odd: e.odd}
}

func (e *reachEdit) addListener(name string, l *listener) {
	if name != l.name {
		e.odd[name] = true
	}
	for _, r := range l.routes {
		e.routes.add(r, l)
	}
	for _, c := range l.clusters {
		e.direct.add(c, l)
	}
	if l.dynamic {
		e.dynamic[l] = true
	}
}

func (e *reachEdit) removeListener(name string, l *listener) {
	delete(e.odd, name)
	for _, r := range l.routes {
		e.routes.remove(r, l)
	}
	for _, c := range l.clusters {
		e.direct.remove(c, l)
	}
	delete(e.dynamic, l)
}

// changeRoutes replaces what a route configuration names; nil is none.
func (e *reachEdit) changeRoutes(name string, old, new *routeConfig) {
	var was, is []string
	if delete(e.dynamicRoutes, name); old != nil {
		was = old.clusters
	}
	if new != nil {
		is = new.clusters
		if new.dynamic {
			e.dynamicRoutes[name] = true
		}
	}
	change(&e.via, name, was, is)
}

// changeCluster replaces what a cluster depends on; nil is none.
func (e *reachEdit) changeCluster(name string, old, new *cluster) {
	change(&e.users, name, old.needs(name), new.needs(name))
}

// change goes from one sorted list of names to another.
func change(m *multiEdit[string], user string, was, is []string) {
	for len(was) > 0 || len(is) > 0 {
		switch {
		case len(is) == 0 || len(was) > 0 && was[0] < is[0]:
			m.remove(was[0], user)
			was = was[1:]
		case len(was) == 0 || is[0] < was[0]:
			m.add(is[0], user)
			is = is[1:]
		default:
			was, is = was[1:], is[1:]
		}
	}
}

// needs are the names, other than its own, on which the verdict of c depends, sorted.
func (c *cluster) needs(name string) []string {
	var out []string
	if c == nil {
		return nil
	}
	if c.kind == kindEDS && c.edsName != name {
		out = append(out, c.edsName)
	}
	for _, m := range c.members {
		if m != name {
			out = append(out, m)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// reachOf is the index of v, made anew if none was carried over.
func (v *View) reachOf() *reach {
	v.keys()
	if r := v.knownReach(); r != nil {
		return r
	}
	return v.setReach(v.scratchReach())
}

func (v *View) setReach(r *reach) *reach {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.reach == nil {
		v.reach = r
	}
	return v.reach
}

func (v *View) scratchReach() *reach {
	e := (*reach)(nil).edit()
	for _, l := range v.static.listeners {
		e.addListener(l.name, l)
	}
	for name, l := range v.table.byName {
		e.addListener(name, l)
	}
	for name := range v.snap.All(xds.RouteType) {
		e.changeRoutes(name, nil, v.routeNamed(name))
	}
	for name, c := range v.static.clusters {
		e.changeCluster(name, nil, c)
	}
	for name := range v.snap.All(xds.ClusterType) {
		e.changeCluster(name, nil, v.cluster(name))
	}
	return e.done()
}

// carryReach takes the index of another view over, if that has one: the listeners
// that did not change must be the same objects.
func (v *View) carryReach(p *View) {
	if from := p.knownReach(); from != nil && v.knownReach() == nil && v.shares(p) {
		v.setReach(from.with(p, v))
	}
}

// shares reports that what stands in both views is one object in both.
func (v *View) shares(p *View) bool {
	if v.static != p.static {
		return false
	}
	if v.table == p.table {
		return true
	}
	for name, l := range v.table.byName {
		if o := p.table.byName[name]; o != nil && o != l && o.digest == l.digest {
			return false
		}
	}
	return true
}

func (v *View) knownReach() *reach {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.reach
}

// with is the index of new, given that r is that of old. Both have their tables.
func (r *reach) with(old, new *View) *reach {
	var e *reachEdit
	for d := range state.Differences(old.snap, new.snap) {
		if d.Type == xds.EndpointType {
			continue
		}
		if e == nil {
			e = r.edit()
		}
		switch d.Type {
		case xds.RouteType:
			e.changeRoutes(d.Name, old.routeNamed(d.Name), new.routeNamed(d.Name))
		case xds.ClusterType:
			e.changeCluster(d.Name, old.cluster(d.Name), new.cluster(d.Name))
		case xds.ListenerType:
			if l := old.table.byName[d.Name]; l != nil {
				e.removeListener(d.Name, l)
			}
			if l := new.table.byName[d.Name]; l != nil {
				e.addListener(d.Name, l)
			}
		}
	}
	if e == nil {
		return r
	}
	return e.done()
}

// routeNamed is a route configuration of the snapshot, nil if it is not known.
func (v *View) routeNamed(name string) *routeConfig {
	d, ok := v.snap.Lookup(xds.RouteType, name)
	if !ok || d == xds.Bodyless {
		return nil
	}
	return v.engine.routeConfig(d)
}

// listeners are those that lead to one of the clusters, or use one of the route
// configurations, or may lead to any cluster.
func (r *reach) listeners(routes, clusters map[string]bool) map[*listener]bool {
	out := map[*listener]bool{}
	add := func(ls []*listener) {
		for _, l := range ls {
			out[l] = true
		}
	}
	for n := range routes {
		add(r.routes.get(n))
	}
	for c := range clusters {
		add(r.direct.get(c))
		for _, n := range r.via.get(c) {
			add(r.routes.get(n))
		}
	}
	if len(clusters) > 0 {
		maps.Copy(out, r.dynamic)
		for n := range r.dynamicRoutes {
			add(r.routes.get(n))
		}
	}
	return out
}
