package traffic

import (
	"strings"

	fstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	nstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// tcpProxy ends a chain at a cluster (source/common/tcp_proxy/tcp_proxy.cc).
type tcpProxy struct {
	legs     []leg
	tunnels  bool
	onDemand bool
	waits    bool // connects upstream only when the client has sent something
	unsure   string
}

// leg is one of the clusters that a connection or request may go to.
type leg struct {
	cluster  string
	weight   uint32
	criteria criteria // the subset that it asks for
}

func compileTCP(m *tcpv3.TcpProxy, refs *references) networkFilter {
	t := &tcpProxy{tunnels: m.GetTunnelingConfig() != nil, onDemand: m.GetOnDemand().GetOdcdsConfig() != nil}
	asks := criteriaOf(m.GetMetadataMatch())
	if w := m.GetWeightedClusters(); w != nil {
		for _, c := range w.GetClusters() {
			t.legs = append(t.legs, leg{c.GetName(), c.GetWeight(), asks.with(criteriaOf(c.GetMetadataMatch()))})
		}
	} else {
		t.legs = []leg{{m.GetCluster(), 0, asks}}
	}
	for _, l := range t.legs {
		refs.cluster(l.cluster)
	}
	switch m.GetUpstreamConnectMode() {
	case tcpv3.UpstreamConnectMode_IMMEDIATE:
	case tcpv3.UpstreamConnectMode_ON_DOWNSTREAM_DATA:
		t.waits = true
	default:
		t.unsure = "upstream_connect_mode " + m.GetUpstreamConnectMode().String() + " is not evaluated"
	}
	if len(unknownField(m, tcpLegacyConfig)) > 0 {
		t.unsure = "tcp_proxy deprecated_v1 is not evaluated"
	}
	return t
}

// tcpLegacyConfig is the number of deprecated_v1 in xDS v2's TcpProxy.
const tcpLegacyConfig = 6

func (t *tcpProxy) apply(x *conn) (xds.Verdict, bool) {
	x.step("tcp_proxy")
	switch {
	case t.unsure != "":
		return unknown(t.unsure), true
	case t.waits && x.f.size == 0:
		return xds.Verdict{Kind: xds.Stall, Reason: "tcp_proxy connects only when the client has sent something"}, true
	}
	legs := t.legs
	if x.cluster != "" {
		legs = []leg{{cluster: x.cluster}}
	}
	v := x.legs(legs)
	if v.Kind == xds.NoCluster && t.onDemand {
		return unknown("cluster " + v.Cluster + " is fetched on demand"), true
	}
	if x.f.unfinished() && (v.Kind == xds.Service || v.Kind == xds.Passthrough) {
		v.Kind, v.Reason = xds.Unknown, "the first flight is an unfinished request or handshake: what happens is up to whoever gets it"
	}
	if t.tunnels && (v.Kind == xds.Service || v.Kind == xds.Passthrough) {
		v.Kind, v.Target, v.Inspection = xds.Tunnel, "", ""
	}
	return v, true
}

func (*tcpProxy) points(*View, *facets) {}

func unknown(reason string) xds.Verdict { return xds.Verdict{Kind: xds.Unknown, Reason: reason} }

// The filter state keys that decide about the upstream.
const (
	keyCluster     = "envoy.tcp_proxy.cluster"
	keyOriginalDst = "envoy.network.transport_socket.original_dst_address"
)

// filterState sets filter state when a connection starts
// (source/extensions/filters/network/set_filter_state).
type filterState struct {
	cluster, originalDst string
	unsure               string
}

// harmlessKeys change what goes over the upstream connection, not where it goes.
var harmlessKeys = map[string]bool{
	"envoy.network.upstream_server_name": true, "envoy.network.application_protocols": true,
	"envoy.network.upstream_subject_alt_names": true, "envoy.network.network_namespace": false,
}

func compileFilterState(m *nstatev3.Config, refs *references) networkFilter {
	s := &filterState{}
	for _, v := range append(m.GetOnNewConnection(), m.GetOnDownstreamTlsHandshake()...) {
		s.value(v, refs)
	}
	return s
}

func (s *filterState) value(v *fstatev3.FilterStateValue, refs *references) {
	key := v.GetObjectKey()
	if key == "" {
		key = v.GetFactoryKey()
	}
	val := v.GetFormatString().GetTextFormatSource().GetInlineString()
	if old := v.GetFormatString().GetTextFormat(); old != "" {
		val = old
	}
	computed := strings.Contains(val, "%")
	switch {
	case key == keyCluster && !computed:
		s.cluster = val
		refs.cluster(val)
	case key == keyOriginalDst && !computed:
		s.originalDst = val
	case strings.HasPrefix(key, "envoy.") && !harmlessKeys[key]:
		s.unsure = "set_filter_state of " + key + " is not evaluated"
	}
}

func (s *filterState) apply(x *conn) (xds.Verdict, bool) {
	if s.unsure != "" {
		return unknown(s.unsure), true
	}
	if s.cluster != "" {
		x.cluster = s.cluster
	}
	if s.originalDst != "" {
		x.originalDst = s.originalDst
	}
	return xds.Verdict{}, false
}

func (*filterState) points(*View, *facets) {}
