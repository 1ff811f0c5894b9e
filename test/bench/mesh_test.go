package bench

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/configdump"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// The size of mesh that the figures are stated for.
const (
	meshClusters  = 20_000
	meshListeners = 2_000
	meshRoutes    = 500 // ports with HTTP services, a route configuration each
	firstPort     = 2000
)

const dumpFile = "../recordings/10-large/envoy-config-dump-30-capture-7005.json.gz"

// mesh is what istiod wrote for about 3,000 services, multiplied: names, ports and
// addresses are new, all else is as it came.
type mesh struct {
	bodies map[xds.Digest][]byte
	snap   *state.Snapshot
	env    traffic.Env
	bytes  int64 // of all bodies of snap

	dump  *configdump.Dump
	found map[string]map[string]xds.Digest // what the dump holds, by type and name
}

func newMesh(t *testing.T) *mesh {
	m := &mesh{bodies: map[xds.Digest][]byte{}, dump: readDump(t), found: map[string]map[string]xds.Digest{}}
	m.env = traffic.Env{Node: m.dump.Node, Istio: true, Static: m.dump.Static}
	for _, b := range m.dump.Bodies {
		m.bodies[b.Digest] = b.Bytes
	}
	for _, r := range m.dump.Records {
		for _, e := range pushed(r) {
			if m.found[r.Push.Type] == nil {
				m.found[r.Push.Type] = map[string]xds.Digest{}
			}
			m.found[r.Push.Type][e.Name] = e.Digest
		}
	}
	m.fixed()
	m.tcp(t)
	m.http(t)
	for _, typ := range []string{xds.ClusterType, xds.EndpointType, xds.ListenerType, xds.RouteType} {
		for _, d := range m.snap.All(typ) {
			m.bytes += int64(len(m.bodies[d]))
		}
	}
	return m
}

func pushed(r xds.Record) []xds.Entry {
	if r.Kind != xds.KindPush {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.Push.Resources), func(e xds.Entry) bool { return e.State != xds.EntryBody })
}

func readDump(t *testing.T) *configdump.Dump {
	f, err := os.Open(dumpFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	d, err := configdump.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// keep takes a resource over as it is.
func (m *mesh) keep(typ, name string) {
	if d, ok := m.found[typ][name]; ok {
		m.snap = m.snap.With(typ, name, d)
	}
}

// fixed is what a mesh has once.
func (m *mesh) fixed() {
	for _, n := range []string{"BlackHoleCluster", "InboundPassthroughCluster", "PassthroughCluster"} {
		m.keep(xds.ClusterType, n)
	}
	m.keep(xds.ListenerType, "virtualOutbound")
	m.keep(xds.ListenerType, "virtualInbound")
}

// tcp keeps services that have an address of their own, each with its listener.
func (m *mesh) tcp(t *testing.T) {
	var names []string
	for n := range m.found[xds.ListenerType] {
		if n[0] >= '0' && n[0] <= '9' && !strings.HasPrefix(n, "0.0.0.0_") {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	for _, n := range names[:meshListeners-meshRoutes-2] {
		m.keep(xds.ListenerType, n)
		c := m.tcpCluster(t, n)
		m.keep(xds.ClusterType, c)
		m.keep(xds.EndpointType, c)
	}
}

func (m *mesh) tcpCluster(t *testing.T, listener string) string {
	l := resource[*listenerv3.Listener](t, m, m.found[xds.ListenerType][listener])
	p := new(tcpv3.TcpProxy)
	fs := l.GetFilterChains()[0].GetFilters()
	if err := fs[len(fs)-1].GetTypedConfig().UnmarshalTo(p); err != nil {
		t.Fatal(err)
	}
	return p.GetCluster()
}

// http multiplies one port with HTTP services.
func (m *mesh) http(t *testing.T) {
	l := resource[*listenerv3.Listener](t, m, m.found[xds.ListenerType]["0.0.0.0_8080"])
	r := resource[*routev3.RouteConfiguration](t, m, m.found[xds.RouteType]["8080"])
	left := meshClusters - m.snap.Len(xds.ClusterType)
	for i := range meshRoutes {
		n := left*(i+1)/meshRoutes - left*i/meshRoutes
		m.snap = m.put(t, m.snap, xds.ListenerType, httpListener(t, l, firstPort+i))
		m.snap = m.put(t, m.snap, xds.RouteType, m.routes(t, r, i, n))
	}
}

func httpListener(t *testing.T, from *listenerv3.Listener, port int) *listenerv3.Listener {
	l := proto.CloneOf(from)
	l.Name = fmt.Sprintf("0.0.0.0_%d", port)
	l.Address.GetSocketAddress().PortSpecifier = &corev3.SocketAddress_PortValue{PortValue: uint32(port)}
	for _, fc := range l.GetFilterChains() {
		for _, f := range fc.GetFilters() {
			h := new(hcmv3.HttpConnectionManager)
			if f.GetTypedConfig().UnmarshalTo(h) != nil {
				continue
			}
			h.GetRds().RouteConfigName = fmt.Sprint(port)
			f.GetTypedConfig().Value = marshal(t, h)
		}
	}
	return l
}

var serviceName = regexp.MustCompile(`svc-\d{4}\.team\d\d`)

// routes is the i-th route configuration with n services, and puts their clusters.
func (m *mesh) routes(t *testing.T, from *routev3.RouteConfiguration, i, n int) *routev3.RouteConfiguration {
	r := proto.CloneOf(from)
	r.Name = fmt.Sprint(firstPort + i)
	var hosts []*routev3.VirtualHost
	for _, vh := range r.GetVirtualHosts() {
		service := serviceName.FindString(vh.GetName())
		switch {
		case service == "":
			hosts = append(hosts, vh)
		case n > 0:
			n--
			to := fmt.Sprintf("svc-%04d.team%02d", (i*40+n)%10_000, (i*40+n)/10_000)
			m.service(t, service, to, i)
			hosts = append(hosts, m.host(t, vh, service, to, i, n))
		}
	}
	r.VirtualHosts = hosts
	return r
}

// host is a virtual host for another service: names are as long as they were, so
// that bytes can be replaced.
func (m *mesh) host(t *testing.T, vh *routev3.VirtualHost, service, to string, i, n int) *routev3.VirtualHost {
	out := new(routev3.VirtualHost)
	if err := proto.Unmarshal(renamed(marshal(t, vh), service, to, i), out); err != nil {
		t.Fatal(err)
	}
	for k, d := range out.GetDomains() {
		if strings.HasPrefix(d, "10.") {
			out.Domains[k] = fmt.Sprintf("10.%d.%d.%d", 81+i/250, i%250, n)
		}
	}
	return out
}

// service copies cluster and endpoints of a service on port 8080.
func (m *mesh) service(t *testing.T, from, to string, i int) {
	name := "outbound|8080||" + from + ".svc.cluster.local"
	for _, typ := range []string{xds.ClusterType, xds.EndpointType} {
		d, ok := m.found[typ][name]
		if !ok {
			t.Fatalf("no %s", name)
		}
		b := xds.NewBody(renamed(m.bodies[d], from, to, i))
		m.bodies[b.Digest] = b.Bytes
		m.snap = m.snap.With(typ, fmt.Sprintf("outbound|%d||%s.svc.cluster.local", firstPort+i, to), b.Digest)
	}
}

func renamed(b []byte, service, to string, i int) []byte {
	b = bytes.ReplaceAll(b, []byte(service), []byte(to))
	b = bytes.ReplaceAll(b, []byte(service[9:]), []byte(to[9:])) // the namespace
	return bytes.ReplaceAll(b, []byte("8080"), fmt.Append(nil, firstPort+i))
}

// put is s with a resource; its bytes are there from then on.
func (m *mesh) put(t *testing.T, s *state.Snapshot, typ string, r proto.Message) *state.Snapshot {
	t.Helper()
	a, err := anypb.New(r)
	if err != nil {
		t.Fatal(err)
	}
	b := xds.NewBody(marshal(t, a))
	m.bodies[b.Digest] = b.Bytes
	return s.With(typ, nameOf(r), b.Digest)
}

func nameOf(r proto.Message) string {
	switch r := r.(type) {
	case *clusterv3.Cluster:
		return r.GetName()
	case *endpointv3.ClusterLoadAssignment:
		return r.GetClusterName()
	case *listenerv3.Listener:
		return r.GetName()
	case *routev3.RouteConfiguration:
		return r.GetName()
	}
	return ""
}

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// resource is a copy of a resource, to be changed.
func resource[T proto.Message](t *testing.T, m *mesh, d xds.Digest) T {
	t.Helper()
	r, err := unmarshal(m.bodies[d])
	if err != nil {
		t.Fatal(err)
	}
	return r.(T)
}

func unmarshal(b []byte) (proto.Message, error) {
	a := new(anypb.Any)
	if err := proto.Unmarshal(b, a); err != nil {
		return nil, fmt.Errorf("unmarshalling the Any: %w", err)
	}
	return a.UnmarshalNew()
}
