package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"

	// The types inside the recorded resources.
	_ "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/xdsproxy/xdsproxy/pkg/demo"

	"github.com/xdsproxy/xdsproxy/test/internal/program"
)

// recorded folds the Delta pushes of a session, up to its last one, into
// resources; the node is the one that its Envoy sent.
func recorded(t *testing.T, name string) (node *corev3.Node, res []proto.Message) {
	t.Helper()
	held := map[string]proto.Message{}
	for _, l := range session(t, name) {
		switch l.Event {
		case "request":
			var r discoveryv3.DeltaDiscoveryRequest
			if proto.Unmarshal(l.Raw, &r) == nil && r.GetNode() != nil && node == nil {
				node = r.GetNode()
			}
		case "response":
			var r discoveryv3.DeltaDiscoveryResponse
			if err := proto.Unmarshal(l.Raw, &r); err != nil {
				t.Fatal(err)
			}
			for _, x := range r.GetResources() {
				m, err := x.GetResource().UnmarshalNew()
				if err != nil {
					t.Fatal(err)
				}
				held[r.GetTypeUrl()+x.GetName()] = m
			}
			for _, n := range r.GetRemovedResources() {
				delete(held, r.GetTypeUrl()+n)
			}
		}
	}
	for _, m := range held {
		res = append(res, m)
	}
	return node, res
}

// runEnvoy starts Envoy on xds and returns its /config_dump once it has taken
// every listener.
func runEnvoy(t *testing.T, bin string, node proto.Message, xds, sds string, listeners int) map[string]any {
	t.Helper()
	dir := t.TempDir()
	conf, err := demo.WriteBootstrap(dir, node, xds, sds)
	if err != nil {
		t.Fatal(err)
	}
	admin := filepath.Join(dir, "admin")
	cmd := exec.CommandContext(t.Context(), bin, "-c", conf, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error", "--admin-address-path", admin)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	var dump map[string]any
	await(t, fmt.Sprintf("Envoy's %d listeners", listeners), func() bool {
		addr, err := os.ReadFile(admin)
		if err != nil {
			return false
		}
		dump, err = configDump(string(addr))
		return err == nil && strings.Count(mustJSON(dump), `"active_state"`) >= listeners
	})
	return dump
}

func configDump(addr string) (map[string]any, error) {
	r, err := http.Get("http://" + strings.TrimSpace(addr) + "/config_dump?include_eds")
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var v map[string]any
	return v, json.Unmarshal(b, &v)
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// ofTheRun are the parts of a dump that differ between any two runs: times, and
// the bootstrap with the control plane's address.
var ofTheRun = map[string]bool{"last_updated": true, "bootstrap": true, "static_clusters": true, "static_endpoint_configs": true}

// comparable drops what is of the run, and puts lists into one order.
func comparable(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if !ofTheRun[k] {
				out[k] = comparable(x)
			}
		}
		return out
	case []any:
		out := map[string]int{}
		for _, x := range v {
			out[mustJSON(comparable(x))]++
		}
		return out
	}
	return v
}

// TestRealEnvoySeesNoDifference runs Envoy against a control plane directly and
// through xdsproxy: its /config_dump must be the same.
func TestRealEnvoySeesNoDifference(t *testing.T) {
	bin := program.Envoy(t)
	node, res := recorded(t, "01-seed-mysql-delta")
	cp, err := demo.NewControlPlane(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer cp.Stop()
	go func() { _ = cp.Run() }()
	if err := cp.Serve(t.Context(), res); err != nil {
		t.Fatal(err)
	}
	listeners := 0
	for _, m := range res {
		if m.ProtoReflect().Descriptor().Name() == "Listener" {
			listeners++
		}
	}
	direct := runEnvoy(t, bin, node, cp.Addr(), cp.Addr(), listeners)
	p := startProxy(t, filepath.Join(t.TempDir(), "store"), cp.Addr())
	through := runEnvoy(t, bin, node, "unix://"+p.socket, cp.Addr(), listeners)
	p.stop(t)
	a, b := mustJSON(comparable(direct)), mustJSON(comparable(through))
	if a != b {
		at := 0
		for at < min(len(a), len(b)) && a[at] == b[at] {
			at++
		}
		t.Fatalf("config_dump differs\ndirect:  %.300s\nthrough: %.300s", a[max(0, at-100):], b[max(0, at-100):])
	}
	if !strings.Contains(a, "virtualOutbound") {
		t.Fatal("the dump holds no virtualOutbound: nothing was compared")
	}
}

// TestRealEnvoyDemo runs the demonstration as a newcomer does.
func TestRealEnvoyDemo(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), binary, "demo")
	cmd.Env = append(os.Environ(), "ENVOY_BIN="+program.Envoy(t))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"connected, MySQL 8.0.36-external", "ERROR 2013", "dead-capture", "mysql.demo", "other"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("the demo does not say %q:\n%s", want, out)
		}
	}
}
