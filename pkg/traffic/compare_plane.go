package traffic

import (
	"cmp"
	"net/netip"
	"slices"
)

// plane is one address family: who owns what there on both sides.
type plane struct {
	v6           bool
	vo           pair
	wildO, wildN map[uint16]*listener
	exact        map[uint16]map[netip.Addr]bool // the exact keys that count, by port
	seen         map[uint16]bool                // ports with any key of their own, where that counts
}

func (c *comparison) plane(v6 bool) *plane {
	pl := &plane{v6: v6, vo: pair{c.keysO.vo4, c.keysN.vo4}, wildO: c.keysO.wild4, wildN: c.keysN.wild4,
		exact: map[uint16]map[netip.Addr]bool{}, seen: map[uint16]bool{}}
	if v6 {
		pl.vo, pl.wildO, pl.wildN = pair{c.keysO.vo6, c.keysN.vo6}, c.keysO.wild6, c.keysN.wild6
	}
	return pl
}

// claimed looks at every key of the family, and returns the ports with a wildcard.
func (c *comparison) claimed(pl *plane, whole bool) map[uint16]bool {
	ports := map[uint16]bool{}
	for _, wild := range []map[uint16]*listener{pl.wildO, pl.wildN} {
		for p := range wild {
			ports[p], pl.seen[p] = true, true
		}
	}
	c.exactKeys(pl, func(key netip.AddrPort, p pair) {
		if whole {
			pl.seen[key.Port()] = true
		}
		if c.dirty(p) || whole || pl.dirtyWild(c, key.Port()) {
			pl.put(key)
		}
	})
	return ports
}

// wild is who has the wildcard of a port, if anybody does.
func (pl *plane) wild(port uint16) (pair, bool) {
	o, n := pl.wildO[port], pl.wildN[port]
	if o == nil && n == nil {
		return pair{}, false
	}
	return pair{cmp.Or(o, pl.vo.old), cmp.Or(n, pl.vo.new)}, true
}

// root is who owns what no exact key does.
func (pl *plane) root(port uint16) pair {
	if p, ok := pl.wild(port); ok {
		return p
	}
	return pl.vo
}

func (pl *plane) dirtyWild(c *comparison, port uint16) bool {
	p, ok := pl.wild(port)
	return ok && c.dirty(p)
}

func (pl *plane) put(key netip.AddrPort) {
	at := pl.exact[key.Port()]
	if at == nil {
		at = map[netip.Addr]bool{}
		pl.exact[key.Port()] = at
	}
	at[key.Addr()] = true
}

// exactKeys yields every exact key of the family that either side has.
func (c *comparison) exactKeys(pl *plane, yield func(netip.AddrPort, pair)) {
	for key, l := range c.keysO.exact {
		if key.Addr().Is6() == pl.v6 {
			yield(key, pair{l, cmp.Or(c.keysN.exact[key], pl.root(key.Port()).new)})
		}
	}
	for key, l := range c.keysN.exact {
		if key.Addr().Is6() == pl.v6 && c.keysO.exact[key] == nil {
			yield(key, pair{pl.root(key.Port()).old, l})
		}
	}
}

// otherPorts are those without a key: virtualOutbound has them. They are cut only
// where one of its chains or filters asks for the port.
func (c *comparison) otherPorts(pl *plane) []portSet {
	f := union(c.joint(pl.vo).facets, c.around)
	taken := map[uint16]bool{}
	for p := range pl.seen {
		taken[p] = true
	}
	var out []portSet
	for _, p := range slices.Compact(slices.Sorted(slices.Values(f.ports))) {
		if !taken[p] && p != 0 {
			out = append(out, onePort(p))
			taken[p] = true
		}
	}
	for _, s := range cutPorts(f.ranges) {
		if rest := s.minus(taken); len(rest) > 0 {
			out = append(out, rest)
		}
	}
	return out
}
