package traffic

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// This file is what Compare asks of a View beside the contract in facets.go.

// outside tells apart what decides before any listener does.
func (v *View) outside() string {
	k := v.keys()
	none := [2]bool{v.snap.Len(xds.RouteType) == 0, v.snap.Len(xds.EndpointType) == 0} // then a missing one is one that was not recorded
	return fmt.Sprint(v.rules, k.vo4 != nil, k.vo6 != nil, k.unsure, none)
}

func (v *View) around() facets {
	var f facets
	v.rules.points(&f)
	return f
}

// source is the sidecar's own address of a family, as its node tells: that is
// where connections come from. Invalid if it is not known.
func (v *View) source(v6 bool) netip.Addr {
	if v6 {
		return v.src[1]
	}
	return v.src[0]
}

// sources are the first addresses of both families that a node names.
func sources(node *corev3.Node) (out [2]netip.Addr) {
	ips := strings.Split(node.GetMetadata().GetFields()["INSTANCE_IPS"].GetStringValue(), ",")
	if p := strings.Split(node.GetId(), "~"); len(p) == 4 {
		ips = append(ips, p[1])
	}
	for _, s := range slices.Backward(ips) {
		a, err := netip.ParseAddr(strings.TrimSpace(s))
		switch {
		case err != nil:
		case a.Is6():
			out[1] = a
		default:
			out[0] = a
		}
	}
	return out
}

// asksForLocal reports whether l has a chain for local or external sources only.
func (l *listener) asksForLocal() bool {
	return l != nil && slices.ContainsFunc(l.chains, func(c *chain) bool { return c.match != nil && c.match.sourceType != 0 })
}

// takes reports whether a connection to dst that begins with sig gets chain ch of
// l. Where that cannot be told it may.
func (v *View) takes(l *listener, ch *chain, dst netip.AddrPort, sig xds.Signal) bool {
	chains, _, ok := v.chains(l, dst, sig)
	return !ok || slices.Contains(chains, ch)
}

// chains are those that a connection may get at l, and what the inspectors found
// out; false where it does not come to a choice.
func (v *View) chains(l *listener, dst netip.AddrPort, sig xds.Signal) ([]*chain, inspected, bool) {
	f := newFlight(sig)
	x := &conn{v: v, l: l, dst: dst, f: &f}
	if vo := v.keys().vo(dst.Addr()); vo != nil && vo != l {
		if _, ends := x.listen(vo); ends {
			return nil, x.in, false
		}
	}
	if _, ends := x.listen(l); ends {
		return nil, x.in, false
	}
	q := &query{dst: dst, src: v.source(dst.Addr().Is6()), sni: x.in.sni, transport: x.in.transport, alpn: x.in.alpn}
	if q.transport == "" {
		q.transport = "raw_buffer"
	}
	chains, why := l.pick(q)
	return chains, x.in, why == ""
}

// gates are those of the listeners that hand connections to others.
func (v *View) gates() []string {
	k := v.keys()
	out := []string{"", ""}
	for i, vo := range []*listener{k.vo4, k.vo6} {
		if vo != nil {
			out[i] = vo.gate()
		}
	}
	return out
}

// gate is what l does to a connection before it hands it to another listener:
// its filters and their timeout. Equal texts are equal gates.
func (l *listener) gate() string {
	out := fmt.Sprint(l.broken, l.timeout, l.proceeds)
	for _, f := range l.filters {
		out += fmt.Sprint(";", f.name, f.kind, f.limit, f.disabled.text())
	}
	return out
}

// text writes p in full; "never" for none.
func (p *portPredicate) text() string {
	if p == nil {
		return "never"
	}
	out := fmt.Sprint("(", p.always, p.unknown, p.start, p.end, p.any != nil, p.all != nil)
	for _, q := range p.any {
		out += "|" + q.text()
	}
	for _, q := range p.all {
		out += "&" + q.text()
	}
	if p.not != nil {
		out += "!" + p.not.text()
	}
	return out + ")"
}
