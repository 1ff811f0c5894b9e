package diff

import (
	"fmt"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const hcm = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager."

// listenerLists: chains are found by what they match, never by order or name
// (source/common/listener_manager/filter_chain_manager_impl.cc); filters run in
// order.
var listenerLists = table{
	"envoy.config.listener.v3.Listener.filter_chains":                 {key: chainKey, set: true},
	"envoy.config.listener.v3.Listener.listener_filters":              {key: byName},
	"envoy.config.listener.v3.Listener.additional_addresses":          {set: true},
	"envoy.config.listener.v3.FilterChain.filters":                    {key: byName},
	"envoy.config.listener.v3.FilterChainMatch.prefix_ranges":         {set: true},
	"envoy.config.listener.v3.FilterChainMatch.source_prefix_ranges":  {set: true},
	"envoy.config.listener.v3.FilterChainMatch.source_ports":          {set: true},
	"envoy.config.listener.v3.FilterChainMatch.server_names":          {set: true},
	"envoy.config.listener.v3.FilterChainMatch.application_protocols": {set: true},
	hcm + "http_filters":    {key: byName},
	hcm + "upgrade_configs": {key: upgradeKey, set: true},
}

// chainKey names a chain by its match: match=10.0.0.0/8 sni=w.ex, or match=all.
func chainKey(m protoreflect.Message) string {
	c, ok := m.Interface().(*listenerv3.FilterChain)
	if !ok {
		return ""
	}
	return "match=" + matchText(c.GetFilterChainMatch())
}

func matchText(m *listenerv3.FilterChainMatch) string {
	var p []string
	say := func(word string, list []string) {
		if len(list) > 0 {
			list = slices.Clone(list)
			slices.Sort(list)
			p = append(p, word+strings.Join(list, ","))
		}
	}
	if port := m.GetDestinationPort(); port != nil {
		p = append(p, fmt.Sprintf("port=%d", port.GetValue()))
	}
	say("", ranges(m.GetPrefixRanges()))
	say("sni=", m.GetServerNames())
	if t := m.GetTransportProtocol(); t != "" {
		p = append(p, t)
	}
	say("alpn=", m.GetApplicationProtocols())
	say("direct=", ranges(m.GetDirectSourcePrefixRanges()))
	if t := m.GetSourceType(); t != listenerv3.FilterChainMatch_ANY {
		p = append(p, "source="+t.String())
	}
	say("from=", ranges(m.GetSourcePrefixRanges()))
	say("fromPorts=", ports(m.GetSourcePorts()))
	if len(p) == 0 {
		return "all"
	}
	return strings.Join(p, " ")
}

func ranges(rs []*corev3.CidrRange) []string {
	var out []string
	for _, r := range rs {
		out = append(out, fmt.Sprintf("%s/%d", r.GetAddressPrefix(), r.GetPrefixLen().GetValue()))
	}
	return out
}

func ports(list []uint32) []string {
	var out []string
	for _, p := range list {
		out = append(out, fmt.Sprint(p))
	}
	return out
}

func upgradeKey(m protoreflect.Message) string { return text(m, "upgrade_type") }
