package traffic_test

import (
	"bufio"
	"encoding/json"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// What depends on hash order inside one Envoy process has no right answer but
// unknown, unless all outcomes agree with ours: then only the listener is random,
// not the end of this connection.
func TestRandomChoices(t *testing.T) {
	unsure := 0
	for _, name := range []string{"ambiguous.jsonl", "per_process_random.jsonl"} {
		dirs, _ := filepath.Glob(oracleDir + "/synth-fcm-*")
		for _, dir := range dirs {
			_, view := dumpView(t, readAll(t, filepath.Join(dir, "config_dump.json")))
			s := bufio.NewScanner(strings.NewReader(string(readAll(t, filepath.Join(dir, name)))))
			s.Buffer(nil, 1<<24)
			for s.Scan() {
				for _, c := range randomCases(t, s.Bytes()) {
					v := view.Resolve(netip.MustParseAddrPort(c.Dst), netip.MustParseAddr(c.Src), c.Signal)
					g := gradeCase(c, v)
					if g == unknown {
						unsure++
					}
					if g == wrong {
						t.Errorf("%s %s: %s %+v from %s: %s %s %v", filepath.Base(dir), name, c.Dst, c.Signal, c.Src, v.Kind, v.Cluster, v.Path)
					}
				}
			}
		}
	}
	if unsure < 200 {
		t.Errorf("only %d cases are unknown", unsure)
	}
}

func randomCases(t *testing.T, line []byte) []oracleCase {
	t.Helper()
	var cs []oracleCase
	if err := json.Unmarshal(line, &cs); err != nil {
		var c oracleCase
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		cs = []oracleCase{c}
	}
	for i := range cs {
		if cs[i].Src == "" {
			cs[i].Src = "10.0.0.9"
			if strings.HasPrefix(cs[i].Dst, "[") {
				cs[i].Src = "fd00::9"
			}
		}
	}
	return cs
}

// Production sidecars carry filters of Istio's own, and those of 1.4 and 1.6 speak
// xDS v2: none of that may make TCP traffic unknown.
func TestProductionShapes(t *testing.T) {
	for _, name := range []string{"13-istio-filters", "50-istio-1.4-v2", "51-istio-1.6-v2", "10-large", "36-agent-envoy-side"} {
		t.Run(name, func(t *testing.T) {
			s := openSession(t, filepath.Join(recordings, name))
			s.until(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
			v := s.view(t, "")
			for _, dst := range []string{"10.10.13.110:3306", "10.68.228.107:3306", "8.8.8.8:8080", "8.8.8.8:80", "1.2.3.4:9999", "10.68.228.107:443"} {
				for _, c := range v.Classes(netip.MustParseAddrPort(dst), netip.MustParseAddr("10.0.0.9")) {
					if c.Kind == xds.Unknown {
						t.Errorf("%s %+v: %s %v", dst, c.Class, c.Reason, c.Path)
					}
				}
			}
		})
	}
}
