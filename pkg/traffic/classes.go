package traffic

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Classes gives one verdict per class of signal that the listener of a
// destination tells apart, with Class set; classes of one kind with the same
// verdict are one.
func (v *View) Classes(dst netip.AddrPort, src netip.Addr) []xds.Verdict {
	dst = netip.AddrPortFrom(dst.Addr().Unmap().WithZone(""), dst.Port())
	l, early := v.choose(dst)
	if early != nil {
		return []xds.Verdict{finish(*early)}
	}
	var out []xds.Verdict
	for _, c := range classesOf(v.facets(l)) {
		vd := v.resolveIn(l, dst, src, c.Signal)
		class := c.Class
		vd.Class = &class
		out = merge(out, vd)
	}
	return out
}

// merge joins a class to an earlier one of its kind that ends at the same place.
func merge(out []xds.Verdict, vd xds.Verdict) []xds.Verdict {
	for i := range out {
		o := &out[i]
		if o.Class.Kind == vd.Class.Kind && o.Same(vd) && o.Reason == vd.Reason && o.Listener == vd.Listener && slices.Equal(o.Path, vd.Path) {
			if c, ok := joined(*o.Class, *vd.Class); ok {
				o.Class = &c
				return out
			}
		}
	}
	return append(out, vd)
}

// joined is the class of both, where one can be written.
func joined(a, b xds.Class) (xds.Class, bool) {
	if a.Guard != b.Guard || !slices.Equal(a.ALPN, b.ALPN) || !slices.Equal(a.ALPNNot, b.ALPNNot) {
		return a, false
	}
	sni, sniNot, ok1 := joinNames(a.SNI, a.SNINot, b.SNI, b.SNINot)
	hosts, hostsNot, ok2 := joinNames(a.Hosts, a.HostsNot, b.Hosts, b.HostsNot)
	sameSNI := slices.Equal(a.SNI, b.SNI) && slices.Equal(a.SNINot, b.SNINot)
	sameHosts := slices.Equal(a.Hosts, b.Hosts) && slices.Equal(a.HostsNot, b.HostsNot)
	if !ok1 || !ok2 || !sameSNI && !sameHosts {
		return a, false
	}
	a.SNI, a.SNINot, a.Hosts, a.HostsNot = sni, sniNot, hosts, hostsNot
	return a, true
}

// joinNames unites two sets of names, each given as a list or as all but a list.
func joinNames(in, not, in2, not2 []string) ([]string, []string, bool) {
	switch {
	case slices.Equal(in, in2) && slices.Equal(not, not2):
		return in, not, true
	case len(in) > 0 && len(in2) > 0:
		return append(slices.Clone(in), in2...), nil, true
	case len(in) > 0 && len(not2) > 0:
		return without(not2, in)
	case len(in2) > 0 && len(not) > 0:
		return without(not, in2)
	}
	return nil, nil, false
}

// without takes names out of an exclusion, as long as all of them stand there.
func without(not, in []string) ([]string, []string, bool) {
	left := slices.DeleteFunc(slices.Clone(not), func(s string) bool { return slices.Contains(in, s) })
	return nil, left, len(left) == len(not)-len(in)
}

// classesOf partitions all signals at the points of f: signals of one class get
// the same verdict wherever f's points are all that matters.
func classesOf(f facets) []classRep {
	var out []classRep
	for _, k := range xds.SignalKinds {
		switch k {
		case xds.TLS:
			out = append(out, tlsClasses(f)...)
		case xds.HTTP10, xds.HTTP11, xds.H2C:
			out = append(out, httpClasses(f, k)...)
		default:
			out = append(out, classRep{xds.Class{Kind: k}, xds.Signal{Kind: k}})
		}
	}
	return out
}

func tlsClasses(f facets) []classRep {
	var out []classRep
	for _, s := range f.snis {
		out = append(out, withALPN(f, xds.Class{Kind: xds.TLS, SNI: []string{s}}, sampleName(s))...)
	}
	if f.anySNI {
		out = append(out, withALPN(f, xds.Class{Kind: xds.TLS, SNI: []string{""}}, "")...)
		return append(out, withALPN(f, xds.Class{Kind: xds.TLS, SNINot: append([]string{""}, f.snis...)}, otherName)...)
	}
	return append(out, withALPN(f, xds.Class{Kind: xds.TLS, SNINot: f.snis}, otherName)...)
}

// otherName stands for any name that is not listed.
const otherName = "other.invalid"

// sampleName is a name that a pattern covers and longer ones hardly do.
func sampleName(pattern string) string {
	switch {
	case strings.HasPrefix(pattern, "*."):
		return "any-0" + pattern[1:]
	case strings.HasPrefix(pattern, "*"):
		return "any-0" + pattern[1:]
	case strings.HasSuffix(pattern, "*"):
		return pattern[:len(pattern)-1] + "any-0"
	}
	return pattern
}

func withALPN(f facets, c xds.Class, sni string) []classRep {
	var out []classRep
	for _, a := range f.alpns {
		k := c
		k.ALPN = []string{a}
		out = append(out, classRep{k, xds.Signal{Kind: xds.TLS, SNI: sni, ALPN: []string{a}}})
	}
	c.ALPNNot = f.alpns
	return append(out, classRep{c, xds.Signal{Kind: xds.TLS, SNI: sni}})
}

// httpClasses splits by virtual host, then by route.
func httpClasses(f facets, k xds.SignalKind) []classRep {
	base := xds.Class{Kind: k}
	if !f.http {
		return []classRep{{base, xds.Signal{Kind: k, Host: otherName, Path: "/"}}}
	}
	var out []classRep
	var all []guard
	var names []string
	for _, h := range f.hosts {
		if h.all {
			all = append(all, h.guards...)
		}
		names = append(names, h.domains...)
	}
	for _, h := range f.hosts {
		// Names of one host that another side's host shares keep the routes of both.
		if len(h.domains) == 0 {
			continue
		}
		c := base
		c.Hosts = h.domains
		out = append(out, withGuards(c, sampleName(h.domains[0]), f.guardsOf(h))...)
	}
	slices.Sort(names)
	base.HostsNot = slices.Compact(names)
	return append(out, withGuards(base, otherName, all)...)
}

// guardsOf joins the routes of all hosts that share a name with h.
func (f facets) guardsOf(h hostFacet) []guard {
	out := h.guards
	if f.split {
		return out
	}
	for _, o := range f.hosts {
		if &o != &h && !slices.Equal(o.domains, h.domains) {
			for _, d := range o.domains {
				if slices.Contains(h.domains, d) {
					out = join(out, o.guards)
					break
				}
			}
		}
	}
	return out
}

// withGuards gives one class per route that a request can be made for, and one
// for what no route asks for.
func withGuards(c xds.Class, host string, gs []guard) []classRep {
	var out []classRep
	for _, g := range gs {
		if g.every || g.opaque {
			continue
		}
		k := c
		k.Guard = g.text
		out = append(out, classRep{k, xds.Signal{Kind: c.Kind, Host: host, Path: g.path, Method: g.method, Headers: g.headers}})
	}
	return append(out, classRep{c, xds.Signal{Kind: c.Kind, Host: host, Path: "/"}})
}
