package traffic

import (
	"encoding/binary"
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// alike finds regions that differ in names only, so that a step that does the same
// to the listeners of many ports is worked out once: what the first region shifts,
// the others do, each for the names of its own virtual hosts.
type alike struct {
	s     *sameChains
	cuts  []uint16 // where filters and interception change their mind about ports
	names *names
	first map[string]*template
	buf   nameless
}

// template is what one region shifted.
type template struct {
	hosts []string // the names that stand for those of another region
	cells []templateCell
}

// templateCell is a cell of a shift, by the shift's number.
type templateCell struct {
	shift   int
	area    area
	signals []xds.Class
}

// likeness is what is equal for regions that are alike, and the names in which
// they may differ.
type likeness struct {
	key   string
	hosts []string // sorted
}

func newAlike(s *sameChains, around facets) *alike {
	f := around
	for _, v := range []*View{s.old, s.new} {
		for _, vo := range []*listener{v.keys().vo4, v.keys().vo6} {
			if vo != nil {
				f.addListener(vo)
			}
		}
	}
	cuts := append([]uint16{outboundPort}, f.ports...)
	for _, r := range f.ranges {
		cuts = append(cuts, uint16(r[0]), uint16(max(0, min(r[1], 65535))))
	}
	slices.Sort(cuts)
	return &alike{s: s, cuts: slices.Compact(cuts), names: listenerNames(), first: map[string]*template{}}
}

// of describes the region of one port that p has alone, false where bytes and
// names do not tell all about it.
func (a *alike) of(p pair, v6 bool, port uint16) (likeness, bool) {
	if p.old == nil || p.new == nil || !p.old.plain() || !p.new.plain() || p.old.keys[0] != p.new.keys[0] || !slices.Equal(p.old.routes, p.new.routes) {
		return likeness{}, false
	}
	a.buf = nameless{rest: binary.BigEndian.AppendUint32(a.buf.rest[:0], uint32(a.cell(port))), names: a.buf.names[:0]}
	if v6 {
		a.buf.rest = append(a.buf.rest, 6)
	}
	a.listener(a.s.old, p.old)
	was := slices.Clone(a.buf.names)
	a.buf.names = a.buf.names[:0]
	a.listener(a.s.new, p.new)
	if a.buf.bad || !sameNames(was, a.buf.names) {
		return likeness{}, false
	}
	var hosts []string
	for _, r := range p.old.routes {
		hosts = a.route(r)
	}
	return likeness{string(a.buf.rest), hosts}, !a.buf.bad
}

// find is the template of regions like this one, nil if it is the first.
func (a *alike) find(like likeness, ok bool) *template {
	if !ok {
		return nil
	}
	return a.first[like.key]
}

// plain reports a listener of which the bytes, and what its names lead to, tell
// all: nothing in it asks for the port.
func (l *listener) plain() bool {
	return l.broken == "" && l.matcher == nil && !l.dynamic && !l.internal && !l.restores && !l.digest.IsZero() && len(l.keys) == 1 && len(l.routes) <= 1 &&
		!slices.ContainsFunc(l.filters, func(f listenerFilter) bool { return len(f.disabled.ranges(nil)) > 0 }) &&
		!slices.ContainsFunc(l.allChains(), func(c *chain) bool { return !c.plain() })
}

func (c *chain) plain() bool {
	return c.broken == "" && (c.match == nil || c.match.port == 0) && !slices.ContainsFunc(c.filters, func(f networkFilter) bool {
		switch f := f.(type) {
		case *tcpProxy:
			return false
		case *hcm:
			return f.inline != nil || f.stripOwn || f.stripAny || slices.ContainsFunc(f.filters, func(h httpFilter) bool { return h.rbac != nil })
		}
		return true
	})
}

// cell numbers the stretches of ports between cuts; a cut is one of its own.
func (a *alike) cell(port uint16) int {
	i, on := slices.BinarySearch(a.cuts, port)
	if on {
		return 2*i + 1
	}
	return 2 * i
}

func (a *alike) listener(v *View, l *listener) {
	raw, ok := v.engine.bodies.Body(l.digest)
	a.buf.bad = a.buf.bad || !ok
	at := len(a.buf.rest)
	a.buf.rest = append(a.buf.rest, 0, 0, 0, 0)
	a.buf.add(raw, a.names)
	a.buf.equals()
	binary.BigEndian.PutUint32(a.buf.rest[at:], uint32(len(a.buf.rest)-at))
}

// route writes what is not the same in two versions of a route configuration, and
// returns the names that both serve alike.
func (a *alike) route(name string) []string {
	was, is := a.s.old.routeNamed(name), a.s.new.routeNamed(name)
	if was == nil || is == nil || was.broken != "" || is.broken != "" || was.dynamic || is.dynamic {
		a.buf.bad = true
		return nil
	}
	moves := a.s.moved.routes[name] || a.s.leads(a.s.old, name) || a.s.leads(a.s.new, name)
	a.flag(moves)
	gone, come := make([]bool, len(was.hosts)), make([]bool, len(is.hosts))
	var same []string
	for _, h := range a.s.served(name, was, is) {
		same = append(same, h.names...)
		gone[h.old], come[h.new] = len(h.names) == len(was.hosts[h.old].domains), len(h.names) == len(is.hosts[h.new].domains)
	}
	a.flag(len(same) > 0)
	a.version(a.s.old, name, was, gone)
	a.version(a.s.new, name, is, come)
	slices.Sort(same)
	return slices.Compact(same)
}

// version writes a route configuration, less its name and some virtual hosts.
func (a *alike) version(v *View, name string, rc *routeConfig, less []bool) {
	hosts, rest := a.s.hostBytes(v, name, rc)
	a.buf.bad = a.buf.bad || hosts == nil
	rest, _ = fields(rest, 1)
	a.bytes(rest)
	for i, raw := range hosts {
		if !less[i] {
			a.bytes(raw)
		}
	}
}

func (a *alike) flag(on bool) {
	if on {
		a.bytes([]byte{1})
		return
	}
	a.bytes(nil)
}

func (a *alike) bytes(b []byte) {
	a.buf.rest = append(binary.BigEndian.AppendUint32(a.buf.rest, uint32(len(b))), b...)
}

// renamed is the template with other names: what its region shifts, another one does.
func (p *template) renamed(hosts []string) []templateCell {
	memo := map[*string][]string{}
	list := func(in []string) []string {
		if len(in) == 0 || len(p.hosts) == 0 {
			return in
		}
		out, ok := memo[&in[0]]
		if !ok {
			out = swapNames(in, p.hosts, hosts)
			memo[&in[0]] = out
		}
		return out
	}
	out := slices.Clone(p.cells)
	for i := range out {
		out[i].signals = slices.Clone(out[i].signals)
		for k := range out[i].signals {
			c := &out[i].signals[k]
			c.Hosts, c.HostsNot = list(c.Hosts), list(c.HostsNot)
		}
	}
	return out
}

// swapNames puts other names in the place of some, if these are among the names.
func swapNames(in, from, to []string) []string {
	if _, ok := slices.BinarySearch(in, from[0]); !ok {
		return in
	}
	if len(in) == len(from) {
		return to
	}
	out := slices.Clone(to)
	for _, n := range in {
		if _, ok := slices.BinarySearch(from, n); !ok {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}
