package traffic

import (
	"net/netip"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// This file holds what Compare needs of the evaluator, and only that:
//
//	keyView      v.keys()          which listener owns which address
//	[20]byte     v.fingerprint(l)  equal fingerprints of one listener mean equal verdicts
//	facets       v.facets(l)       the points at which the verdicts of a listener may change
//	[]classRep   classesOf(f)      a partition of all signals at these points
//	xds.Verdict  v.resolveIn(l, dst, src, sig)
//
// To compare two views at one listener each: f := union(old.facets(a), new.facets(b));
// between two neighbouring points of f nothing changes on either side, so one
// representative destination and one classRep each stand for all of their kind.
// A nil *listener is allowed everywhere: nothing listens there.

// keyView is who owns which address, as Envoy looks it up. The maps are shared:
// read only.
type keyView struct {
	exact        map[netip.AddrPort]*listener
	wild4, wild6 map[uint16]*listener
	vo4, vo6     *listener // virtualOutbound of the family, nil if absent
	// unsure is why any address may be owned by something that is not known,
	// "" if nothing is. Every verdict is unknown then.
	unsure string
}

// facets are the points at which the verdict of a listener may change.
type facets struct {
	ports    []uint16       // destination ports that a chain names
	ranges   [][2]int32     // port ranges that switch a listener filter, [start,end)
	prefixes []netip.Prefix // destination prefixes, masked
	snis     []string       // exact, or "*.suffix"; lower case
	alpns    []string       // as in filter_chain_match and matchers
	hosts    []hostFacet    // virtual hosts, over all route configurations
	http     bool           // requests are looked at
	split    bool           // no two hosts share a name
	anySNI   bool           // having no server name differs from having another one
	opaque   bool           // some verdicts change at points that are not listed (a regex, a prefix matcher)
}

// hostFacet is one virtual host: the patterns that choose it, and the routes in it.
type hostFacet struct {
	domains []string // lower case: exact, "*suffix", "prefix*"; "*" is left out
	all     bool     // it has the domain "*"
	guards  []guard
}

// guard is the condition of one route, in the order of its virtual host.
type guard struct {
	text    string            // for people: "path prefix /api, header x-a = 1"
	path    string            // a request that meets it
	method  string            // "" = GET
	headers map[string]string // nil = none
	opaque  bool              // no such request could be made: path, method, headers do not meet it
	every   bool              // meets every request: the routes after it are never reached
}

// classRep is a class of signals, and one signal of it.
type classRep struct {
	Class  xds.Class
	Signal xds.Signal
}

// facets collects the points of l in v: its own, those of the VirtualOutbound
// filters that run before it, and those of the route configurations it uses.
func (v *View) facets(l *listener) facets {
	var f facets
	if l == nil {
		return f
	}
	v.rules.points(&f)
	f.addListener(l)
	for _, vo := range v.outbound(l) {
		f.addFilters(vo)
	}
	for _, c := range l.allChains() {
		v.addChain(&f, c)
	}
	return f.canonical()
}

// outbound lists the listeners that hand connections to l.
func (v *View) outbound(l *listener) []*listener {
	var out []*listener
	k := v.keys()
	for _, vo := range []*listener{k.vo4, k.vo6} {
		if vo != nil && vo != l {
			out = append(out, vo)
		}
	}
	return out
}

func (f *facets) addFilters(l *listener) {
	for _, lf := range l.filters {
		f.ranges = lf.disabled.ranges(f.ranges)
	}
}

func (f *facets) addListener(l *listener) {
	f.addFilters(l)
	for _, c := range l.chains {
		f.addMatch(c.match)
	}
	l.matcher.points(f)
}

func (f *facets) addMatch(m *chainMatch) {
	if m == nil {
		return
	}
	if m.port != 0 {
		f.ports = append(f.ports, m.port)
	}
	f.prefixes = append(f.prefixes, m.prefixes...)
	f.snis = append(f.snis, m.snis...)
	f.alpns = append(f.alpns, m.alpns...)
}

// addChain adds what the filters of one chain ask about.
func (v *View) addChain(f *facets, c *chain) {
	for _, n := range c.filters {
		n.points(v, f)
	}
}
