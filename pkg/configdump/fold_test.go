package configdump_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/xdsproxy/xdsproxy/pkg/configdump"
	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// exact are the types that a dump shows as they were pushed. Of assignments it
// shows what became of them (health, default weights).
var exact = []string{xds.ClusterType, xds.ListenerType, xds.RouteType}

// TestSameAsTheSession: a dump taken at the end of a step reads as what the
// recorded session had brought by then.
func TestSameAsTheSession(t *testing.T) {
	for _, name := range []string{"01-seed-mysql-delta", "02-seed-mysql-sotw", "04-default-chain-flip", "05-cidr-and-exact", "06-registry-only", "07-nack", "08-reconnect", "12-stall", "14-drain", "30-envoy-gateway-delta", "32-gcp-ads-sotw-ttl", "34-gcp-mux-delta"} {
		if raced && name > "05" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			dir := "../../test/recordings/" + name
			src := session(t, dir)
			paths, _ := filepath.Glob(dir + "/envoy-config-dump-*.json.gz")
			if len(paths) == 0 {
				t.Fatal("no dumps")
			}
			for _, path := range paths {
				d := read(t, plain(t, path))
				step := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "envoy-config-dump-"), ".json.gz")
				want := fold(t, src, d.Sidecar, endOf(t, dir, step))
				got := fold(t, memory(t, d), d.Sidecar, time.Time{})
				for _, typ := range exact {
					if diff := cmp.Diff(want[typ], got[typ], protocmp.Transform()); diff != "" {
						t.Errorf("%s %s (-session +dump)\n%.2000s", step, xds.ShortType(typ), diff)
					}
				}
				for name := range got[xds.EndpointType] {
					if want[xds.EndpointType][name] == nil {
						t.Errorf("%s: the session has no endpoints %s", step, name)
					}
				}
			}
		})
	}
}

func session(t *testing.T, dir string) *record.Memory {
	t.Helper()
	f, err := os.Open(dir + "/session.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	src, err := transcript.Read(f, dir, transcript.Config{Key: bytes.Repeat([]byte{1}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	return src.Memory
}

func memory(t *testing.T, d *configdump.Dump) *record.Memory {
	t.Helper()
	m := &record.Memory{}
	if err := m.Append(d.Records, d.Bodies); err != nil {
		t.Fatal(err)
	}
	return m
}

// endOf is when the step after this one began.
func endOf(t *testing.T, dir, step string) time.Time {
	t.Helper()
	raw, err := os.ReadFile(dir + "/steps.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	met := false
	for line := range strings.Lines(string(raw)) {
		var j struct {
			T    time.Time
			Step string
		}
		if err := json.Unmarshal([]byte(line), &j); err != nil {
			t.Fatal(err)
		}
		if met && j.Step != step {
			return j.T
		}
		met = met || j.Step == step
	}
	t.Fatalf("step %s has no end", step)
	return time.Time{}
}

// fold gives what a sidecar holds before a time (zero: at the end), decoded.
func fold(t *testing.T, m *record.Memory, id xds.Sidecar, end time.Time) map[string]map[string]proto.Message {
	t.Helper()
	f := state.New(nil)
	for r, err := range m.Records(id, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if end.IsZero() || r.Time.Before(end) {
			f.Apply(r)
		}
	}
	v, ok := f.View(id)
	if !ok {
		t.Fatalf("no sidecar %v", id)
	}
	cache := decode.New(func(d xds.Digest) ([]byte, bool) { b, ok, _ := m.Body(d); return b, ok }, 0)
	out := map[string]map[string]proto.Message{}
	for _, typ := range v.Active.Types() {
		out[typ] = map[string]proto.Message{}
		for name, d := range v.Active.All(typ) {
			msg, err := cache.Message(d)
			if err != nil && typ != xds.SecretType {
				t.Fatalf("%s %s: %v", typ, name, err)
			}
			out[typ][name] = msg
		}
	}
	return out
}
