package traffic

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	aggregatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/aggregate/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	sniclusterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/sni_cluster/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// churn makes small configurations that change at random, of all that leads from
// one resource to another: names that differ, aggregates, internal listeners,
// routes, clusters that the client names.
type churn struct {
	*world
	t *testing.T
	r *rand.Rand
}

func (c *churn) edit(s *state.Snapshot) *state.Snapshot {
	n := c.r.IntN(6)
	switch c.r.IntN(8) {
	case 0, 1:
		return c.put(s, xds.ClusterType, fmt.Sprint("c", n), c.cluster(n))
	case 2, 3, 4:
		return c.put(s, xds.EndpointType, c.assignmentName(n), c.assignment(c.assignmentName(n)))
	case 5:
		return c.put(s, xds.RouteType, fmt.Sprint("r", n%3), c.routes(n%3))
	}
	l := c.listener(n)
	return c.put(s, xds.ListenerType, l.Name, l)
}

// put sets a resource, and now and then takes it away.
func (c *churn) put(s *state.Snapshot, typ, name string, m proto.Message) *state.Snapshot {
	if c.r.IntN(6) == 0 && name != "virtualOutbound" {
		return s.Without(typ, name)
	}
	return c.with(c.t, s, typ, name, m)
}

func (c *churn) to() string { return fmt.Sprint("c", c.r.IntN(6)) }

func (c *churn) assignmentName(n int) string {
	return []string{"c0", "c1", "e2", "e3", "e", "e"}[n]
}

func (c *churn) cluster(n int) *clusterv3.Cluster {
	m := edsCluster(n)
	m.Name, m.EdsClusterConfig.ServiceName = fmt.Sprint("c", n), c.assignmentName(c.r.IntN(6))
	m.ConnectTimeout = durationpb.New(time.Duration(1+c.r.IntN(3)) * time.Second)
	if c.r.IntN(2) == 0 {
		m.LbSubsetConfig = &clusterv3.Cluster_LbSubsetConfig{SubsetSelectors: []*clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector{{Keys: []string{"v"}}}}
	}
	if c.r.IntN(2) == 0 {
		socket := &corev3.TransportSocket{Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(c.t, &tlsv3.UpstreamTlsContext{})}}
		match := &structpb.Struct{Fields: map[string]*structpb.Value{"tls": structpb.NewStringValue("1")}}
		m.TransportSocketMatches = []*clusterv3.Cluster_TransportSocketMatch{{Name: "t", Match: match, TransportSocket: socket}}
	}
	switch c.r.IntN(6) {
	case 0:
		a := &aggregatev3.ClusterConfig{Clusters: []string{c.to(), c.to()}}
		m.ClusterDiscoveryType = &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{Name: "envoy.clusters.aggregate", TypedConfig: packed(c.t, a)}}
	case 1:
		m.ClusterDiscoveryType, m.LoadAssignment = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}, c.assignment(m.Name)
	case 2:
		m.ClusterDiscoveryType, m.LbPolicy = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST}, clusterv3.Cluster_CLUSTER_PROVIDED
	}
	return m
}

// assignment has up to two endpoints, some of them unhealthy or listeners.
func (c *churn) assignment(name string) *endpointv3.ClusterLoadAssignment {
	m := assignmentOf(0, c.r.IntN(3))
	m.ClusterName = name
	for _, lb := range m.Endpoints[0].LbEndpoints {
		if c.r.IntN(3) == 0 {
			lb.HealthStatus = corev3.HealthStatus_UNHEALTHY
		}
		lb.GetEndpoint().GetAddress().GetSocketAddress().PortSpecifier = &corev3.SocketAddress_PortValue{PortValue: uint32(1 + c.r.IntN(3))}
		lb.Metadata = c.metadata()
		if c.r.IntN(8) == 0 {
			to := &corev3.EnvoyInternalAddress{AddressNameSpecifier: &corev3.EnvoyInternalAddress_ServerListenerName{ServerListenerName: "inside"}}
			lb.GetEndpoint().Address = &corev3.Address{Address: &corev3.Address_EnvoyInternalAddress{EnvoyInternalAddress: to}}
		}
	}
	return m
}

// metadata chooses sockets and subsets.
func (c *churn) metadata() *corev3.Metadata {
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
		"envoy.lb":                     {Fields: map[string]*structpb.Value{"v": structpb.NewNumberValue(float64(c.r.IntN(2)))}},
		"envoy.transport_socket_match": {Fields: map[string]*structpb.Value{"tls": structpb.NewStringValue(fmt.Sprint(c.r.IntN(2)))}},
	}}
}

func (c *churn) routes(n int) *routev3.RouteConfiguration {
	m := hosts(2 + c.r.IntN(4))
	m.Name = fmt.Sprint("r", n)
	for _, vh := range m.VirtualHosts {
		to := vh.Routes[0].GetRoute()
		to.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: c.to()}
		if c.r.IntN(2) == 0 {
			to.MetadataMatch = c.metadata()
		}
		if c.r.IntN(12) == 0 {
			to.ClusterSpecifier = &routev3.RouteAction_ClusterHeader{ClusterHeader: "x-to"}
		}
	}
	return m
}

func (c *churn) listener(n int) *listenerv3.Listener {
	switch n {
	case 0:
		l := outbound(c.t, c.to())
		if c.r.IntN(4) == 0 {
			inspecting(c.t, l)
		}
		return l
	case 1, 2:
		l := httpListener(c.t, 80+n)
		setRoutes(c.t, l, fmt.Sprint("r", c.r.IntN(3)))
		l.DefaultFilterChain = tcpChain(c.t, "", "", c.to())
		return l
	case 3:
		l := tcpListener("inside", 0, tcpChain(c.t, "", "", c.to()))
		l.Address, l.ListenerSpecifier = nil, &listenerv3.Listener_InternalListener{InternalListener: &listenerv3.Listener_InternalListenerConfig{}}
		return l
	}
	l := tcpListener(fmt.Sprint("tcp", n), uint32(80+c.r.IntN(3)), tcpChain(c.t, "", "10.0.0.0", c.to()), tcpChain(c.t, "", "", c.to()))
	l.Address.GetSocketAddress().Address = "10.1.0.1"
	if c.r.IntN(5) == 0 {
		sni := &listenerv3.Filter{Name: "sni", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(c.t, &sniclusterv3.SniCluster{})}}
		l.FilterChains[0].Filters = slices.Insert(l.FilterChains[0].Filters, 0, sni)
	}
	return l
}

func setRoutes(t *testing.T, l *listenerv3.Listener, name string) {
	f := l.FilterChains[0].Filters[0]
	h := new(hcmv3.HttpConnectionManager)
	if err := f.GetTypedConfig().UnmarshalTo(h); err != nil {
		t.Fatal(err)
	}
	h.GetRds().RouteConfigName = name
	f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed(t, h)}
}

// TestMovedRandomly: what an engine carries from view to view never makes it miss a
// listener: it finds the shifts of one that starts anew, of one that looks at
// everything, and those that asking shows.
func TestMovedRandomly(t *testing.T) {
	seeds, steps := 6, 60
	if raced {
		seeds, steps = 1, 40
	}
	moves := 0
	for seed := range seeds {
		w := newWorld()
		w.env = Env{Istio: true, Node: &corev3.Node{Id: "sidecar~10.9.9.9~a.b~b.svc.cluster.local"}, Static: []proto.Message{&clusterv3.Cluster{Name: "static"}}, Lost4: []uint16{}}
		c := &churn{world: w, t: t, r: rand.New(rand.NewPCG(uint64(seed), 1))}
		s := c.start()
		old := w.engine.View(s, w.env)
		for step := range steps {
			next := old.snap
			for range 1 + c.r.IntN(3) {
				next = c.edit(next)
			}
			new := w.engine.View(next, w.env)
			name := fmt.Sprintf("seed %d step %d", seed, step)
			moves += c.check(name, old, new)
			if old = new; c.r.IntN(4) == 0 {
				c.detour(old.snap)
			}
		}
	}
	if moves == 0 {
		t.Error("nothing ever moved")
	}
}

func (c *churn) start() *state.Snapshot {
	var s *state.Snapshot
	for n := range 6 {
		l := c.listener(n)
		s = c.with(c.t, s, xds.ListenerType, l.Name, l)
		s = c.with(c.t, s, xds.ClusterType, fmt.Sprint("c", n), c.cluster(n))
		s = c.with(c.t, s, xds.EndpointType, c.assignmentName(n), c.assignment(c.assignmentName(n)))
		s = c.with(c.t, s, xds.RouteType, fmt.Sprint("r", n%3), c.routes(n%3))
	}
	return s
}

// detour makes views that nobody compares.
func (c *churn) detour(s *state.Snapshot) {
	for range c.r.IntN(3) {
		s = c.edit(s)
		v := c.engine.View(s, c.env)
		if c.r.IntN(2) == 0 {
			v.Resolve(netip.MustParseAddrPort("8.8.8.8:80"), netip.Addr{}, xds.Signal{Kind: xds.ServerFirst})
		}
	}
}

func (c *churn) check(name string, old, new *View) int {
	got := c.engine.Compare(old, new)
	anew := NewEngine(old.engine.bodies)
	a, b := anew.View(old.snap, c.env), anew.View(new.snap, c.env)
	if diff := gocmp.Diff(anew.Compare(a, b), got); diff != "" {
		c.t.Fatalf("%s: not as from scratch (-want +got)\n%s", name, diff)
	}
	if diff := gocmp.Diff(ends(anew.compare(a, b, nil)), ends(got)); diff != "" {
		c.t.Fatalf("%s: not as when all is looked at (-want +got)\n%s", name, diff)
	}
	c.checkExact(c.t, name, old, new, got, 60)
	for _, v := range []*View{old, new} {
		if r := v.knownReach(); r != nil && !maps.EqualFunc(r.all(), v.scratchReach().all(), func(x, y map[string]bool) bool { return maps.Equal(x, y) }) {
			c.t.Fatalf("%s: the index carried is not that made anew:\n%s", name, gocmp.Diff(v.scratchReach().all(), r.all()))
		}
	}
	return len(got)
}

// ends are the shifts without their cells, which may be written in several ways.
func ends(shifts []xds.Shift) map[string]bool {
	out := map[string]bool{}
	for _, s := range shifts {
		out[sameKey(s.Before)+" -> "+sameKey(s.After)+string(s.Open)] = true
	}
	return out
}

// all is everything in an index, by kind.
func (r *reach) all() map[string]map[string]bool {
	out := map[string]map[string]bool{"routes": entries(r.routes), "direct": entries(r.direct), "via": entries(r.via), "users": entries(r.users), "dynamic": {}, "dynamicRoutes": r.dynamicRoutes, "odd": r.odd}
	for l := range r.dynamic {
		out["dynamic"][fmt.Sprintf("%p", l)] = true
	}
	return out
}

func entries[V comparable](m multimap[V]) map[string]bool {
	out := map[string]bool{}
	if m.shards == nil {
		return out
	}
	for _, s := range m.shards {
		for name, vs := range s {
			for _, v := range vs {
				if l, ok := any(v).(*listener); ok {
					out[fmt.Sprintf("%s %p", name, l)] = true
					continue
				}
				out[fmt.Sprint(name, " ", v)] = true
			}
		}
	}
	return out
}
