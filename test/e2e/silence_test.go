package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// sessions are the recordings small enough to be told again and again.
var sessions = []string{"01-seed-mysql-delta", "02-seed-mysql-sotw", "03-seed-redis", "04-default-chain-flip", "05-cidr-and-exact",
	"06-registry-only", "07-nack", "08-reconnect", "09-endpoints-churn", "11-dns-capture", "12-stall", "13-istio-filters", "14-drain",
	"16-connection-age", "30-envoy-gateway-delta", "32-gcp-ads-sotw-ttl", "34-gcp-mux-delta", "36-agent-envoy-side", "37-agent-istiod-side",
	"50-istio-1.4-v2", "51-istio-1.6-v2"}

// TestSilenceChangesNothing inserts up to 0.9 s between records: how fast the
// parts of one change arrive must not decide what is told of it.
func TestSilenceChangesNothing(t *testing.T) {
	for _, name := range sessions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := entries(t, "events", "-o", "jsonl", "--file", "../recordings/"+name+"/session.jsonl.gz")
			for seed := range uint64(4) {
				slow := filepath.Join(t.TempDir(), "slow.jsonl")
				stretch(t, name, slow, rand.New(rand.NewPCG(seed, 1)))
				got := entries(t, "events", "-o", "jsonl", "--file", slow)
				for i := range max(len(want), len(got)) {
					if get(want, i) != get(got, i) {
						t.Fatalf("seed %d: %d events, %d without the silence; first difference\nwith:    %s\nwithout: %s", seed, len(got), len(want), get(got, i), get(want, i))
					}
				}
			}
		})
	}
}

// stretch writes a session with silence in it: after each pause of a second at
// most two more of up to 0.9 s, so that no group lives to its time limit.
func stretch(t *testing.T, name, to string, r *rand.Rand) {
	t.Helper()
	var out bytes.Buffer
	var shift time.Duration
	var last time.Time
	left := 2
	for _, l := range rawLines(t, name) {
		var v map[string]any
		if err := json.Unmarshal(l, &v); err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339Nano, v["t"].(string))
		if err != nil {
			t.Fatal(err)
		}
		if at.Sub(last) >= time.Second {
			left = 2
		} else if left > 0 && r.IntN(6) == 0 {
			left--
			shift += time.Duration(r.Int64N(int64(900 * time.Millisecond)))
		}
		last = at
		v["t"] = at.Add(shift).Format(time.RFC3339Nano)
		out.WriteString(mustJSON(v) + "\n")
	}
	if err := os.WriteFile(to, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func rawLines(t *testing.T, name string) [][]byte {
	t.Helper()
	f, err := os.Open("../recordings/" + name + "/session.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(b), []byte("\n"))
}

// TestExportAndImportChangeNothing takes each session through a store and a
// transcript and back: the same events come out.
func TestExportAndImportChangeNothing(t *testing.T) {
	for _, name := range sessions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file, store, again := "../recordings/"+name+"/session.jsonl.gz", filepath.Join(dir, "store"), filepath.Join(dir, "again.jsonl.zst")
			xdsproxy(t, "import", file, "--store", store)
			xdsproxy(t, "store", "verify", "--store", store)
			xdsproxy(t, "export", "--store", store, "-o", again)
			want := entries(t, "events", "-o", "jsonl", "--file", file)
			for _, source := range [][]string{{"--store", store}, {"--file", again}} {
				got := entries(t, append([]string{"events", "-o", "jsonl"}, source...)...)
				for i := range max(len(want), len(got)) {
					if get(want, i) != get(got, i) {
						t.Fatalf("%v: first difference\nfile:  %s\nthere: %s", source, get(want, i), get(got, i))
					}
				}
			}
		})
	}
}
