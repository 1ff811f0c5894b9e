package configdump

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Content is what a config_dump tells of one sidecar.
type Content struct {
	Node *corev3.Node // nil: not known
	// Static holds the clusters and listeners of the bootstrap.
	Static []proto.Message
	// Active takes traffic; Warming was accepted and waits for what it depends on.
	Active, Warming []Resource
	Rejected        []Refused
	// Versions is the version of the last push, by type URL.
	Versions map[string]string
}

// Resource is one resource as it was pushed.
type Resource struct {
	Type, Name string
	Version    string
	Updated    time.Time
	Body       *anypb.Any
}

// Refused is a version that Envoy rejected.
type Refused struct {
	Type, Name, Message string
	Time                time.Time
}

// Resolver finds the types inside Any, as protojson asks for them.
type Resolver interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
}

// Write gives a config_dump in the form of Envoy's /config_dump?include_eds, which
// `istioctl proxy-config --file` reads as Read does. resolver finds the types
// inside Any.
func Write(c Content, resolver Resolver) ([]byte, error) {
	d := dumper{c: c}
	var configs []*anypb.Any
	for _, m := range []proto.Message{d.bootstrap(), d.clusters(), d.endpoints(), d.listeners(), d.scopes(), d.routes(), d.extensions(), d.secrets()} {
		if m == nil {
			continue
		}
		a, err := anypb.New(m)
		if err != nil {
			return nil, fmt.Errorf("packing %s: %w", m.ProtoReflect().Descriptor().Name(), err)
		}
		configs = append(configs, a)
	}
	b, err := protojson.MarshalOptions{UseProtoNames: true, Resolver: resolver}.Marshal(&adminv3.ConfigDump{Configs: configs})
	if err != nil {
		return nil, fmt.Errorf("writing the dump as JSON: %w", err)
	}
	var out bytes.Buffer // protojson varies its spaces on purpose
	if err := json.Compact(&out, b); err != nil {
		return nil, fmt.Errorf("writing the dump as JSON: %w", err)
	}
	return out.Bytes(), nil
}

// dumper makes the sections.
type dumper struct{ c Content }

func (d dumper) of(rs []Resource, typ string) []Resource {
	var out []Resource
	for _, r := range rs {
		if xds.Canonical(r.Type) == typ {
			out = append(out, r)
		}
	}
	return out
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t.Truncate(time.Millisecond)) // as Envoy writes it
}

func (d dumper) bootstrap() proto.Message {
	boot := &bootstrapv3.Bootstrap{Node: d.c.Node}
	if len(d.c.Static) > 0 {
		boot.StaticResources = &bootstrapv3.Bootstrap_StaticResources{}
	}
	for _, m := range d.c.Static {
		switch m := m.(type) {
		case *clusterv3.Cluster:
			boot.StaticResources.Clusters = append(boot.StaticResources.Clusters, m)
		case *listenerv3.Listener:
			boot.StaticResources.Listeners = append(boot.StaticResources.Listeners, m)
		}
	}
	return &adminv3.BootstrapConfigDump{Bootstrap: boot}
}

func (d dumper) clusters() proto.Message {
	out := &adminv3.ClustersConfigDump{VersionInfo: d.c.Versions[xds.ClusterType]}
	for _, m := range d.c.Static {
		if c, ok := m.(*clusterv3.Cluster); ok {
			a, err := anypb.New(c)
			if err == nil {
				out.StaticClusters = append(out.StaticClusters, &adminv3.ClustersConfigDump_StaticCluster{Cluster: a})
			}
		}
	}
	one := func(r Resource) *adminv3.ClustersConfigDump_DynamicCluster {
		return &adminv3.ClustersConfigDump_DynamicCluster{VersionInfo: r.Version, Cluster: r.Body, LastUpdated: stamp(r.Updated)}
	}
	for _, r := range d.of(d.c.Active, xds.ClusterType) {
		out.DynamicActiveClusters = append(out.DynamicActiveClusters, one(r))
	}
	for _, r := range d.of(d.c.Warming, xds.ClusterType) {
		out.DynamicWarmingClusters = append(out.DynamicWarmingClusters, one(r))
	}
	return out
}

func (d dumper) endpoints() proto.Message {
	out := &adminv3.EndpointsConfigDump{}
	for _, r := range d.of(d.c.Active, xds.EndpointType) {
		out.DynamicEndpointConfigs = append(out.DynamicEndpointConfigs,
			&adminv3.EndpointsConfigDump_DynamicEndpointConfig{VersionInfo: r.Version, EndpointConfig: r.Body, LastUpdated: stamp(r.Updated)})
	}
	return out
}

func (d dumper) listeners() proto.Message {
	out := &adminv3.ListenersConfigDump{VersionInfo: d.c.Versions[xds.ListenerType]}
	for _, m := range d.c.Static {
		if l, ok := m.(*listenerv3.Listener); ok {
			a, err := anypb.New(l)
			if err == nil {
				out.StaticListeners = append(out.StaticListeners, &adminv3.ListenersConfigDump_StaticListener{Listener: a})
			}
		}
	}
	by := map[string]*adminv3.ListenersConfigDump_DynamicListener{}
	at := func(name string) *adminv3.ListenersConfigDump_DynamicListener {
		if by[name] == nil {
			by[name] = &adminv3.ListenersConfigDump_DynamicListener{Name: name}
			out.DynamicListeners = append(out.DynamicListeners, by[name])
		}
		return by[name]
	}
	state := func(r Resource) *adminv3.ListenersConfigDump_DynamicListenerState {
		return &adminv3.ListenersConfigDump_DynamicListenerState{VersionInfo: r.Version, Listener: r.Body, LastUpdated: stamp(r.Updated)}
	}
	for _, r := range d.of(d.c.Active, xds.ListenerType) {
		at(r.Name).ActiveState = state(r)
	}
	for _, r := range d.of(d.c.Warming, xds.ListenerType) {
		at(r.Name).WarmingState = state(r)
	}
	for _, r := range d.c.Rejected {
		if xds.Canonical(r.Type) == xds.ListenerType && r.Name != "" {
			at(r.Name).ErrorState = &adminv3.UpdateFailureState{Details: r.Message, LastUpdateAttempt: stamp(r.Time)}
		}
	}
	return out
}

func (d dumper) scopes() proto.Message {
	out := &adminv3.ScopedRoutesConfigDump{}
	for _, r := range d.of(d.c.Active, xds.ScopedRouteType) {
		out.DynamicScopedRouteConfigs = append(out.DynamicScopedRouteConfigs, &adminv3.ScopedRoutesConfigDump_DynamicScopedRouteConfigs{
			Name: r.Name, VersionInfo: r.Version, ScopedRouteConfigs: []*anypb.Any{r.Body}, LastUpdated: stamp(r.Updated)})
	}
	return out
}

func (d dumper) routes() proto.Message {
	out := &adminv3.RoutesConfigDump{}
	for _, r := range d.of(d.c.Active, xds.RouteType) {
		out.DynamicRouteConfigs = append(out.DynamicRouteConfigs,
			&adminv3.RoutesConfigDump_DynamicRouteConfig{VersionInfo: r.Version, RouteConfig: r.Body, LastUpdated: stamp(r.Updated)})
	}
	return out
}

func (d dumper) extensions() proto.Message {
	out := &adminv3.EcdsConfigDump{}
	for _, r := range d.of(d.c.Active, xds.ExtensionType) {
		out.EcdsFilters = append(out.EcdsFilters, &adminv3.EcdsConfigDump_EcdsFilterConfig{VersionInfo: r.Version, EcdsFilter: r.Body, LastUpdated: stamp(r.Updated)})
	}
	return out
}

func (d dumper) secrets() proto.Message {
	out := &adminv3.SecretsConfigDump{}
	for _, r := range d.of(d.c.Active, xds.SecretType) {
		out.DynamicActiveSecrets = append(out.DynamicActiveSecrets,
			&adminv3.SecretsConfigDump_DynamicSecret{Name: r.Name, VersionInfo: r.Version, Secret: r.Body, LastUpdated: stamp(r.Updated)})
	}
	return out
}
