package transcript_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const recordings = "../../test/recordings"

func sessions(t testing.TB) []string {
	t.Helper()
	fs, err := filepath.Glob(recordings + "/*/session.jsonl.gz")
	if err != nil || len(fs) == 0 {
		t.Fatalf("no recordings below %s: %v", recordings, err)
	}
	return slices.DeleteFunc(fs, func(f string) bool { return slow && strings.Contains(f, "-large") })
}

// sources holds the recordings that were read already: reading is most of the
// time of these tests.
var sources sync.Map

// recording returns a recording as a source. It is shared: do not change it.
func recording(t testing.TB, path string) *transcript.Source {
	t.Helper()
	if src, ok := sources.Load(path); ok {
		return src.(*transcript.Source)
	}
	src := read(t, path, transcript.Config{Key: key})
	sources.Store(path, src)
	return src
}

func read(t testing.TB, path string, cfg transcript.Config) *transcript.Source {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	src, err := transcript.Read(f, path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// counts is how many records of each kind a recording gives: open, request, push,
// answer, close, gap; then sidecars and NACKs.
var counts = map[string]string{
	"01-seed-mysql-delta":    "1 7 16 16 1 0 1 0",
	"02-seed-mysql-sotw":     "1 7 16 16 1 0 1 0",
	"03-seed-redis":          "1 4 19 19 1 0 1 0",
	"04-default-chain-flip":  "1 9 21 21 1 0 1 0",
	"05-cidr-and-exact":      "1 7 19 19 1 0 1 0",
	"06-registry-only":       "1 6 31 31 1 0 1 0",
	"07-nack":                "1 6 32 32 1 0 1 4",
	"08-reconnect":           "10 14 17 17 10 0 2 0",
	"09-endpoints-churn":     "1 4 64 64 1 0 1 0",
	"10-large":               "1 12 39 39 1 0 1 0",
	"11-dns-capture":         "2 12 32 32 2 0 2 0",
	"12-stall":               "1 9 25 25 1 0 1 0",
	"13-istio-filters":       "1 8 20 20 1 0 1 0",
	"14-drain":               "1 11 26 26 1 0 1 0",
	"15-large-sotw":          "1 12 39 39 1 0 1 0",
	"16-connection-age":      "5 22 32 32 5 0 1 0",
	"30-envoy-gateway-delta": "5 14 33 33 5 0 2 1",
	"32-gcp-ads-sotw-ttl":    "6 9 42 43 6 0 2 2",
	"34-gcp-mux-delta":       "21 11 18 17 21 0 2 1",
	"36-agent-envoy-side":    "8 26 20 20 8 0 2 0",
	"37-agent-istiod-side":   "6 20 25 25 6 0 2 0",
	"50-istio-1.4-v2":        "1 6 22 22 1 0 1 0",
	"51-istio-1.6-v2":        "1 6 22 22 1 0 1 0",
}

func TestRecordings(t *testing.T) {
	for _, f := range sessions(t) {
		name := filepath.Base(filepath.Dir(f))
		src := recording(t, f)
		n, nacks := map[xds.Kind]int{}, 0
		for _, r := range all(t, src) {
			n[r.Kind]++
			if r.Answer != nil && r.Answer.NACK() {
				nacks++
			}
		}
		ids, _ := src.Sidecars()
		got := fmt.Sprint(n[xds.KindOpen], n[xds.KindRequest], n[xds.KindPush], n[xds.KindAnswer], n[xds.KindClose], n[xds.KindGap], len(ids), nacks)
		if got != counts[name] {
			t.Errorf("%q: %q, want %q", name, got, counts[name])
		}
	}
}

func session(t *testing.T, name string) []xds.Record {
	t.Helper()
	return all(t, recording(t, filepath.Join(recordings, name, "session.jsonl.gz")))
}

// Push numbers are 1, 2, ... per sidecar, every answer names its push, and every
// NACK of a storm is counted.
func TestNumbersAndAnswers(t *testing.T) {
	for _, f := range sessions(t) {
		name := filepath.Base(filepath.Dir(f))
		pushes, seen := map[xds.Sidecar]uint64{}, uint64(0)
		answers := map[string]uint64{}
		for _, r := range session(t, name) {
			switch {
			case r.Push != nil:
				seen++
				pushes[r.Sidecar]++
				if r.Push.Number != pushes[r.Sidecar] {
					t.Errorf("%s: push #%d, want #%d", name, r.Push.Number, pushes[r.Sidecar])
				}
			case r.Answer != nil:
				seen += r.Answer.Repeat
				key := fmt.Sprint(r.Sidecar, r.Answer.Push)
				if r.Answer.Push == 0 || answers[key] > 0 && r.Answer.Repeat == 0 {
					t.Errorf("%s: record %d answers #%d, which has %d answers", name, r.Seq, r.Answer.Push, answers[key])
				}
				answers[key]++
			}
		}
		if lines := uint64(bytes.Count(unzip(t, name), []byte(`"event":"response"`))); seen != lines {
			t.Errorf("%s: %d pushes are kept or counted, %d were sent", name, seen, lines)
		}
	}
}

// The storm of 32 is one pair and one count; heartbeats are pushes without
// content; wrapped resources have the name and digest of what is inside.
func TestStormAndHeartbeats(t *testing.T) {
	repeats, repeated, beats, wrapped, other := 0, uint64(0), 0, 0, 0
	for _, r := range session(t, "32-gcp-ads-sotw-ttl") {
		if r.Answer != nil && r.Answer.Repeat > 0 {
			repeats++
			repeated += r.Answer.Repeat
			if !r.Answer.NACK() || r.Answer.Push == 0 {
				t.Errorf("a count that is no NACK: %+v", r.Answer)
			}
		}
		if r.Push == nil {
			continue
		}
		for _, e := range r.Push.Resources {
			switch {
			case e.State == xds.EntryEmpty:
				beats++
			case e.Wrapped && e.TTL.Seconds() == 60 && e.Name != "":
				wrapped++
			default:
				other++
			}
		}
	}
	if repeats != 1 || repeated != 1855 || beats == 0 || wrapped == 0 || other == 0 {
		t.Errorf("%d counts of %d pairs, %d heartbeats, %d wrapped resources, %d others", repeats, repeated, beats, wrapped, other)
	}
}

// Many streams are one sidecar; the withdrawal of 30 has no version; 50 and 51
// speak v2 and get v3's names.
func TestOtherControlPlanes(t *testing.T) {
	streams := map[uint64]bool{}
	for _, r := range session(t, "34-gcp-mux-delta") {
		if r.Push != nil {
			streams[r.Stream] = true
			if r.Sidecar.Node != "gcp-DELTA_GRPC" {
				t.Errorf("34: a push of %v", r.Sidecar)
			}
		}
	}
	if len(streams) < 8 {
		t.Errorf("34: pushes on %d streams", len(streams))
	}
	withdrawn := 0
	for _, r := range session(t, "30-envoy-gateway-delta") {
		if r.Push != nil && r.Push.Version == "" && len(r.Push.Removed) > 0 {
			withdrawn++
		}
	}
	if withdrawn == 0 {
		t.Error("30: no withdrawal")
	}
	for _, name := range []string{"50-istio-1.4-v2", "51-istio-1.6-v2"} {
		found := false
		for _, r := range session(t, name) {
			if r.Push == nil {
				continue
			}
			if !strings.Contains(r.Push.Type, ".v2.") {
				t.Errorf("%s: a push of type %s", name, r.Push.Type)
			}
			for _, e := range r.Push.Resources {
				found = found || e.Name == "0.0.0.0_3306"
			}
		}
		if !found {
			t.Errorf("%s: no listener 0.0.0.0_3306", name)
		}
	}
}

func unzip(t testing.TB, name string) []byte { return head(t, name, -1) }
