package traffic

import (
	"fmt"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	aggregatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/aggregate/v3"
	commondnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/common/dns/v3"
	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	dfpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dynamic_forward_proxy/v3"
	rawv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// clusterKind is how a cluster finds its endpoints.
type clusterKind int

const (
	kindStatic clusterKind = iota
	kindEDS
	kindStrictDNS
	kindLogicalDNS
	kindOriginalDst
	kindDynamic
	kindAggregate
	kindOther
)

// cluster is a compiled Cluster.
type cluster struct {
	name   string
	digest xds.Digest
	kind   clusterKind
	other  string // kindOther: what it is

	edsName    string      // kindEDS
	assignment *assignment // kindStatic and DNS
	members    []string    // kindAggregate
	v4, v6     bool        // DNS: an address of the other family is no host

	override   uint32 // original destination: the port that is dialled instead
	httpHeader string // ditto: a request header that may name the address
	metaKey    bool   // ditto: metadata may name the address

	balance   balance
	noConn    bool // max_connections is 0
	noPending bool
	socket    string // transport: "", tls, mtls, or "?name" where that is not known
	sockets   []socketMatch
	owner     *xds.Owner
	service   bool // Istio's metadata names a service
	broken    string
}

// socketMatch is one transport_socket_matches entry.
type socketMatch struct {
	match  map[string]*structpb.Value
	socket string
}

// Cluster types by extension name, as cluster_type gives them.
var typeNames = map[string]clusterKind{
	"envoy.cluster.static": kindStatic, "envoy.cluster.eds": kindEDS, "envoy.cluster.strict_dns": kindStrictDNS,
	"envoy.cluster.logical_dns": kindLogicalDNS, "envoy.cluster.original_dst": kindOriginalDst,
}

func compileCluster(m *clusterv3.Cluster, d xds.Digest) *cluster {
	c := &cluster{name: m.GetName(), digest: d}
	c.dnsFamily(m)
	c.discovery(m)
	c.originalDst(m)
	if c.kind == kindStatic || c.kind == kindStrictDNS || c.kind == kindLogicalDNS {
		c.assignment = compileAssignment(m.GetLoadAssignment())
		c.assignment.addLegacy(legacyHosts(m))
	}
	c.balance = compileBalance(m)
	c.limits(m)
	c.transport(m)
	c.metadata(m.GetMetadata())
	return c
}

func (c *cluster) breaks(format string, args ...any) {
	if c.broken == "" {
		c.broken = fmt.Sprintf(format, args...)
	}
}

func (c *cluster) discovery(m *clusterv3.Cluster) {
	if t := m.GetClusterType(); t != nil {
		c.custom(t)
		if c.kind == kindEDS {
			c.eds(m)
		}
		return
	}
	switch m.GetType() {
	case clusterv3.Cluster_EDS:
		c.kind = kindEDS
		c.eds(m)
	case clusterv3.Cluster_STATIC:
		c.kind = kindStatic
	case clusterv3.Cluster_STRICT_DNS:
		c.kind = kindStrictDNS
	case clusterv3.Cluster_LOGICAL_DNS:
		c.kind = kindLogicalDNS
	case clusterv3.Cluster_ORIGINAL_DST:
		c.kind = kindOriginalDst
	default:
		c.kind, c.other = kindOther, fmt.Sprintf("type %d", m.GetType())
	}
}

func (c *cluster) eds(m *clusterv3.Cluster) {
	c.edsName = m.GetEdsClusterConfig().GetServiceName()
	if c.edsName == "" || c.edsName == c.name {
		c.edsName = c.name // one string for both
	}
}

func (c *cluster) custom(t *clusterv3.Cluster_CustomClusterType) {
	if k, ok := typeNames[t.GetName()]; ok {
		c.kind = k
		return
	}
	m, err := decode.Any(t.GetTypedConfig())
	if err != nil {
		c.kind, c.other = kindOther, t.GetName()
		return
	}
	switch m := m.(type) {
	case *dfpv3.ClusterConfig:
		c.kind = kindDynamic
		if m.GetSubClustersConfig() != nil {
			c.kind, c.other = kindOther, t.GetName()+" with sub-clusters"
		}
	case *aggregatev3.ClusterConfig:
		c.kind, c.members = kindAggregate, m.GetClusters()
	case *dnsv3.DnsCluster:
		c.kind = kindStrictDNS
		if m.GetAllAddressesInSingleEndpoint() {
			c.kind = kindLogicalDNS
		}
		c.v4 = m.GetDnsLookupFamily() != commondnsv3.DnsLookupFamily_V6_ONLY
		c.v6 = m.GetDnsLookupFamily() != commondnsv3.DnsLookupFamily_V4_ONLY
	default:
		c.kind, c.other = kindOther, t.GetName()
	}
}

func (c *cluster) dnsFamily(m *clusterv3.Cluster) {
	c.v4, c.v6 = true, true
	switch m.GetDnsLookupFamily() {
	case clusterv3.Cluster_V4_ONLY:
		c.v6 = false
	case clusterv3.Cluster_V6_ONLY:
		c.v4 = false
	}
}

func (c *cluster) originalDst(m *clusterv3.Cluster) {
	o := m.GetOriginalDstLbConfig()
	c.override = o.GetUpstreamPortOverride().GetValue()
	c.metaKey = o.GetMetadataKey() != nil
	if o.GetUseHttpHeader() {
		c.httpHeader = strings.ToLower(o.GetHttpHeaderName())
		if c.httpHeader == "" {
			c.httpHeader = "x-envoy-original-dst-host"
		}
	}
}

func (c *cluster) limits(m *clusterv3.Cluster) {
	for _, t := range m.GetCircuitBreakers().GetThresholds() {
		if t.GetPriority() != corev3.RoutingPriority_DEFAULT {
			continue
		}
		c.noConn = t.GetMaxConnections() != nil && t.GetMaxConnections().GetValue() == 0
		c.noPending = t.GetMaxPendingRequests() != nil && t.GetMaxPendingRequests().GetValue() == 0 ||
			t.GetMaxRequests() != nil && t.GetMaxRequests().GetValue() == 0
	}
}

func (c *cluster) transport(m *clusterv3.Cluster) {
	c.socket = socketKind(m.GetTransportSocket())
	if m.GetTransportSocket() == nil {
		c.socket = legacySocket(m)
	}
	for _, s := range m.GetTransportSocketMatches() {
		c.sockets = append(c.sockets, socketMatch{s.GetMatch().GetFields(), socketKind(s.GetTransportSocket())})
	}
	if m.GetTransportSocketMatcher() != nil {
		c.breaks("transport_socket_matcher is not evaluated")
	}
}

// socketKind says what a transport socket does to the wire: "" nothing, tls, mtls
// where it shows a certificate, else "?" and its name.
func socketKind(ts *corev3.TransportSocket) string {
	if ts == nil || ts.GetTypedConfig() == nil && strings.HasSuffix(ts.GetName(), "raw_buffer") {
		return ""
	}
	m, err := decode.Any(ts.GetTypedConfig())
	if err != nil {
		return "?" + ts.GetName()
	}
	switch m := m.(type) {
	case *rawv3.RawBuffer:
		return ""
	case *tlsv3.UpstreamTlsContext:
		t := m.GetCommonTlsContext()
		if len(t.GetTlsCertificateSdsSecretConfigs())+len(t.GetTlsCertificates()) > 0 {
			return "mtls"
		}
		return "tls"
	}
	return wrapped(ts, m)
}

func (c *cluster) metadata(md *corev3.Metadata) {
	services := md.GetFilterMetadata()["istio"].GetFields()["services"].GetListValue().GetValues()
	c.service = len(services) > 0
	if !c.service {
		return
	}
	f := services[0].GetStructValue().GetFields()
	o := &xds.Owner{Kind: "Service", Name: f["name"].GetStringValue(), Host: f["host"].GetStringValue(), Namespace: f["namespace"].GetStringValue()}
	if h := hostOf(c.name); h == o.Host {
		o.Host = h // a part of the name: no string of its own
	}
	if o.Name == o.Host {
		// Istio puts the host in place of the name of a ServiceEntry.
		o.Kind, o.Name = "ServiceEntry", ""
	}
	c.owner = o
}
