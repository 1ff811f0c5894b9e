package traffic

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Fields that xDS v2 had and v3 has not are unknown fields to the v3 types.

// The numbers of such fields (api/envoy/api/v2/cluster.proto in Envoy up to 1.17).
const (
	clusterHosts = 7
	clusterTLS   = 11
)

// unknownField returns the values of a field of m that its type does not know.
func unknownField(m proto.Message, num protowire.Number) [][]byte {
	var out [][]byte
	b := m.ProtoReflect().GetUnknown()
	for len(b) > 0 {
		n, typ, k := protowire.ConsumeTag(b)
		if k < 0 {
			return out
		}
		v := protowire.ConsumeFieldValue(n, typ, b[k:])
		if v < 0 {
			return out
		}
		if n == num && typ == protowire.BytesType {
			val, _ := protowire.ConsumeBytes(b[k:])
			out = append(out, val)
		}
		b = b[k+v:]
	}
	return out
}

// hasUnknown reports fields that the type of m does not know: they may decide.
func hasUnknown(m proto.Message) bool { return len(m.ProtoReflect().GetUnknown()) > 0 }

func legacyHosts(m *clusterv3.Cluster) []*corev3.Address {
	var out []*corev3.Address
	for _, b := range unknownField(m, clusterHosts) {
		a := new(corev3.Address)
		if proto.Unmarshal(b, a) == nil {
			out = append(out, a)
		}
	}
	return out
}

// legacySocket reads the TLS settings that v2 clusters carried themselves.
func legacySocket(m *clusterv3.Cluster) string {
	vals := unknownField(m, clusterTLS)
	if len(vals) == 0 {
		return ""
	}
	name := string(new(tlsv3.UpstreamTlsContext).ProtoReflect().Descriptor().FullName())
	a := &anypb.Any{TypeUrl: "type.googleapis.com/" + name, Value: vals[0]}
	return socketKind(&corev3.TransportSocket{Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: a}})
}
