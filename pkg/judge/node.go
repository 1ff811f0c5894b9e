package judge

import (
	"net/netip"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// NodeOf is what judging needs of a discovery node; n may be nil.
func NodeOf(id xds.Sidecar, n *corev3.Node) Node {
	meta := n.GetMetadata().GetFields()
	out := Node{Namespace: meta["NAMESPACE"].GetStringValue(), Labels: map[string]string{}}
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
