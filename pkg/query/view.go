package query

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Node is what a sidecar told about itself, nil when it is not known. The same
// digest gives the same pointer.
func (r *Reader) Node(d xds.Digest) *corev3.Node {
	if d.IsZero() {
		return nil
	}
	if n, ok := r.nodes[d]; ok {
		return n
	}
	var n *corev3.Node
	if b, ok := r.body(d); ok {
		n = new(corev3.Node)
		if proto.Unmarshal(b, n) != nil {
			n = nil
		}
	}
	r.nodes[d] = n
	return n
}

// Env is what the evaluation of a sidecar's snapshots needs beside them.
func (r *Reader) Env(id xds.Sidecar, node xds.Digest) traffic.Env {
	env := r.env
	env.Node, env.Istio = r.Node(node), id.Istio()
	return env
}

// View compiles one of the snapshots at a point.
func (r *Reader) View(p Point, w Which) *traffic.View {
	return r.engine.View(p.Snapshot(w), r.Env(p.Sidecar, p.View.Node))
}

// SourceAddress is the sidecar's own address of the family of dst; invalid when
// it is not known.
func (r *Reader) SourceAddress(p Point, dst netip.Addr) netip.Addr {
	texts := []string{p.Sidecar.IP()}
	if n := r.Node(p.View.Node); n != nil {
		ips := n.GetMetadata().GetFields()["INSTANCE_IPS"].GetStringValue()
		texts = append(texts, strings.Split(ips, ",")...)
	}
	for _, t := range texts {
		if a, err := netip.ParseAddr(strings.TrimSpace(t)); err == nil && a.Unmap().Is4() == dst.Unmap().Is4() {
			return a.Unmap()
		}
	}
	return netip.Addr{}
}

// Uncertain lists why what is told of the point may be wrong: "#40 gap: queue
// full (LDS, CDS)".
func (p Point) Uncertain() []string {
	types := map[string][]string{}
	for typ, why := range p.View.Uncertain {
		types[why] = append(types[why], xds.ShortType(typ))
	}
	var out []string
	for why, ts := range types {
		slices.Sort(ts)
		text := fmt.Sprintf("%s (%s)", why, strings.Join(ts, ", "))
		if n, ok := p.gaps[why]; ok {
			text = fmt.Sprintf("#%d %s", n, text)
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}
