package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
)

// The columns and words below are those of `istioctl proxy-config`
// (istioctl/pkg/writer/envoy/configdump), so that eyes and scripts find them.

// listenerView prints listeners.
type listenerView struct {
	address, kind string
	port          uint32
}

func (v listenerView) header() []string {
	return []string{"ADDRESSES", "PORT", "MATCH", "DESTINATION"}
}

func (v listenerView) keep(m proto.Message) bool {
	l, ok := m.(*listenerv3.Listener)
	switch {
	case !ok:
		return false
	case v.address != "" && !slices.Contains(listenerAddresses(l), v.address):
		return false
	case v.port != 0 && l.GetAddress().GetSocketAddress().GetPortValue() != v.port:
		return false
	}
	return v.kind == "" || strings.EqualFold(v.kind, listenerKind(l))
}

func (v listenerView) compare(a, b proto.Message) int {
	x, y := a.(*listenerv3.Listener), b.(*listenerv3.Listener)
	return cmp.Or(
		cmp.Compare(x.GetAddress().GetSocketAddress().GetPortValue(), y.GetAddress().GetSocketAddress().GetPortValue()),
		cmp.Compare(listenerAddresses(x)[0], listenerAddresses(y)[0]),
		cmp.Compare(listenerKind(x), listenerKind(y)),
	)
}

func (v listenerView) rows(m proto.Message) [][]string {
	l := m.(*listenerv3.Listener)
	type chain struct{ match, dest string }
	var cs []chain
	for _, fc := range chains(l) {
		cs = append(cs, chain{chainMatch(fc.GetFilterChainMatch()), chainDestination(fc)})
	}
	slices.SortStableFunc(cs, func(a, b chain) int { return cmp.Compare(b.dest, a.dest) })
	var out [][]string
	for _, c := range cs {
		out = append(out, []string{strings.Join(listenerAddresses(l), ","), portOf(l), c.match, c.dest})
	}
	return out
}

func portOf(l *listenerv3.Listener) string {
	return strconv.FormatUint(uint64(l.GetAddress().GetSocketAddress().GetPortValue()), 10)
}

func chains(l *listenerv3.Listener) []*listenerv3.FilterChain {
	cs := slices.Clone(l.GetFilterChains())
	if d := l.GetDefaultFilterChain(); d != nil {
		cs = append(cs, d)
	}
	return cs
}

func listenerAddresses(l *listenerv3.Listener) []string {
	out := []string{l.GetAddress().GetSocketAddress().GetAddress()}
	if pipe := l.GetAddress().GetPipe(); pipe != nil {
		out[0] = pipe.GetPath()
	}
	for _, a := range l.GetAdditionalAddresses() {
		out = append(out, a.GetAddress().GetSocketAddress().GetAddress())
	}
	return out
}

// listenerKind is HTTP, TCP, HTTP+TCP or UNKNOWN, the values of --type.
func listenerKind(l *listenerv3.Listener) string {
	http, tcp := false, false
	for _, fc := range chains(l) {
		for _, f := range fc.GetFilters() {
			switch m := filterConfig(f).(type) {
			case *hcmv3.HttpConnectionManager:
				http = true
			case *tcpv3.TcpProxy:
				tcp = tcp || m.GetCluster() != blackHole
			}
		}
	}
	switch {
	case http && tcp:
		return "HTTP+TCP"
	case http:
		return "HTTP"
	case tcp:
		return "TCP"
	}
	return "UNKNOWN"
}

const blackHole = "BlackHoleCluster"

// filterConfig opens a filter; nil when it is of a type that is not known.
func filterConfig(f *listenerv3.Filter) proto.Message {
	if f.GetTypedConfig() == nil {
		return nil
	}
	m, err := decode.Any(f.GetTypedConfig())
	if err != nil {
		return nil
	}
	return m
}

// protocolSets are lists of application protocols that have a name of their own.
var protocolSets = map[string]string{
	"http/1.0,http/1.1,h2c,istio-http/1.0,istio-http/1.1,istio-h2": "HTTP TLS",
	"istio,istio-http/1.0,istio-http/1.1,istio-h2":                 "Istio HTTP Plain",
	"istio-peer-exchange,istio":                                    "TCP TLS",
	"http/1.0,http/1.1,h2c":                                        "HTTP",
}

func chainMatch(m *listenerv3.FilterChainMatch) string {
	var parts []string
	if len(m.GetServerNames()) > 0 {
		parts = append(parts, "SNI: "+strings.Join(m.GetServerNames(), ","))
	}
	if m.GetTransportProtocol() != "" {
		parts = append(parts, "Trans: "+m.GetTransportProtocol())
	}
	if apps := strings.Join(m.GetApplicationProtocols(), ","); apps != "" {
		if name, ok := protocolSets[apps]; ok {
			apps = name
		}
		parts = append(parts, "App: "+apps)
	}
	if a := chainAddress(m); a != "" {
		parts = append(parts, "Addr: "+a)
	}
	if len(parts) == 0 {
		return "ALL"
	}
	return strings.Join(parts, "; ")
}

func chainAddress(m *listenerv3.FilterChainMatch) string {
	port := ""
	if m.GetDestinationPort() != nil {
		port = fmt.Sprintf(":%d", m.GetDestinationPort().GetValue())
	}
	var prefixes []string
	for _, p := range m.GetPrefixRanges() {
		prefixes = append(prefixes, fmt.Sprintf("%s/%d", p.GetAddressPrefix(), p.GetPrefixLen().GetValue()))
	}
	switch {
	case len(prefixes) > 0:
		return strings.Join(prefixes, ",") + port
	case port != "":
		return "*" + port
	}
	return ""
}

func chainDestination(fc *listenerv3.FilterChain) string {
	for _, f := range fc.GetFilters() {
		switch m := filterConfig(f).(type) {
		case *hcmv3.HttpConnectionManager:
			return httpDestination(m)
		case *tcpv3.TcpProxy:
			if d := tcpDestination(m); d != "" {
				return d
			}
		}
	}
	return "Non-HTTP/Non-TCP"
}

func httpDestination(m *hcmv3.HttpConnectionManager) string {
	switch {
	case m.GetRouteConfig() != nil:
		return inlineDestination(m.GetRouteConfig())
	case m.GetRds().GetRouteConfigName() != "":
		return "Route: " + m.GetRds().GetRouteConfigName()
	}
	return "HTTP"
}

func tcpDestination(m *tcpv3.TcpProxy) string {
	switch {
	case m.GetCluster() == blackHole:
		return ""
	case len(m.GetWeightedClusters().GetClusters()) > 0:
		var names []string
		for _, c := range m.GetWeightedClusters().GetClusters() {
			names = append(names, fmt.Sprintf("%s (%d)", c.GetName(), c.GetWeight()))
		}
		return "Clusters: " + strings.Join(names, ", ")
	}
	return clusterDestination(m.GetCluster())
}

// clusterDestination names a cluster; those of Istio that say what they are
// stand alone.
func clusterDestination(name string) string {
	if strings.Contains(name, "Cluster") {
		return name
	}
	return "Cluster: " + name
}

func inlineDestination(rc *routev3.RouteConfiguration) string {
	if name, ok := matchAllCluster(rc); ok {
		return clusterDestination(name)
	}
	var vhosts []string
	for _, vh := range rc.GetVirtualHosts() {
		domains := strings.Join(vh.GetDomains(), "/")
		var routes []string
		for _, r := range vh.GetRoutes() {
			routes = append(routes, routeMatch(r.GetMatch()))
		}
		text := strings.Join(routes, ", ")
		if domains != "*" {
			text = domains + " " + text
		}
		vhosts = append(vhosts, text)
	}
	return "Inline Route: " + strings.Join(vhosts, "; ")
}

// matchAllCluster finds the cluster of a route that sends everything to it.
func matchAllCluster(rc *routev3.RouteConfiguration) (string, bool) {
	vhs := rc.GetVirtualHosts()
	if len(vhs) != 1 || !slices.Equal(vhs[0].GetDomains(), []string{"*"}) || len(vhs[0].GetRoutes()) != 1 {
		return "", false
	}
	r := vhs[0].GetRoutes()[0]
	name := r.GetRoute().GetCluster()
	return name, name != "" && r.GetMatch().GetPrefix() == "/"
}
