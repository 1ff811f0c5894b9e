package traffic

import (
	"net/netip"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// conn is one connection on its way through a view.
type conn struct {
	v    *View
	l    *listener
	dst  netip.AddrPort
	src  netip.Addr
	f    *flight
	in   inspected
	path []string

	attrs       []string
	cluster     string // set by a filter, overrides tcp_proxy
	originalDst string // ditto, overrides the original destination
	req         *request
	http        bool // an HTTP connection manager is at work
	insideTLS   bool // TLS ended at the chain

	dynHost string // dynamic forward proxy
	dynPort uint32
	dynSet  bool

	depth int // of internal listeners and aggregates
}

// maxDepth bounds internal listeners and aggregate clusters that lead in a circle.
const maxDepth = 8

func (x *conn) step(s string) { x.path = append(x.path, s) }

// Resolve says where a connection to dst from src ends that begins with sig. An
// invalid src means that it is not known; where it matters the verdict is unknown.
func (v *View) Resolve(dst netip.AddrPort, src netip.Addr, sig xds.Signal) xds.Verdict {
	dst = netip.AddrPortFrom(dst.Addr().Unmap().WithZone(""), dst.Port())
	if !dst.Addr().IsValid() {
		return finish(unknown("the destination is no address"))
	}
	l, early := v.choose(dst)
	if early != nil {
		return finish(*early)
	}
	return v.resolveIn(l, dst, src, sig)
}

func finish(vd xds.Verdict) xds.Verdict {
	if vd.Endpoints == nil {
		vd.Endpoints = []xds.Endpoint{}
	}
	return vd
}

// choose finds the listener for a destination, or a verdict that needs none
// (source/common/listener_manager/active_tcp_socket.cc).
func (v *View) choose(dst netip.AddrPort) (*listener, *xds.Verdict) {
	k := v.keys()
	if k.unsure != "" {
		u := unknown(k.unsure)
		return nil, &u
	}
	if k.vo4 == nil && k.vo6 == nil {
		return v.bound(k, dst)
	}
	if why := v.rules.passes(dst); why != "" {
		// Not redirected; a listener of its own may still be there.
		if l := k.direct(dst); l != nil {
			return l, nil
		}
		return nil, &xds.Verdict{Kind: xds.NotIntercepted, Reason: why}
	}
	vo := k.vo(dst.Addr())
	if vo == nil {
		return nil, &xds.Verdict{Kind: xds.Refused, Reason: "no virtualOutbound listens on " + family(dst.Addr())}
	}
	return k.handOff(dst, vo), nil
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

func (k keyView) vo(a netip.Addr) *listener {
	if a.Is4() {
		return k.vo4
	}
	return k.vo6
}

// handOff is who gets a connection that arrived at vo: the exact address, the
// any-address of the family, or vo itself. A connection to vo's own port stays.
func (k keyView) handOff(dst netip.AddrPort, vo *listener) *listener {
	if dst.Port() == outboundPort && vo == k.wild(dst) {
		return vo
	}
	if l := k.exact[dst]; l != nil {
		return l
	}
	if l := k.wild(dst); l != nil {
		return l
	}
	return vo
}

func (k keyView) wild(dst netip.AddrPort) *listener {
	if dst.Addr().Is4() {
		return k.wild4[dst.Port()]
	}
	return k.wild6[dst.Port()]
}

// direct is the listener that has a socket where dst goes.
func (k keyView) direct(dst netip.AddrPort) *listener {
	if l := k.exact[dst]; l != nil && l.binds {
		return l
	}
	if l := k.wild(dst); l != nil && l.binds {
		return l
	}
	return nil
}

// bound decides where no virtualOutbound is: a gateway, or a sidecar that
// intercepts nothing, serves what its own listeners bind; a sidecar that should
// intercept is not initialised, and refuses.
func (v *View) bound(k keyView, dst netip.AddrPort) (*listener, *xds.Verdict) {
	if v.rules.known && !v.rules.none {
		if why := v.rules.passes(dst); why != "" {
			return nil, &xds.Verdict{Kind: xds.NotIntercepted, Reason: why}
		}
		return nil, &xds.Verdict{Kind: xds.Refused, Reason: "no virtualOutbound: the proxy is not initialised yet"}
	}
	if l := k.direct(dst); l != nil {
		return l, nil
	}
	return nil, &xds.Verdict{Kind: xds.NotIntercepted, Reason: "no listener restores the destination, and none is bound to it"}
}

// resolveIn is Resolve with the listener already chosen. A nil l means that no
// listener is there.
func (v *View) resolveIn(l *listener, dst netip.AddrPort, src netip.Addr, sig xds.Signal) xds.Verdict {
	if l == nil {
		if _, early := v.choose(dst); early != nil {
			return finish(*early)
		}
		return finish(unknown("no listener"))
	}
	f := newFlight(sig)
	x := &conn{v: v, l: l, dst: dst, src: src, f: &f, path: make([]string, 0, 8)}
	if vo := v.keys().vo(dst.Addr()); vo != nil && vo != l {
		if vd, ends := x.listen(vo); ends {
			return x.finish(vd)
		}
		if x.in.lost {
			x.l = vo
			return x.finish(x.pickIn(vo))
		}
	}
	return x.finish(x.run(l))
}

// finish adds what every verdict tells.
func (x *conn) finish(vd xds.Verdict) xds.Verdict {
	if vd.Listener == "" {
		vd.Listener = x.l.name
	}
	vd.Path = append([]string{"listener " + x.l.name}, x.path...)
	vd.Attributes = append(vd.Attributes, x.attrs...)
	if vd.Kind == xds.Passthrough {
		vd.Inspection = x.inspection()
	}
	return finish(vd)
}

// inspection says how much was looked at.
func (x *conn) inspection() string {
	switch {
	case x.http:
		return "http"
	case x.in.inspected:
		return "sniffed"
	}
	return "none"
}

// listen runs the listener filters of l, and says where they end the connection.
func (x *conn) listen(l *listener) (xds.Verdict, bool) {
	if l.broken != "" {
		return unknown("listener " + l.name + ": " + l.broken), true
	}
	port := x.dst.Port()
	if l == x.v.keys().vo(x.dst.Addr()) && len(l.keys) > 0 {
		port = l.keys[0].Port() // where it arrived
	}
	x.in = l.inspect(x.in, x.f, port, x.dst.Port())
	if l == x.v.keys().vo(x.dst.Addr()) && l.lost(x.in, port) {
		x.in.lost, x.dst = true, netip.AddrPortFrom(loopbackOf(x.dst.Addr()), port) // where a redirected connection arrives
	}
	switch x.in.end {
	case waiting:
		return xds.Verdict{Kind: xds.Stall, Reason: x.in.why}, true
	case closing:
		return xds.Verdict{Kind: xds.NoChain, Reason: x.in.why}, true
	case unclear:
		return unknown(x.in.why), true
	}
	return xds.Verdict{}, false
}

func loopbackOf(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

// run resolves inside one listener.
func (x *conn) run(l *listener) xds.Verdict {
	if vd, ends := x.listen(l); ends {
		return vd
	}
	return x.pickIn(l)
}

// pickIn is run after the listener filters.
func (x *conn) pickIn(l *listener) xds.Verdict {
	q := &query{dst: x.dst, src: x.src, sni: x.in.sni, transport: x.in.transport, alpn: x.in.alpn}
	if q.transport == "" {
		q.transport = "raw_buffer"
	}
	chains, why := l.pick(q)
	if why != "" {
		return unknown(why)
	}
	if len(chains) == 1 {
		return x.chain(chains[0])
	}
	return x.ambiguous(chains)
}

// pick returns the chains that a connection may get, the default filled in; a
// nil one means that it is closed.
func (l *listener) pick(q *query) ([]*chain, string) {
	if l.matcher != nil {
		return l.matcher.pick(l, q)
	}
	picked := l.tree.pick(q)
	if q.unsure != "" {
		return nil, q.unsure
	}
	out := picked[:0]
	for _, c := range picked {
		if c == nil {
			c = l.def
		}
		if len(out) == 0 || out[0] != c {
			out = append(out, c)
		}
	}
	return out, ""
}

// ambiguous answers only where all candidates lead to the same end.
func (x *conn) ambiguous(chains []*chain) xds.Verdict {
	start := *x
	first := x.chain(chains[0])
	for _, c := range chains[1:] {
		y := start
		y.path = append([]string(nil), start.path...)
		if vd := y.chain(c); !first.Same(vd) || first.Reason != vd.Reason {
			return unknown("a chain without a prefix and one with a prefix of length 0 both match: Envoy's choice is random per process")
		}
	}
	return first
}

// chain runs the network filters of c.
func (x *conn) chain(c *chain) xds.Verdict {
	if c == nil {
		return xds.Verdict{Kind: xds.NoChain, Reason: "no filter chain matches, and there is no default"}
	}
	x.step(c.label)
	if c.broken != "" {
		return unknown(c.label + ": " + c.broken)
	}
	if c.tls {
		if vd, ends := x.terminate(c); ends {
			return vd
		}
	}
	for i, n := range c.filters {
		vd, ends := n.apply(x)
		if _, waits := n.(*networkRBAC); ends && waits {
			return x.beforeBytes(c.filters[i+1:], vd)
		}
		if ends {
			return vd
		}
	}
	return xds.Verdict{Kind: xds.NoChain, Reason: "the filter chain has no filter that ends it"}
}

// beforeBytes is what the filters behind one that acts on the first bytes do when
// the connection starts: who answers then, or has no way out, has done so before
// the other ends it (FilterManagerImpl in source/common/network/filter_manager_impl.cc).
func (x *conn) beforeBytes(behind []networkFilter, later xds.Verdict) xds.Verdict {
	for _, n := range behind {
		switch n := n.(type) {
		case *networkRBAC:
			continue
		case *tcpProxy:
			if n.waits {
				return later
			}
			if vd, _ := n.apply(x); vd.Kind == xds.NoCluster || vd.Kind == xds.NoEndpoints {
				return vd
			}
			return later
		case answers:
			if n.atOnce {
				vd, _ := n.apply(x)
				return vd
			}
			return later
		case *hcm:
			return later
		}
		if vd, ends := n.apply(x); ends {
			return vd
		}
	}
	return later
}
