package traffic

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// fingerprint covers a listener and everything that its verdicts depend on in
// this view, but for what it gets connections through (gates): equal fingerprints
// mean equal verdicts. Endpoints that move inside a usable cluster do not show.
func (v *View) fingerprint(l *listener) [20]byte {
	if l == nil {
		return [20]byte{}
	}
	v.keys()
	v.mu.Lock()
	p, ok := v.prints[l]
	v.mu.Unlock()
	if ok {
		return p
	}
	p = v.print(l)
	v.mu.Lock()
	v.prints[l] = p
	v.mu.Unlock()
	return p
}

// printer hashes what verdicts depend on, each thing once.
type printer struct {
	v    *View
	h    hash.Hash
	seen map[string]bool
}

func (v *View) print(l *listener) [20]byte {
	p := &printer{v: v, h: sha256.New(), seen: map[string]bool{}}
	p.listener(l)
	return [20]byte(p.h.Sum(nil)[:20])
}

func (p *printer) word(s string) {
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(s)))
	p.h.Write(n[:])
	p.h.Write([]byte(s))
}

func (p *printer) listener(l *listener) {
	p.word(l.name)
	p.h.Write(l.digest[:])
	p.word(l.broken)
	for _, r := range l.routes {
		d, _ := p.v.snap.Lookup(xds.RouteType, r)
		p.word(r)
		p.h.Write(d[:])
		if d.IsZero() || d == xds.Bodyless {
			continue
		}
		rc := p.v.engine.routeConfig(d)
		p.clusters(rc.clusters)
		p.any(rc.dynamic)
	}
	p.clusters(l.clusters)
	p.any(l.dynamic)
}

// any covers every cluster, for listeners that take names from the client.
func (p *printer) any(dynamic bool) {
	if !dynamic || p.seen["*"] {
		return
	}
	p.seen["*"] = true
	for name := range p.v.snap.All(xds.ClusterType) {
		p.cluster(name)
	}
}

func (p *printer) clusters(names []string) {
	for _, n := range names {
		p.cluster(n)
	}
}

// cluster hashes a cluster's bytes and what its endpoints come to.
func (p *printer) cluster(name string) {
	if p.seen[name] {
		return
	}
	p.seen[name] = true
	d, _ := p.v.snap.Lookup(xds.ClusterType, name)
	p.word(name)
	p.h.Write(d[:])
	if name == p.v.catchAll() {
		p.word("catch-all")
	}
	c := p.v.cluster(name)
	if c == nil {
		return
	}
	if c.kind == kindEDS {
		p.depend(c.edsName, name)
		p.endpoints(c)
	}
	for _, m := range c.members {
		p.depend(m, name)
	}
	p.clusters(c.members)
}

// depend notes that a change of one name touches a cluster of another.
func (p *printer) depend(on, name string) {
	if on == name {
		return
	}
	p.v.mu.Lock()
	defer p.v.mu.Unlock()
	if !slices.Contains(p.v.users[on], name) {
		p.v.users[on] = append(slices.Clip(p.v.users[on]), name)
	}
}

// dependents adds a changed name and the clusters that depend on it.
func (v *View) dependents(p *View, name string, out map[string]bool) {
	if out[name] {
		return
	}
	out[name] = true
	for _, u := range p.users[name] {
		v.dependents(p, u, out)
	}
}

// endpoints: the verdict without the addresses; internal listeners in full.
func (p *printer) endpoints(c *cluster) {
	x := &conn{v: p.v, l: &listener{}, f: &flight{size: 1}, http: true, depth: maxDepth}
	vd := x.dial(c, leg{cluster: c.name})
	p.word(string(vd.Kind))
	p.word(vd.Reason)
	p.word(vd.Transport)
	p.word(vd.Target)
	a, _ := p.v.assignmentOf(c)
	if a == nil {
		return
	}
	p.word(itoa(uint16(a.standing())))
	for _, name := range a.internals() {
		p.word(name)
		p.depend("\x00", c.name) // what such a listener leads to is not indexed
		if l := p.v.internalListener(name); l != nil && !p.seen["listener "+name] {
			p.seen["listener "+name] = true
			p.listener(l)
		}
	}
}

func (a *assignment) internals() []string {
	var out []string
	for _, p := range a.priorities {
		for _, l := range p.localities {
			for _, h := range l.hosts {
				if h.internal != "" && (len(out) == 0 || out[len(out)-1] != h.internal) {
					out = append(out, h.internal)
				}
			}
		}
	}
	return out
}

// carry takes over the fingerprints of an earlier view that nothing in the
// difference touches.
func (v *View) carry(p *View, k keyView) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.prints) == 0 {
		return
	}
	changed := v.changedSince(p, k)
	if changed == nil {
		return
	}
	prints := clone(p.prints)
	for l := range prints {
		if v.touched(l, changed) {
			delete(prints, l)
		}
	}
	v.prints, v.users = prints, clone(p.users)
}

// touchedNames are the resources that differ between two views.
type touchedNames struct {
	routes, clusters map[string]bool
	all              bool // listeners changed that concern others
}

// manyChanges is more than a policy that flips in a large mesh.
const manyChanges = 10_000

// changedSince is nil where too much differs to be worth a look.
func (v *View) changedSince(p *View, k keyView) *touchedNames {
	t := &touchedNames{routes: map[string]bool{}, clusters: map[string]bool{}}
	n := 0
	for d := range state.Differences(p.snap, v.snap) {
		if n++; n > manyChanges {
			return nil
		}
		switch d.Type {
		case xds.RouteType:
			t.routes[d.Name] = true
		case xds.ClusterType:
			v.dependents(p, d.Name, t.clusters)
		case xds.EndpointType:
			v.dependents(p, d.Name, t.clusters)
		case xds.ListenerType:
			t.all = t.all || v.concernsOthers(d)
		}
	}
	if was, is := p.table.view.catchAll(), k.catchAll(); was != is {
		v.dependents(p, was, t.clusters)
		v.dependents(p, is, t.clusters)
	}
	if n > 0 && len(p.users["\x00"]) > 0 {
		t.all = true
	}
	return t
}

// concernsOthers reports a listener whose change matters to the fingerprints of
// other listeners: those that endpoints lead to.
func (v *View) concernsOthers(d state.Difference) bool {
	for _, digest := range []xds.Digest{d.Old, d.New} {
		if digest.IsZero() {
			continue
		}
		if digest == xds.Bodyless {
			return true
		}
		if l := v.engine.listener(digest); l.internal || l.broken != "" {
			return true
		}
	}
	return false
}

// touched reports that the fingerprint of l may have changed.
func (v *View) touched(l *listener, t *touchedNames) bool {
	if t.all || l.dynamic && len(t.clusters) > 0 || meets(l.clusters, t.clusters) {
		return true
	}
	for _, r := range l.routes {
		if t.routes[r] {
			return true
		}
		d, ok := v.snap.Lookup(xds.RouteType, r)
		if !ok || d == xds.Bodyless || len(t.clusters) == 0 {
			continue
		}
		if rc := v.engine.routeConfig(d); rc.dynamic || meets(rc.clusters, t.clusters) {
			return true
		}
	}
	return false
}

// meets reports that one of the changed names stands in a sorted list.
func meets(sorted []string, changed map[string]bool) bool {
	if len(sorted) < len(changed) {
		return slices.ContainsFunc(sorted, func(name string) bool { return changed[name] })
	}
	for name := range changed {
		if _, ok := slices.BinarySearch(sorted, name); ok {
			return true
		}
	}
	return false
}
