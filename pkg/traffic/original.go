package traffic

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// originalDest dials what the client dialled, unless something overrides it
// (source/extensions/clusters/original_dst/original_dst_cluster.cc).
func (x *conn) originalDest(c *cluster) xds.Verdict {
	dst := x.dst
	out := xds.Verdict{Kind: xds.Service, Target: "original-dst", PortOverride: c.override}
	overridden := false
	switch {
	case x.originalDst != "":
		ap, err := netip.ParseAddrPort(x.originalDst)
		if err != nil {
			return unknown("filter state overrides the destination with " + strconv.Quote(x.originalDst))
		}
		dst, overridden = ap, true
	case c.metaKey:
		return unknown("cluster " + c.name + ": request metadata may name the destination")
	case c.httpHeader != "" && x.req != nil:
		if val, ok := x.req.header(c.httpHeader); ok {
			if ap, err := netip.ParseAddrPort(val); err == nil {
				dst, overridden = ap, true
			}
		}
	}
	if x.in.lost && !overridden {
		return xds.Verdict{Kind: xds.NoEndpoints, Reason: "nothing restored the destination"}
	}
	if !dst.IsValid() {
		dst = netip.AddrPort{}
	} else if c.override != 0 {
		dst = netip.AddrPortFrom(dst.Addr(), uint16(c.override))
	}
	out.Transport = c.socketFor(host{})
	if strings.HasPrefix(out.Transport, "?") {
		return unknown("cluster " + c.name + ": transport socket " + out.Transport[1:] + " is not evaluated")
	}
	if dst.IsValid() {
		out.Endpoints = []xds.Endpoint{{Address: dst.String()}}
	}
	if !overridden && x.v.passesThrough(c, out) {
		out.Kind, out.Target = xds.Passthrough, ""
	}
	return out
}

// passesThrough tells the cluster that lets traffic through as if no proxy were
// there from that of a service of type ORIGINAL_DST: it has Istio's name or is
// where virtualOutbound ends, no service is in its metadata, and it changes neither port nor bytes.
func (v *View) passesThrough(c *cluster, vd xds.Verdict) bool {
	if vd.PortOverride != 0 || vd.Transport != "" || c.service || hostOf(c.name) != "" {
		return false
	}
	return c.name == "PassthroughCluster" || c.name == v.catchAll()
}

// catchAll is the cluster that virtualOutbound leads to when nothing else claims
// a connection.
func (v *View) catchAll() string {
	v.passOnce.Do(func() { v.passName = v.keys().catchAll() })
	return v.passName
}

func (k keyView) catchAll() string {
	for _, vo := range []*listener{k.vo4, k.vo6} {
		if n := vo.lastCluster(); n != "" {
			return n
		}
	}
	return ""
}

// lastCluster is the cluster of the chain that takes what no other chain does.
func (l *listener) lastCluster() string {
	if l == nil {
		return ""
	}
	c := l.def
	for _, x := range l.chains {
		if c == nil && x.match.String() == "match all" {
			c = x
		}
	}
	if c == nil {
		return ""
	}
	for _, f := range c.filters {
		if t, ok := f.(*tcpProxy); ok && len(t.legs) == 1 {
			return t.legs[0].cluster
		}
	}
	return ""
}
