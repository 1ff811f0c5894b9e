package timeline

import (
	"net/netip"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// node is what the sidecar told about itself, nil when it is not known. It is one
// pointer until it changes, by which compiled views are shared.
func (s *side) node() *corev3.Node {
	d := s.view().Node
	if d == s.nodeDigest {
		return s.nodeMessage
	}
	s.nodeDigest, s.nodeMessage = d, nil
	if d.IsZero() || s.w.cfg.Bodies == nil {
		return nil
	}
	if b, ok := s.w.cfg.Bodies(d); ok {
		n := new(corev3.Node)
		if proto.Unmarshal(b, n) == nil {
			s.nodeMessage = n
		}
	}
	return s.nodeMessage
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
