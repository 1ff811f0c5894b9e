package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// volatile are the fields in which a played session differs from the recorded
// one: times, and the numbers of streams and records.
var volatile = map[string]bool{"time": true, "t": true, "seq": true, "stream": true, "conn": true, "took": true, "latency": true,
	"answerTook": true, "answeredAt": true, "peer": true}

func stripped(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if !volatile[k] {
				out[k] = stripped(x)
			}
		}
		return out
	case []any:
		for i := range v {
			v[i] = stripped(v[i])
		}
	}
	return v
}

// entries are the JSON lines of a command without what is volatile.
func entries(t *testing.T, args ...string) []string {
	t.Helper()
	var out []string
	for l := range strings.Lines(xdsproxy(t, args...)) {
		var v any
		if err := json.Unmarshal([]byte(l), &v); err != nil {
			t.Fatalf("%v: %v in %q", args, err, l)
		}
		out = append(out, mustJSON(stripped(v)))
	}
	return out
}

// TestLiveEqualsPast plays recorded sessions through the proxy: what the store
// then tells is what the transcript tells.
func TestLiveEqualsPast(t *testing.T) {
	for _, name := range []string{"01-seed-mysql-delta", "02-seed-mysql-sotw", "03-seed-redis", "04-default-chain-flip", "05-cidr-and-exact",
		"06-registry-only", "07-nack", "08-reconnect", "09-endpoints-churn", "10-large", "12-stall", "13-istio-filters", "14-drain",
		"15-large-sotw", "16-connection-age", "30-envoy-gateway-delta", "32-gcp-ads-sotw-ttl", "34-gcp-mux-delta", "36-agent-envoy-side",
		"37-agent-istiod-side", "50-istio-1.4-v2", "51-istio-1.6-v2"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && strings.Contains(name, "large") {
				t.Skip("large sessions are left out with -short")
			}
			store := filepath.Join(t.TempDir(), "store")
			pl := newPlayer(t)
			p := startProxy(t, store, pl.addr)
			if !strings.HasPrefix(name, "32") { // its storm must stay as fast as it was; nonces order it
				pl.proxy = p
			}
			pl.play("unix://"+p.socket, session(t, name))
			p.stop(t)
			same(t, name, "events", "--store", store)
			same(t, name, "log", "--store", store)
		})
	}
}

// same compares what a command says of the store with what it says of the file.
func same(t *testing.T, name, command string, source ...string) {
	t.Helper()
	live := entries(t, append([]string{command, "-o", "jsonl"}, source...)...)
	past := entries(t, command, "-o", "jsonl", "--file", "../recordings/"+name+"/session.jsonl.gz")
	if len(past) == 0 && command == "log" {
		t.Fatal("the transcript has no pushes")
	}
	for i := range max(len(live), len(past)) {
		if i >= len(live) || i >= len(past) || live[i] != past[i] {
			t.Fatalf("%s: live has %d lines, past %d; first difference at %d\nlive: %s\npast: %s", command, len(live), len(past), i+1, get(live, i), get(past, i))
		}
	}
}

func get(s []string, i int) string {
	if i < len(s) {
		return s[i]
	}
	return "(nothing)"
}
