package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// client is an xDS client that subscribes as Envoy does and accepts everything.
// It stands in where no Envoy is at hand.
type client struct {
	conn *grpc.ClientConn
	node *corev3.Node
}

func newClient(socket string, node proto.Message) (*client, error) {
	n, ok := node.(*corev3.Node)
	if !ok {
		return nil, fmt.Errorf("the recorded node is a %T", node)
	}
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("connecting the stand-in to xdsproxy: %w", err)
	}
	return &client{conn: conn, node: n}, nil
}

// run subscribes and acknowledges until ctx ends.
func (c *client) run(ctx context.Context) error {
	defer func() { _ = c.conn.Close() }()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(c.conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return err
	}
	first := &discoveryv3.DeltaDiscoveryRequest{Node: c.node, TypeUrl: resourcev3.ClusterType}
	if err := stream.Send(first); err != nil {
		return err
	}
	if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resourcev3.ListenerType}); err != nil {
		return err
	}
	for {
		resp, err := stream.Recv()
		if err != nil {
			return nil //nolint:nilerr // the demo ended
		}
		if err := c.answer(stream, resp); err != nil {
			return err
		}
	}
}

type deltaStream = discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient

// answer acknowledges a push and asks for what its resources refer to.
func (c *client) answer(stream deltaStream, resp *discoveryv3.DeltaDiscoveryResponse) error {
	if names, typ := wanted(resp); len(names) > 0 {
		if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typ, ResourceNamesSubscribe: names}); err != nil {
			return err
		}
	}
	return stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce()})
}

// wanted are the assignments of pushed clusters, and the route configurations of
// pushed listeners.
func wanted(resp *discoveryv3.DeltaDiscoveryResponse) (names []string, typ string) {
	for _, r := range resp.GetResources() {
		switch resp.GetTypeUrl() {
		case resourcev3.ClusterType:
			names, typ = append(names, r.GetName()), resourcev3.EndpointType
		case resourcev3.ListenerType:
			names, typ = append(names, routeNames(r.GetResource())...), resourcev3.RouteType
		}
	}
	return names, typ
}

func routeNames(a *anypb.Any) (names []string) {
	var l listenerv3.Listener
	if a.UnmarshalTo(&l) != nil {
		return nil
	}
	for _, chain := range l.GetFilterChains() {
		for _, f := range chain.GetFilters() {
			var h hcmv3.HttpConnectionManager
			if f.GetTypedConfig().UnmarshalTo(&h) == nil && h.GetRds() != nil {
				names = append(names, h.GetRds().GetRouteConfigName())
			}
		}
	}
	return names
}

// ask lets xdsproxy say where the connection would go.
func (s *stage) ask(ctx context.Context) (ok bool, text string, err error) {
	out, err := exec.CommandContext(ctx, s.cfg.Self, "resolve", external, "--signal", "server-first", "--store", s.cfg.Store(), "-o", "json").Output()
	if err != nil {
		return false, "", fmt.Errorf("asking xdsproxy resolve: %w", err)
	}
	var answer struct {
		Verdicts []struct{ Kind, Cluster string }
	}
	if err := json.Unmarshal(out, &answer); err != nil || len(answer.Verdicts) == 0 {
		return false, "", fmt.Errorf("reading what xdsproxy resolve printed (%d bytes): %w", len(out), err)
	}
	v := answer.Verdicts[0]
	return v.Kind == "passthrough", "would end as " + v.Kind + ", cluster " + v.Cluster, nil
}
