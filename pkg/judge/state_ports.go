package judge

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// taken is what a listener does to connections that nobody declared, where the
// catch-all would do something else: an event of that kind, if it had just come.
type taken struct {
	kind     xds.EventKind
	wild     bool // every address, else dst alone
	port     uint16
	dst      netip.AddrPort // of the wildcard's: an address that nobody declared
	listener string
	after    xds.Verdict
	signals  []xds.Class
}

// takes finds them all, by port; one per kind and end, whatever the family.
func (c *stateCheck) takes() []taken {
	if c.asked {
		return c.taken
	}
	c.asked = true
	wild := wildcards(c.Snapshot, c.Cache)
	catch := map[bool][]xds.Verdict{true: c.catchAll(wild, true), false: c.catchAll(wild, false)}
	for _, a := range wild {
		dst := netip.AddrPortFrom(strangers[a.Addr().Is4()], a.Port())
		if len(catch[a.Addr().Is4()]) == 0 {
			continue
		}
		for _, v := range c.View.Classes(dst, c.source(dst)) {
			c.take(dst, v, catch[a.Addr().Is4()])
		}
	}
	slices.SortStableFunc(c.taken, func(a, b taken) int { return int(a.port) - int(b.port) })
	return c.taken
}

// take notes one class of signals of one port, where it is taken from what the
// catch-all would do.
func (c *stateCheck) take(dst netip.AddrPort, v xds.Verdict, catch []xds.Verdict) {
	if v.Class == nil || limited(*v.Class) {
		return
	}
	kind := KindOf(sameClass(catch, v.Class.Kind), v)
	if kind == none {
		return
	}
	class := *v.Class
	for i := range c.taken {
		t := &c.taken[i]
		if t.port != dst.Port() || t.kind != kind || sideKey(SideOf(t.after)) != sideKey(SideOf(v)) {
			continue
		}
		if t.dst == dst && t.signals != nil { // the other family has the same classes
			if t.signals = append(t.signals, class); everySignal(t.signals) {
				t.signals = nil
			}
		}
		return
	}
	c.taken = append(c.taken, taken{kind: kind, wild: true, port: dst.Port(), dst: dst, listener: v.Listener, after: v, signals: []xds.Class{class}})
}

// limited reports whether a class holds only those who name something.
func limited(k xds.Class) bool { return named(k) || len(k.ALPN) > 0 || k.Guard != "" }

// catchAll is what happens to a port that no listener names, per class; nil where
// nothing takes such connections of the family (a gateway): its listeners capture
// nothing.
func (c *stateCheck) catchAll(wild []netip.AddrPort, v4 bool) []xds.Verdict {
	used := map[uint16]bool{}
	for _, a := range wild {
		used[a.Port()] = true
	}
	for port := uint16(1); port != 0; port++ {
		dst := netip.AddrPortFrom(strangers[v4], port)
		if used[port] {
			continue
		}
		vs := c.View.Classes(dst, c.source(dst))
		if len(vs) > 0 && slices.Contains([]family{passes, blocked, served}, families[vs[0].Kind]) {
			return vs
		}
		return nil
	}
	return nil
}

// sameClass is the verdict for a kind of signal that names nothing.
func sameClass(vs []xds.Verdict, kind xds.SignalKind) xds.Verdict {
	for _, v := range vs {
		if v.Class == nil || v.Class.Kind == kind && !limited(*v.Class) {
			return v
		}
	}
	return vs[0]
}

// source is the sidecar's own address, where it is of the family of dst.
func (c *stateCheck) source(dst netip.AddrPort) netip.Addr {
	if c.Node.IP.IsValid() && c.Node.IP.Is4() == dst.Addr().Is4() {
		return c.Node.IP
	}
	return netip.Addr{}
}

// finding is what all findings about a port have in common; kind is that of the
// events whose remedies help.
func (c *stateCheck) finding(t taken, kind xds.EventKind, sentence string) Finding {
	side := SideOf(t.after)
	f := Finding{
		Ports: strconv.Itoa(int(t.port)), Witness: t.dst.String(), Signals: t.signals, Verdict: &side, Owner: ask(c.View, t.after),
		Resource: &xds.Resource{Type: xds.ListenerType, Name: t.listener}, Summary: sentence,
	}
	f.Remedies = c.remedies(kind, f, t.after)
	return f
}

// whole is the subject of sentences about a whole port.
func (t taken) whole() string {
	s := fmt.Sprintf("port %d: every destination without a listener of its own", t.port)
	if t.signals != nil {
		s += " (" + signalWords(t.signals) + ")"
	}
	return s
}

func signalWords(ks []xds.Class) string {
	var words string
	for i, k := range ks {
		if i > 0 {
			words += ", "
		}
		words += string(k.Kind)
		if len(k.HostsNot)+len(k.SNINot) > 0 {
			words += " to any other name"
		}
	}
	return words
}

func deadCaptures(c *stateCheck) []Finding {
	var out []Finding
	for _, t := range c.takes() {
		if t.kind == xds.EvDeadCapture {
			out = append(out, c.finding(t, xds.EvStanding, t.whole()+" goes to "+clause(SideOf(t.after))+" instead of passing through"))
		}
	}
	return out
}

func liveCaptures(c *stateCheck) []Finding {
	var out []Finding
	for _, t := range c.takes() {
		if t.kind != xds.EvCapture {
			continue
		}
		f := c.finding(t, xds.EvStanding, t.whole()+" goes to "+clause(SideOf(t.after))+" instead of passing through")
		if t.after.Kind == xds.LocalReply { // every HTTP port may refuse HTTP/1.0 so
			f.Severity = xds.Low
		}
		if harmless(trait{shift: xds.Shift{After: t.after}}) {
			f.Severity = xds.Info
			f.Summary = fmt.Sprintf("port %d: what passes through is counted as %s; it still reaches the address it was made to", t.port, clause(SideOf(t.after)))
			f.Remedies = nil
		}
		out = append(out, f)
	}
	return out
}

func bypasses(c *stateCheck) []Finding {
	var out []Finding
	for _, t := range c.takes() {
		if t.kind != xds.EvOpened {
			continue
		}
		f := c.finding(t, xds.EvStanding, t.whole()+" goes to "+clause(SideOf(t.after))+" instead of being blocked")
		if t.after.Kind == xds.Passthrough || t.after.Target == "original-dst" {
			f.Severity = xds.Critical
		}
		out = append(out, f)
	}
	return out
}

func sniffedPorts(c *stateCheck) []Finding {
	var out []Finding
	for _, t := range c.takes() {
		if t.kind == xds.EvStalled {
			out = append(out, c.stall(t, fmt.Sprintf("port %d: %s waits for the client to speak first, whoever the connection is for", t.port, listener(SideOf(t.after)))))
		}
	}
	return out
}

// knownStalls looks at whole ports, and at single addresses too: a service of its
// own that nobody can talk to.
func knownStalls(c *stateCheck) []Finding {
	var out []Finding
	for _, t := range append(slices.Clone(c.takes()), c.singleStalls()...) {
		if t.kind != xds.EvStalled || !slices.Contains(serverFirstPorts, int(t.port)) {
			continue
		}
		who := fmt.Sprintf("port %d: every destination without a listener of its own", t.port)
		if !t.wild {
			who = t.dst.String()
		}
		f := c.stall(t, fmt.Sprintf("%s hangs when the server speaks first, as is usual on this port: %s waits for the client", who, listener(SideOf(t.after))))
		if !t.wild {
			f.Severity = xds.Medium
		}
		out = append(out, f)
	}
	return out
}

// stall is a finding about an inspector. It has no owner of its own: it is there
// because of the one service behind the listener, if it is one.
func (c *stateCheck) stall(t taken, sentence string) Finding {
	f := c.finding(t, xds.EvStalled, sentence)
	f.Owner = c.behind(t.listener)
	f.Remedies = c.remedies(xds.EvStalled, f, t.after)
	if !t.wild { // nobody is disturbed but its own clients
		s := situationOf(xds.Event{Kind: xds.EvStalled, Ports: f.Ports, Owner: f.Owner}, xds.Shift{}, c.Node)
		f.Remedies = []xds.Remedy{detectionTimeout(s), excludePort(s)}
		if hasOwner(s) {
			f.Remedies = append([]xds.Remedy{nameProtocol(s)}, f.Remedies...)
		}
	}
	return f
}

// behind is the owner of the clusters that a listener leads to, nil for several.
func (c *stateCheck) behind(listener string) *xds.Owner {
	d, ok := c.Snapshot.Lookup(xds.ListenerType, listener)
	if !ok {
		return nil
	}
	var out *xds.Owner
	for _, r := range c.clustersOf(d) {
		o := ask(c.View, xds.Verdict{Cluster: r.cluster})
		switch {
		case o == nil:
		case out != nil && ownerKey(o) != ownerKey(out):
			return nil
		default:
			out = o
		}
	}
	return out
}

func (c *stateCheck) singleStalls() []taken {
	var out []taken
	for _, d := range c.Snapshot.All(xds.ListenerType) {
		l, err := decode.As[*listenerv3.Listener](c.Cache, d)
		if err != nil || ownBusiness(l) {
			continue
		}
		dst, ok := oneAddress(l)
		if !ok || !slices.Contains(serverFirstPorts, int(dst.Port())) {
			continue
		}
		v := c.View.Resolve(dst, c.source(dst), xds.Signal{Kind: xds.ServerFirst})
		if v.Kind == xds.Stall && v.Listener == l.GetName() {
			out = append(out, taken{kind: xds.EvStalled, port: dst.Port(), dst: dst, listener: l.GetName(), after: v, signals: []xds.Class{{Kind: xds.ServerFirst}}})
		}
	}
	return out
}

// oneAddress is the address of a listener that is not for any address.
func oneAddress(l *listenerv3.Listener) (netip.AddrPort, bool) {
	sa := l.GetAddress().GetSocketAddress()
	ip, err := netip.ParseAddr(sa.GetAddress())
	if err != nil || ip.IsUnspecified() || ip.IsLoopback() || sa.GetPortValue() == 0 || sa.GetPortValue() > 1<<16-1 {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(sa.GetPortValue())), true
}
