package traffic

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// intercept is what iptables redirects to Envoy before Envoy is asked, as far as
// the pod's annotations tell (tools/istio-iptables/pkg/capture/run.go). They
// come in node metadata ANNOTATIONS.
type intercept struct {
	none         bool // interceptionMode NONE: nothing is redirected
	known        bool // the node is an Istio sidecar: redirection is the rule
	excludePorts []uint16
	includePorts []uint16 // beside the ranges
	exclude      []netip.Prefix
	include      []netip.Prefix // nil = everything
	allV4, allV6 bool
	dns          bool // port 53 goes to the agent
}

const annotation = "traffic.sidecar.istio.io/"

func newIntercept(n *corev3.Node) intercept {
	r := intercept{allV4: true, allV6: true}
	meta := n.GetMetadata().GetFields()
	r.none = meta["INTERCEPTION_MODE"].GetStringValue() == "NONE"
	r.dns = meta["DNS_CAPTURE"].GetStringValue() == "true"
	r.known = strings.HasPrefix(n.GetId(), "sidecar~")
	notes := meta["ANNOTATIONS"].GetStructValue().GetFields()
	get := func(k string) string { return strings.TrimSpace(text(notes[annotation+k])) }
	r.excludePorts = portList(get("excludeOutboundPorts"))
	r.includePorts = portList(get("includeOutboundPorts"))
	r.exclude, _ = cidrList(get("excludeOutboundIPRanges"))
	if in, ok := notes[annotation+"includeOutboundIPRanges"]; ok {
		var all bool
		if r.include, all = cidrList(text(in)); !all {
			r.allV4, r.allV6 = false, false
		}
	}
	return r
}

func text(v *structpb.Value) string { return v.GetStringValue() }

func portList(s string) []uint16 {
	var out []uint16
	for _, f := range strings.Split(s, ",") {
		if n, err := strconv.ParseUint(strings.TrimSpace(f), 10, 16); err == nil {
			out = append(out, uint16(n))
		}
	}
	return out
}

func cidrList(s string) (out []netip.Prefix, all bool) {
	for _, f := range strings.Split(s, ",") {
		f = strings.TrimSpace(f)
		if f == "*" {
			all = true
		} else if p, err := netip.ParsePrefix(f); err == nil {
			out = append(out, p.Masked())
		} else if a, err := netip.ParseAddr(f); err == nil {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return out, all
}

var localhost = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// passes says why a destination never reaches virtualOutbound, "" if it does. The
// order is that of the rules in the nat OUTPUT chain.
func (r intercept) passes(dst netip.AddrPort) string {
	a := dst.Addr()
	contains := func(p netip.Prefix) bool { return p.Contains(a) }
	switch {
	case slices.Contains(r.excludePorts, dst.Port()):
		return "port " + strconv.Itoa(int(dst.Port())) + " is excluded from interception"
	case r.dns && dst.Port() == 53:
		return "DNS is captured: port 53 goes to the agent"
	case a == localhost || a == netip.IPv6Loopback():
		return "the loopback address is not intercepted"
	case slices.ContainsFunc(r.exclude, contains):
		return "the address is in a range that is excluded from interception"
	case slices.Contains(r.includePorts, dst.Port()):
		return ""
	case a.Is4() && r.allV4, a.Is6() && r.allV6, slices.ContainsFunc(r.include, contains):
		return ""
	}
	return "the address is in no range that is intercepted"
}

// points adds the addresses and ports at which interception changes.
func (r intercept) points(f *facets) {
	f.ports = append(append(f.ports, r.excludePorts...), r.includePorts...)
	if r.dns {
		f.ports = append(f.ports, 53)
	}
	f.prefixes = append(append(f.prefixes, r.exclude...), r.include...)
	f.prefixes = append(f.prefixes, netip.PrefixFrom(localhost, 32), netip.PrefixFrom(netip.IPv6Loopback(), 128))
}
