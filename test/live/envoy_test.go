package live

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
)

// bootstrap connects Envoy to the test's control plane by a Unix socket, which
// no redirection touches.
const bootstrap = `{
 "node": {"id": "sidecar~10.0.0.9~app-1.shop~shop.svc.cluster.local", "cluster": "app.shop"},
 "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 15000}}},
 "layered_runtime": {"layers": [{"name": "static", "static_layer": {"overload.global_downstream_max_connections": 50000}}]},
 "bootstrap_extensions": [{"name": "envoy.bootstrap.internal_listener", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"}}],
 "dynamic_resources": {"lds_config": {"ads": {}, "resource_api_version": "V3"}, "cds_config": {"ads": {}, "resource_api_version": "V3"},
  "ads_config": {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]}},
 "static_resources": {"clusters": [{"name": "xds", "type": "STATIC", "typed_extension_protocol_options": {
  "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}},
  "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": %q}}}}]}]}}]}
}`

type oneNode struct{}

func (oneNode) ID(*corev3.Node) string { return "live" }

// control serves configurations to the Envoy and learns what it answered.
type control struct {
	cache   cachev3.SnapshotCache
	version int
	mu      sync.Mutex
	answers map[string]string // type -> version answered, by ACK or NACK
	sent    map[string]string // nonce -> version
}

// startEnvoy runs an Envoy in this namespace that follows the returned control.
func startEnvoy(t *testing.T) *control {
	t.Helper()
	dir := t.TempDir()
	c := &control{cache: cachev3.NewSnapshotCache(false, oneNode{}, nil), answers: map[string]string{}, sent: map[string]string{}}
	sock := filepath.Join(dir, "xds.sock")
	lis, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(srv, serverv3.NewServer(t.Context(), c.cache, serverv3.CallbackFuncs{
		StreamRequestFunc: c.request, StreamResponseFunc: c.response}))
	go func() { _ = srv.Serve(lis) }()
	t.Cleanup(srv.Stop)
	conf := filepath.Join(dir, "envoy.json")
	if err := os.WriteFile(conf, fmt.Appendf(nil, bootstrap, sock), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), findEnvoy(), "-c", conf, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "off",
		"--drain-time-s", "1", "--parent-shutdown-time-s", "2", "--drain-strategy", "immediate")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	// At first everything that is named must be there: an Envoy that waits is not initialised.
	c.apply(t, (&resources{listeners: []*listenerv3.Listener{plainOutbound("0.0.0.0"), plainOutbound("::")}, clusters: []*clusterv3.Cluster{static("BlackHoleCluster")}}).all())
	return c
}

func (c *control) request(_ int64, r *discoveryv3.DiscoveryRequest) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.sent[r.GetResponseNonce()]; v != "" {
		c.answers[r.GetTypeUrl()] = v
	}
	return nil
}

func (c *control) response(_ context.Context, _ int64, _ *discoveryv3.DiscoveryRequest, r *discoveryv3.DiscoveryResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent[r.GetNonce()] = r.GetVersionInfo()
}

func (c *control) answered(version string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answers[resourcev3.ListenerType] == version && c.answers[resourcev3.ClusterType] == version
}

// apply gives Envoy a configuration and returns its /config_dump once it has
// answered; what it rejected is not in force and not in the dump.
func (c *control) apply(t testing.TB, res map[resourcev3.Type][]types.Resource) []byte {
	t.Helper()
	c.version++
	v := strconv.Itoa(c.version)
	snap, err := cachev3.NewSnapshot(v, res)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cache.SetSnapshot(context.Background(), "live", snap); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); !c.answered(v); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("Envoy did not answer version %s in 20 s", v)
		}
	}
	return settled(t)
}

// settled is the dump once nothing warms any more, or warms for good; the worker
// has taken over by then what the main thread accepted.
func settled(t testing.TB) []byte {
	t.Helper()
	last := dump(t)
	for deadline := time.Now().Add(1500 * time.Millisecond); ; {
		time.Sleep(80 * time.Millisecond)
		now := dump(t)
		if steady(now) == steady(last) && !bytes.Contains(now, []byte(`warming`)) || time.Now().After(deadline) {
			return now
		}
		last = now
	}
}

var attempts = regexp.MustCompile(`"last_update_attempt": "[^"]*"`)

// steady is a dump without what changes all the time: what was rejected is sent
// again and again, and maps come in any order.
func steady(dump []byte) string {
	var v any
	if err := json.Unmarshal(dump, &v); err != nil {
		return string(dump)
	}
	sorted, _ := json.MarshalIndent(v, "", " ")
	return attempts.ReplaceAllString(string(sorted), "")
}

// minor is the minor version of the Envoy, 0 if it does not tell.
var minor = sync.OnceValue(func() int {
	out, _ := exec.Command(findEnvoy(), "--version").Output()
	m := regexp.MustCompile(`/1\.(\d+)\.\d+`).FindSubmatch(out)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
})

func dump(t testing.TB) []byte { return admin(t, "/config_dump?include_eds") }

// admin asks Envoy's admin interface.
func admin(t testing.TB, path string) []byte {
	t.Helper()
	r, err := http.Get("http://127.0.0.1:15000" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || !strings.Contains(string(b), "configs") {
		t.Fatalf("reading the config_dump: %v", err)
	}
	return b
}
