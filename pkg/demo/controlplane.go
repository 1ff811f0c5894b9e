package demo

import (
	"context"
	"fmt"
	"net"
	"strconv"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// ControlPlane serves one set of resources to every node that asks.
type ControlPlane struct {
	cache   cachev3.SnapshotCache
	grpc    *grpc.Server
	lis     net.Listener
	version int
}

// oneNode gives all nodes the same configuration.
type oneNode struct{}

func (oneNode) ID(*corev3.Node) string { return "demo" }

// NewControlPlane opens a port on loopback; nothing is answered before Run.
func NewControlPlane(ctx context.Context) (*ControlPlane, error) {
	sds, err := secretServer(ctx)
	if err != nil {
		return nil, err
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening the control plane's port: %w", err)
	}
	c := &ControlPlane{cache: cachev3.NewSnapshotCache(true, oneNode{}, nil), grpc: grpc.NewServer(), lis: lis}
	srv := serverv3.NewServer(ctx, c.cache, nil)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(c.grpc, srv)
	secretv3.RegisterSecretDiscoveryServiceServer(c.grpc, sds)
	return c, nil
}

// Addr is where it listens, host:port on loopback.
func (c *ControlPlane) Addr() string { return c.lis.Addr().String() }

// Run serves until Stop.
func (c *ControlPlane) Run() error { return c.grpc.Serve(c.lis) }

// Stop ends every stream at once.
func (c *ControlPlane) Stop() { c.grpc.Stop() }

// Serve replaces everything by res: listeners, clusters, routes and endpoints.
func (c *ControlPlane) Serve(ctx context.Context, res []proto.Message) error {
	c.version++
	by := map[resourcev3.Type][]types.Resource{}
	for _, m := range res {
		if t := typeOf(m); t != "" {
			by[t] = append(by[t], m)
		}
	}
	snap, err := cachev3.NewSnapshot(strconv.Itoa(c.version), by)
	if err != nil {
		return fmt.Errorf("making snapshot %d: %w", c.version, err)
	}
	if err := c.cache.SetSnapshot(ctx, "demo", snap); err != nil {
		return fmt.Errorf("serving snapshot %d: %w", c.version, err)
	}
	return nil
}

func typeOf(m proto.Message) resourcev3.Type {
	switch m.(type) {
	case *listenerv3.Listener:
		return resourcev3.ListenerType
	case *clusterv3.Cluster:
		return resourcev3.ClusterType
	case *routev3.RouteConfiguration:
		return resourcev3.RouteType
	case *endpointv3.ClusterLoadAssignment:
		return resourcev3.EndpointType
	}
	return ""
}

// secretServer answers for secrets one by one; the other cache, being for ADS,
// would wait until all of them are asked for at once.
func secretServer(ctx context.Context) (serverv3.Server, error) {
	secrets, err := newSecrets()
	if err != nil {
		return nil, err
	}
	snap, err := cachev3.NewSnapshot("1", map[resourcev3.Type][]types.Resource{resourcev3.SecretType: secrets})
	if err != nil {
		return nil, fmt.Errorf("making the secrets' snapshot: %w", err)
	}
	cache := cachev3.NewSnapshotCache(false, oneNode{}, nil)
	if err := cache.SetSnapshot(ctx, "demo", snap); err != nil {
		return nil, fmt.Errorf("serving the secrets: %w", err)
	}
	return serverv3.NewServer(ctx, cache, nil), nil
}
