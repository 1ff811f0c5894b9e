package replay

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// held is what a config_dump shows of what was pushed: by type and name.
type held map[string]map[string]any

// sections are where it stands in a dump.
var sections = map[string][]string{
	"dynamic_active_clusters":  {"cluster"},
	"dynamic_listeners":        {"active_state", "listener"},
	"dynamic_route_configs":    {"route_config"},
	"dynamic_endpoint_configs": {"endpoint_config"},
}

func read(t *testing.T, raw []byte) held {
	t.Helper()
	var d struct{ Configs []map[string]any }
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatalf("no config_dump: %v: %.200s", err, raw)
	}
	out := held{}
	for _, c := range d.Configs {
		for section, path := range sections {
			list, _ := c[section].([]any)
			for _, e := range list {
				if body := at(e, path); body != nil {
					out.add(section, body)
				}
			}
		}
	}
	out.prune()
	return out
}

func at(v any, path []string) map[string]any {
	for _, k := range path {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	m, _ := v.(map[string]any)
	return m
}

func (h held) add(section string, body map[string]any) {
	name, _ := body["name"].(string)
	if name == "" {
		name, _ = body["cluster_name"].(string)
	}
	if h[section] == nil {
		h[section] = map[string]any{}
	}
	h[section][name] = body
}

// prune leaves out what no push brought: the addresses that clusters of other types
// than EDS found, and routes that only draining connections still need.
func (h held) prune() {
	eds := map[string]bool{}
	for name, c := range h["dynamic_active_clusters"] {
		c := c.(map[string]any)
		if c["type"] != "EDS" {
			continue
		}
		if s, _ := at(c, []string{"eds_cluster_config"})["service_name"].(string); s != "" {
			name = s
		}
		eds[name] = true
	}
	for name := range h["dynamic_endpoint_configs"] {
		if !eds[name] {
			delete(h["dynamic_endpoint_configs"], name)
		}
	}
	listeners, _ := json.Marshal(h["dynamic_listeners"])
	for name := range h["dynamic_route_configs"] {
		if !strings.Contains(string(listeners), fmt.Sprintf(`"route_config_name":%q`, name)) {
			delete(h["dynamic_route_configs"], name)
		}
	}
}

// differs names the first difference, "" for none.
func differs(want, got held) string {
	for section := range sections {
		for name, a := range want[section] {
			b, ok := got[section][name]
			if !ok {
				return fmt.Sprintf("%s %s is missing", section, name)
			}
			if !reflect.DeepEqual(a, b) {
				x, _ := json.Marshal(a)
				y, _ := json.Marshal(b)
				return fmt.Sprintf("%s %s differs\nrecorded: %.1500s\nreplayed: %.1500s", section, name, x, y)
			}
		}
		for name := range got[section] {
			if _, ok := want[section][name]; !ok {
				return fmt.Sprintf("%s %s is too much", section, name)
			}
		}
	}
	return ""
}

// recorded are the dumps of a recording by the number of the last push before them.
func recorded(t *testing.T, name, pod string, log []pushed) map[int][]string {
	t.Helper()
	paths, err := filepath.Glob("../recordings/" + name + "/envoy-config-dump-*.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	out := map[int][]string{}
	for _, p := range paths {
		step := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(p), "envoy-config-dump-"), ".json.gz")
		if pod != "" {
			var mine bool
			if step, mine = strings.CutSuffix(step, "-"+pod); !mine {
				continue
			}
		}
		end, n := endOf(t, name, step), 0
		for _, l := range log {
			if l.Time.Before(end) {
				n++
			}
		}
		out[n] = append(out[n], p)
	}
	return out
}

// endOf is when the step after this one began.
func endOf(t *testing.T, name, step string) time.Time {
	t.Helper()
	raw, err := os.ReadFile("../recordings/" + name + "/steps.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	met := false
	for l := range strings.Lines(string(raw)) {
		var j struct {
			T    time.Time
			Step string
		}
		if err := json.Unmarshal([]byte(l), &j); err != nil {
			t.Fatal(err)
		}
		if met && j.Step != step {
			return j.T
		}
		met = met || j.Step == step
	}
	t.Fatalf("step %s of %s has no end", step, name)
	return time.Time{}
}

func unzip(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
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
	return b
}

// sameAs waits until an Envoy's dump equals a recorded one.
func sameAs(t *testing.T, admin, path string) {
	t.Helper()
	want, last := read(t, unzip(t, path)), "nothing was compared"
	if len(want["dynamic_active_clusters"]) == 0 {
		t.Fatalf("%s holds no cluster", path)
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		r, err := http.Get("http://" + admin + "/config_dump?include_eds")
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if last = differs(want, read(t, b)); last == "" {
			return
		}
	}
	t.Errorf("%s: %s", filepath.Base(path), last)
}
