package traffic

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Compare tells which destinations end somewhere else in new than in old: the
// shifts are disjoint and together hold exactly the destinations whose verdicts
// are not the same (xds.Verdict.Same). Only listeners that differ, or refer to
// something that does, are looked into.
func (e *Engine) Compare(old, new *View) []xds.Shift {
	if old == new {
		return nil
	}
	return e.compare(old, new, movedBetween(old, new))
}

func (e *Engine) compare(old, new *View, m *moved) []xds.Shift {
	c := e.comparison(old, new, m)
	if c.still(old, new) {
		return []xds.Shift{}
	}
	return c.run()
}

func (e *Engine) comparison(old, new *View, m *moved) *comparison {
	c := newComparison(old, new)
	c.moved, c.fates, c.gates = m, e.fates(old, new), !slices.Equal(old.gates(), new.gates())
	if m != nil {
		s := newSameChains(old, new, m)
		c.unmoved, c.alike = s.unmoved, newAlike(s, c.around)
	}
	return c
}

func (c *comparison) run() []xds.Shift {
	for _, v6 := range []bool{false, true} {
		c.family(v6)
	}
	return c.shifts()
}

// still reports that nothing at all moved.
func (c *comparison) still(old, new *View) bool {
	return c.moved != nil && len(c.moved.listeners) == 0 && old.table == new.table && !c.all
}

// compared is what a comparison asks of each side.
type compared interface {
	keys() keyView
	outside() string // equal texts: whatever no listener decides is the same on both sides
	around() facets  // the points at which interception changes
	source(v6 bool) netip.Addr
	choose(dst netip.AddrPort) (*listener, *xds.Verdict)
	fingerprint(*listener) [20]byte
	facets(*listener) facets
	resolveIn(l *listener, dst netip.AddrPort, src netip.Addr, sig xds.Signal) xds.Verdict
	takes(l *listener, ch *chain, dst netip.AddrPort, sig xds.Signal) bool // ch is what l chooses
}

// pair is who owns a destination before and after; nil is nobody.
type pair struct{ old, new *listener }

// comparison is one run of Compare. The two maps are memos.
type comparison struct {
	old, new   compared
	keysO      keyView
	keysN      keyView
	dirtyPairs map[pair]bool
	jointPairs map[pair]*joint
	moved      *moved               // what the step reaches; nil: it may be anything
	fates      func(*listener) fate // what the step does to connections of a listener of old
	// unmoved tells what the chains that a connection gets on both sides have in
	// common. It may be nil, and say nothing when in doubt.
	unmoved func(p pair, dst netip.AddrPort, sig xds.Signal) still
	alike   *alike // regions that were seen; nil: none is like another
	gates   bool   // what listeners get connections through differs
	around  facets
	all     bool // something outside the listeners changed: every destination is looked at
	found   found

	repeated int // regions that were like one seen before
}

// joint is what two listeners tell apart together.
type joint struct {
	facets facets
	wire   *classSet // classes of what is seen before a request is read
	full   *classSet // the same with requests told apart
}

type classSet struct {
	classes []classRep
	names   []xds.Class
}

func newClassSet(f facets) *classSet {
	s := &classSet{classes: classesOf(f)}
	for _, r := range s.classes {
		s.names = append(s.names, r.Class)
	}
	return s
}

// requests is the set that tells requests apart.
func (j *joint) requests() *classSet {
	if j.full == nil {
		j.facets.hosts, j.facets.split = splitHosts(j.facets.hosts), true
		j.full = newClassSet(j.facets)
	}
	return j.full
}

// but is the set that tells requests apart, with the hosts that are served the
// same on both sides as one class.
func (j *joint) but(same map[string]bool) *classSet {
	f := j.facets
	f.hosts, f.split = nil, true
	for _, h := range j.facets.hosts {
		h.domains = slices.DeleteFunc(slices.Clone(h.domains), func(d string) bool { return same[d] })
		if h.all || len(h.domains) > 0 {
			f.hosts = append(f.hosts, h)
		}
	}
	f.hosts = append(splitHosts(f.hosts), hostFacet{domains: sortedKeys(same)})
	return newClassSet(f)
}

func newComparison(old, new compared) *comparison {
	return &comparison{
		old: old, new: new, keysO: old.keys(), keysN: new.keys(),
		dirtyPairs: map[pair]bool{}, jointPairs: map[pair]*joint{}, found: newFound(),
		around: union(old.around(), new.around()), all: old.outside() != new.outside(),
	}
}

// dirty reports whether a destination may have another verdict when it goes from
// one listener to the other.
func (c *comparison) dirty(p pair) bool {
	if p.old == nil && p.new == nil {
		return false
	}
	if p.old == p.new && c.moved != nil {
		return c.gates || c.moved.listeners[p.old]
	}
	d, ok := c.dirtyPairs[p]
	if !ok {
		d = p.old == nil || p.new == nil || c.gates || p.old.binds != p.new.binds || p.old.digest != p.new.digest ||
			c.old.fingerprint(p.old) != c.new.fingerprint(p.new)
		c.dirtyPairs[p] = d
	}
	return d
}

func (c *comparison) joint(p pair) *joint {
	j, ok := c.jointPairs[p]
	if !ok {
		f := union(c.old.facets(p.old), c.new.facets(p.new))
		bare := f
		bare.hosts, bare.http = nil, false
		j = &joint{facets: f, wire: newClassSet(bare)}
		c.jointPairs[p] = j
	}
	return j
}

// family finds the ports where something may have changed and looks into them:
// the ports that a listener names one by one, all others together as what
// virtualOutbound has.
func (c *comparison) family(v6 bool) {
	pl := c.plane(v6)
	whole := c.all || c.dirty(pl.vo)
	var ports []portSet
	for p := range c.claimed(pl, whole) {
		if whole || pl.exact[p] != nil || pl.dirtyWild(c, p) {
			ports = append(ports, onePort(p))
		}
	}
	for p := range pl.exact {
		if _, ok := pl.wild(p); !ok {
			ports = append(ports, onePort(p))
		}
	}
	slices.SortFunc(ports, func(a, b portSet) int { return cmp.Compare(a[0].lo, b[0].lo) })
	if whole {
		ports = append(ports, c.otherPorts(pl)...)
	}
	for _, s := range ports {
		c.region(pl, s)
	}
}

// region compares the destinations of ports that are all alike, and remembers what
// it found for regions that differ in names only.
func (c *comparison) region(pl *plane, ports portSet) {
	like, ok := c.likeness(pl, ports)
	if p := c.alike.find(like, ok); p != nil {
		c.repeated++
		for _, x := range p.renamed(like.hosts) {
			c.found.list[x.shift].cell(ports, x.area, signalKey(x.signals), x.signals)
		}
		return
	}
	cells := c.look(pl, ports)
	if ok {
		c.alike.first[like.key] = &template{like.hosts, cells}
	}
}

func (c *comparison) likeness(pl *plane, ports portSet) (likeness, bool) {
	p, ok := pl.wild(ports[0].lo)
	if c.alike == nil || !ok || len(ports) != 1 || ports[0].lo != ports[0].hi || pl.exact[ports[0].lo] != nil {
		return likeness{}, false
	}
	return c.alike.of(p, pl.v6, ports[0].lo)
}

// look compares one destination for each stretch of addresses that neither side
// splits, with each class of signal.
func (c *comparison) look(pl *plane, ports portSet) []templateCell {
	port := ports.witness()
	r := newRegion(pl.v6, ports, c.prefixes(pl, port))
	for i := range r.tree {
		rep, ok := r.tree.representative(i)
		r.full[i] = !ok
		if ok {
			c.node(r, i, netip.AddrPortFrom(rep, port))
		}
	}
	return c.found.add(r)
}

// prefixes are the points at which one side may change its mind about a port.
// The sidecar's own address is one where a chain asks whether the source is local.
// Loopback itself is none: no connection to it is intercepted, and nobody needs
// to be told in every cell.
func (c *comparison) prefixes(pl *plane, port uint16) []netip.Prefix {
	root := pl.root(port)
	var out []netip.Prefix
	if c.all || c.dirty(root) {
		out = slices.Concat(c.joint(root).facets.prefixes, c.around.prefixes)
	}
	out = slices.DeleteFunc(out, func(p netip.Prefix) bool { return p.IsSingleIP() && p.Addr().IsLoopback() })
	for a := range pl.exact[port] {
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	for _, src := range []netip.Addr{c.old.source(pl.v6), c.new.source(pl.v6)} {
		if src.IsValid() && (root.old.asksForLocal() || root.new.asksForLocal()) {
			out = append(out, netip.PrefixFrom(src, src.BitLen()))
		}
	}
	return out
}

// node compares one destination with every class of signal.
func (c *comparison) node(r *region, i int, dst netip.AddrPort) {
	lo, early := c.old.choose(dst)
	ln, late := c.new.choose(dst)
	p := pair{lo, ln}
	switch {
	case early == nil && late == nil && !c.dirty(p) && !c.all,
		early != nil && late != nil && early.Same(*late):
		return
	}
	skip, set := c.classes(p, dst)
	for n, class := range set.classes {
		if skip[wireKey(class.Class)] {
			continue
		}
		before := c.verdict(c.old, lo, early, dst, class.Signal)
		after := c.verdict(c.new, ln, late, dst, class.Signal)
		if before.Same(after) {
			continue
		}
		r.hit(i, set, n, c.found.shift(before, after, c.open(p, dst, class.Signal), dst, class.Signal))
	}
}

// classes are those to ask about, and which of them not to ask about because
// their chain does the same on both sides. Requests are told apart only where
// some chain that is left reads them.
func (c *comparison) classes(p pair, dst netip.AddrPort) (map[string]bool, *classSet) {
	j := c.joint(p)
	if c.unmoved == nil || p.old == nil || p.new == nil {
		return nil, j.requests()
	}
	skip, read := map[string]bool{}, false
	var hosts map[string]bool
	for _, class := range j.wire.classes {
		same := c.unmoved(p, dst, class.Signal)
		skip[wireKey(class.Class)] = same.same
		if !same.same && same.requests && j.facets.http && class.Signal.Host != "" {
			hosts = inBoth(hosts, same.hosts, !read)
			read = true
		}
	}
	switch {
	case !read:
		return skip, j.wire
	case len(hosts) > 0:
		return skip, j.but(hosts)
	}
	return skip, j.requests()
}

// inBoth is what two sets share; the second one where it is the first to come.
func inBoth(a, b map[string]bool, first bool) map[string]bool {
	if first {
		return b
	}
	out := maps.Clone(a)
	maps.DeleteFunc(out, func(name string, _ bool) bool { return !b[name] })
	return out
}

// wireKey is equal for classes that only requests tell apart.
func wireKey(c xds.Class) string {
	c.Hosts, c.HostsNot, c.Guard = nil, nil, ""
	return classKey(c)
}

func (c *comparison) verdict(side compared, l *listener, early *xds.Verdict, dst netip.AddrPort, sig xds.Signal) xds.Verdict {
	if early != nil {
		return finish(*early)
	}
	return side.resolveIn(l, dst, side.source(dst.Addr().Is6()), sig)
}
