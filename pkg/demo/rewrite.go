package demo

import (
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// The addresses of the story. Recorded addresses become loopback ones, so that
// no root and no network is needed.
const (
	external = "127.10.13.110:3306"
	inMesh   = "127.20.0.50:3306"
)

// loopback moves a recorded private address onto loopback, host part kept.
func loopback(ip string) string {
	for _, p := range []string{"10.", "172."} {
		if rest, ok := strings.CutPrefix(ip, p); ok {
			return "127." + rest
		}
	}
	return ip
}

// rewrite returns copies of one stage's resources for this machine; port is the
// one on which virtualOutbound listens.
func rewrite(in []proto.Message, port uint32) ([]proto.Message, error) {
	var out []proto.Message
	for _, m := range in {
		m = proto.Clone(m)
		if l, ok := m.(*listenerv3.Listener); ok {
			if l.GetName() == "virtualInbound" {
				continue
			}
			if err := rewriteListener(l, port); err != nil {
				return nil, err
			}
		}
		rewriteAddresses(m)
		out = append(out, m)
	}
	return out, nil
}

// rewriteListener lets virtualOutbound learn the destination from a PROXY
// protocol header, which restores it just as a redirected socket does
// (source/extensions/filters/listener/proxy_protocol/proxy_protocol.cc).
func rewriteListener(l *listenerv3.Listener, port uint32) error {
	if l.GetName() != "virtualOutbound" {
		return nil
	}
	pp, err := anypb.New(&proxyprotocolv3.ProxyProtocol{})
	if err != nil {
		return err
	}
	sock := l.GetAddress().GetSocketAddress()
	sock.Address, sock.PortSpecifier = "127.0.0.1", &corev3.SocketAddress_PortValue{PortValue: port}
	l.ListenerFilters = slices.Insert(l.ListenerFilters, 0, &listenerv3.ListenerFilter{
		Name:       "envoy.filters.listener.proxy_protocol",
		ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: pp},
	})
	return nil
}

func rewriteAddresses(m proto.Message) {
	switch m := m.(type) {
	case *listenerv3.Listener:
		rewriteAddress(m.GetAddress())
	case *clusterv3.Cluster:
		rewriteAssignment(m.GetLoadAssignment())
	case *endpointv3.ClusterLoadAssignment:
		rewriteAssignment(m)
	}
}

func rewriteAssignment(a *endpointv3.ClusterLoadAssignment) {
	for _, l := range a.GetEndpoints() {
		for _, e := range l.GetLbEndpoints() {
			rewriteAddress(e.GetEndpoint().GetAddress())
		}
	}
}

func rewriteAddress(a *corev3.Address) {
	if s := a.GetSocketAddress(); s != nil {
		s.Address = loopback(s.Address)
	}
}
