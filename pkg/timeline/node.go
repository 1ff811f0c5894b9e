package timeline

import (
	"net/netip"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// node is what a sidecar told about itself, nil when it is not known. The same
// digest gives the same pointer, by which compiled views are shared.
func (w *Walk) node(d xds.Digest) *corev3.Node {
	if d.IsZero() || w.cfg.Bodies == nil {
		return nil
	}
	if n, ok := w.nodes[d]; ok {
		return n
	}
	var n *corev3.Node
	if b, ok := w.cfg.Bodies(d); ok {
		n = new(corev3.Node)
		if proto.Unmarshal(b, n) != nil {
			n = nil
		}
	}
	w.nodes[d] = n
	return n
}

// judged is a node as the judge wants it.
func judged(id xds.Sidecar, n *corev3.Node) judge.Node {
	meta := n.GetMetadata().GetFields()
	out := judge.Node{Namespace: meta["NAMESPACE"].GetStringValue(), Labels: map[string]string{}}
	for k, v := range meta["LABELS"].GetStructValue().GetFields() {
		out.Labels[k] = v.GetStringValue()
	}
	out.DNSCapture = meta["DNS_CAPTURE"].GetStringValue() == "true" || meta["DNS_CAPTURE"].GetBoolValue()
	out.IP, _ = netip.ParseAddr(id.IP())
	if out.Namespace == "" && id.Istio() {
		_, out.Namespace, _ = strings.Cut(id.Name(), ".")
	}
	return out
}
