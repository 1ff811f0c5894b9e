package traffic

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// istioStatic are the clusters that Istio's bootstrap brings; they are never in a push.
var istioStatic = map[string]bool{"prometheus_stats": true, "agent": true, "sds-grpc": true, "xds-grpc": true, "zipkin": true}

// cluster finds a cluster in the snapshot or the bootstrap, nil if it is in neither.
func (v *View) cluster(name string) *cluster {
	if d, ok := v.snap.Lookup(xds.ClusterType, name); ok {
		if d == xds.Bodyless {
			return &cluster{name: name, broken: "its body was not recorded"}
		}
		return v.engine.cluster(d)
	}
	return v.static.clusters[name]
}

// Cluster says what a connection that gets to the cluster of that name would meet,
// whatever brought it there: the kind, target, transport and endpoints of a
// verdict. It is "no-cluster" or "unknown" where there is none.
func (v *View) Cluster(name string) xds.Verdict {
	x := &conn{v: v, l: &listener{}, f: &flight{}}
	return finish(x.upstream(leg{cluster: name}))
}

// absent is the verdict for a cluster that is nowhere.
func (v *View) absent(name string) xds.Verdict {
	out := xds.Verdict{Kind: xds.NoCluster, Cluster: name, Reason: "cluster " + strconv.Quote(name) + " does not exist"}
	switch {
	case v.static.known:
	case v.env.Istio && istioStatic[name]:
		out.Kind, out.Reason = xds.Unknown, "cluster "+name+" is static: it is not in what was recorded"
	case !v.env.Istio:
		out.Kind, out.Reason = xds.Unknown, "cluster "+strconv.Quote(name)+" may be static: the bootstrap is not known"
	}
	return out
}

// legs is the verdict of a choice among clusters: a distribution where there are
// several. Where only some of them can take traffic, the end is a matter of
// chance, and the verdict unknown.
func (x *conn) legs(legs []leg) xds.Verdict {
	if len(legs) == 1 {
		return x.upstream(legs[0])
	}
	var out, dead xds.Verdict
	path := x.path
	for i, l := range legs {
		x.path = nil
		vd := x.upstream(l)
		if vd.Kind == xds.Unknown {
			return vd
		}
		out.Clusters = append(out.Clusters, xds.WeightedCluster{Name: l.cluster, Weight: l.weight})
		out.Endpoints = append(out.Endpoints, vd.Endpoints...)
		if i == 0 || !out.Usable() && vd.Usable() {
			out.Kind, out.Reason, out.Target, out.Transport, out.PortOverride = vd.Kind, vd.Reason, vd.Target, vd.Transport, vd.PortOverride
		}
		if !vd.Usable() {
			dead = vd
		}
		path = append(path, "cluster "+l.cluster+" (weight "+strconv.Itoa(int(l.weight))+")")
	}
	x.path = path
	if out.Usable() && dead.Kind != "" {
		out.Kind, out.Reason = xds.Unknown, "a share of the weighted clusters has no way out: "+string(dead.Kind)+" "+dead.Cluster
	}
	return out
}

// upstream is the verdict of one cluster.
func (x *conn) upstream(l leg) xds.Verdict {
	c := x.v.cluster(l.cluster)
	if c == nil {
		return x.v.absent(l.cluster)
	}
	x.step("cluster " + l.cluster)
	vd := x.dial(c, l)
	if vd.Cluster == "" {
		vd.Cluster = l.cluster
	}
	return vd
}

func (x *conn) dial(c *cluster, l leg) xds.Verdict {
	switch {
	case c.broken != "":
		return unknown("cluster " + l.cluster + ": " + c.broken)
	case c.noConn:
		return xds.Verdict{Kind: xds.NoEndpoints, Reason: "max_connections is 0"}
	case c.noPending && x.http:
		return xds.Verdict{Kind: xds.NoEndpoints, Reason: "the circuit breaker allows no request"}
	case c.noPending:
		return unknown("cluster " + l.cluster + ": a circuit breaker that allows no request is not evaluated for TCP")
	}
	switch c.kind {
	case kindOriginalDst:
		return x.originalDest(c)
	case kindDynamic:
		return x.dynamic(c)
	case kindAggregate:
		return x.aggregate(c, l.criteria)
	case kindOther:
		return unknown("cluster " + l.cluster + ": " + c.other + " is not evaluated")
	}
	return x.balanced(c, l.criteria)
}

// assignmentOf is where c's endpoints stand; nil with a reason if nothing is known.
func (v *View) assignmentOf(c *cluster) (*assignment, string) {
	if a := v.static.resolved[c.name]; a != nil && (c.kind == kindStrictDNS || c.kind == kindLogicalDNS) {
		return a, ""
	}
	if c.kind != kindEDS {
		return c.assignment, ""
	}
	d, ok := v.snap.Lookup(xds.EndpointType, c.edsName)
	switch {
	case !ok && v.snap.Len(xds.EndpointType) == 0:
		return nil, "its endpoints were not recorded"
	case !ok:
		return &assignment{factor: defaultFactor}, ""
	case d == xds.Bodyless:
		return nil, "the body of its endpoints was not recorded"
	}
	return v.engine.assignment(d), ""
}

// balanced is the verdict of a cluster that balances over endpoints of its own.
func (x *conn) balanced(c *cluster, want criteria) xds.Verdict {
	a, why := x.v.assignmentOf(c)
	if why != "" {
		return unknown("cluster " + c.name + ": " + why)
	}
	got := c.balance.choose(a, want)
	switch {
	case got.unsure != "":
		return unknown("cluster " + c.name + ": " + got.unsure)
	case x.http && a.drop >= 1_000_000:
		return xds.Verdict{Kind: xds.NoEndpoints, Reason: "drop_overloads drops every request"}
	case len(got.hosts) == 0 && c.kind == kindStatic && !x.http && !c.service:
		return xds.Verdict{Kind: xds.Blocked, Reason: "a static cluster without endpoints"}
	case len(got.hosts) == 0:
		return xds.Verdict{Kind: xds.NoEndpoints, Reason: got.reason}
	}
	if x.http && a.drop > 0 {
		x.attrs = append(x.attrs, "may-drop")
	}
	return x.endpoints(c, got.hosts)
}

func (x *conn) endpoints(c *cluster, hosts []host) xds.Verdict {
	out := xds.Verdict{Kind: xds.Service, Target: "endpoints"}
	if c.kind == kindStrictDNS || c.kind == kindLogicalDNS {
		out.Target = "dns"
		if hosts = c.resolvable(hosts); len(hosts) == 0 {
			return xds.Verdict{Kind: xds.NoEndpoints, Reason: "no name can give an address of the family"}
		}
	}
	if hosts[0].internal != "" {
		return x.internal(c, hosts)
	}
	for i, h := range hosts {
		s := c.socketFor(h)
		if strings.HasPrefix(s, "?") {
			return unknown("cluster " + c.name + ": transport socket " + s[1:] + " is not evaluated")
		}
		if i > 0 && s != out.Transport {
			s = "mixed"
		}
		out.Transport = s
		if h.internal != "" {
			return unknown("cluster " + c.name + ": internal and network endpoints are mixed")
		}
		out.Endpoints = append(out.Endpoints, xds.Endpoint{Address: h.address, Health: healthNames[h.health], Weight: h.weight})
	}
	return out
}

// resolvable drops literals of a family that the cluster does not look up.
func (c *cluster) resolvable(hosts []host) []host {
	var out []host
	for _, h := range hosts {
		if !h.named && (h.addr.Is4() && !c.v4 || h.addr.Is6() && !c.v6) {
			continue
		}
		out = append(out, h)
	}
	return out
}

// socketFor picks the transport socket of an endpoint: the first match whose
// fields the endpoint has (source/common/upstream/transport_socket_match_impl.cc).
func (c *cluster) socketFor(h host) string {
	for _, s := range c.sockets {
		if subsetOf(s.match, h.match) {
			return s.socket
		}
	}
	return c.socket
}

// internal follows endpoints that are listeners inside Envoy.
func (x *conn) internal(c *cluster, hosts []host) xds.Verdict {
	name := hosts[0].internal
	for _, h := range hosts {
		if h.internal != name {
			return unknown("cluster " + c.name + ": endpoints lead to several internal listeners")
		}
	}
	l := x.v.internalListener(name)
	if l == nil {
		return xds.Verdict{Kind: xds.NoEndpoints, Reason: "internal listener " + name + " does not exist"}
	}
	if x.depth++; x.depth > maxDepth {
		return unknown("internal listeners lead in a circle")
	}
	x.step("internal listener " + name)
	in := x.in
	x.in, x.cluster = inspected{}, ""
	vd := x.run(l)
	x.in.inspected = in.inspected || x.in.inspected
	vd.Cluster, vd.Clusters = c.name, nil
	if vd.Kind == xds.Tunnel || vd.Kind == xds.Service && hosts[0].peer != "" {
		vd.Kind = xds.Tunnel
		vd.Endpoints = peers(hosts, vd.PortOverride)
	}
	return vd
}

// peers are the real ends of a tunnel: endpoint_id names them.
func peers(hosts []host, port uint32) []xds.Endpoint {
	var out []xds.Endpoint
	for _, h := range hosts {
		addr := h.peer
		if ap, err := netip.ParseAddrPort(addr); err == nil && port != 0 {
			addr = netip.AddrPortFrom(ap.Addr(), uint16(port)).String()
		}
		out = append(out, xds.Endpoint{Address: addr, Health: healthNames[h.health], Weight: h.weight})
	}
	return out
}

// dynamic resolves the name that the client gave.
func (x *conn) dynamic(c *cluster) xds.Verdict {
	out := xds.Verdict{Kind: xds.Service, Target: "dynamic", Transport: c.socketFor(host{})}
	if strings.HasPrefix(out.Transport, "?") {
		return unknown("cluster " + c.name + ": transport socket " + out.Transport[1:] + " is not evaluated")
	}
	if !x.dynSet || x.dynHost == "" {
		return xds.Verdict{Kind: xds.NoEndpoints, Reason: "there is no name to resolve"}
	}
	addr := x.dynHost
	if x.dynPort != 0 {
		addr += ":" + strconv.Itoa(int(x.dynPort))
	}
	out.Endpoints = []xds.Endpoint{{Address: addr}}
	return out
}
