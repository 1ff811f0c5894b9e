package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// ask gets a page of the proxy's admin address, as JSON where there is that.
func (p *proxy) ask(t *testing.T, path string) (int, string) {
	t.Helper()
	var addr string
	await(t, "the admin address", func() bool {
		m := adminAddr.FindStringSubmatch(p.log.String())
		if m != nil {
			addr = m[1]
		}
		return m != nil
	})
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Accept", "application/json, text/plain;q=0.5")
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// series are the numbers of /metrics by name with labels.
func (p *proxy) series(t *testing.T) map[string]float64 {
	t.Helper()
	_, text := p.ask(t, "/metrics")
	out := map[string]float64{}
	for sc := bufio.NewScanner(strings.NewReader(text)); sc.Scan(); {
		name, value, ok := cutLast(sc.Text())
		v, err := strconv.ParseFloat(value, 64)
		if ok && err == nil && strings.HasPrefix(name, "xdsproxy_") {
			out[name] = v
		}
	}
	return out
}

func cutLast(s string) (string, string, bool) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

func sum(series map[string]float64, prefix string) (n float64) {
	for name, v := range series {
		if strings.HasPrefix(name, prefix) {
			n += v
		}
	}
	return n
}

// TestMetrics scrapes the proxy while a recorded session with rejections is played
// through it: the numbers are those of the session.
func TestMetrics(t *testing.T) {
	dir := t.TempDir()
	pl := newPlayer(t)
	p := startProxy(t, filepath.Join(dir, "store"), pl.addr, "--events-file", filepath.Join(dir, "events.jsonl"))
	pl.proxy = p
	lines := session(t, "07-nack")
	responses, bytes := 0.0, 0.0
	for i, l := range lines {
		lines[i].T = lines[0].T // no pauses: nothing here depends on settling
		if l.Event == "response" {
			responses, bytes = responses+1, bytes+float64(len(l.Raw))
		}
	}
	pl.play("unix:"+p.socket, lines)
	var m map[string]float64
	await(t, "all pushes to be recorded", func() bool { m = p.series(t); return sum(m, "xdsproxy_pushes_total{") >= responses })
	if got := sum(m, "xdsproxy_pushes_total{"); got != responses {
		t.Errorf("%v pushes, %v were played", got, responses)
	}
	nacks := 0.0
	for name, v := range m {
		if strings.HasPrefix(name, "xdsproxy_answers_total{") && strings.Contains(name, "nack") {
			nacks += v
		}
	}
	if nacks == 0 || sum(m, "xdsproxy_answer_latency_seconds_count{") == 0 || m[`xdsproxy_pushes_total{type="other"}`] != 0 {
		t.Errorf("%v NACKs, %v timed answers, of other types %v", nacks, sum(m, "xdsproxy_answer_latency_seconds_count{"), m[`xdsproxy_pushes_total{type="other"}`])
	}
	if down, up := m[`xdsproxy_bytes_total{direction="down"}`], m[`xdsproxy_bytes_total{direction="up"}`]; down < bytes || up <= 0 {
		t.Errorf("%v bytes down (%v of messages alone), %v up", down, bytes, up)
	}
	if m["xdsproxy_store_bytes"] <= 0 || m["xdsproxy_store_free_bytes"] <= 0 || m[`xdsproxy_health{state="ok"}`] != 1 || m["xdsproxy_records_lost_total"] != 0 {
		t.Errorf("store %v, free %v, ok %v", m["xdsproxy_store_bytes"], m["xdsproxy_store_free_bytes"], m[`xdsproxy_health{state="ok"}`])
	}
	await(t, "the judge to catch up", func() bool {
		m := p.series(t)
		_, counted := m["xdsproxy_judge_lag_records"]
		return counted && m["xdsproxy_judge_lag_records"] == 0 && m["xdsproxy_judge_lag_seconds"] == 0
	})
	documented(t, m)
	degraded(t, p, pl)
	p.stop(t)
}

// documented: every metric is explained, and no other is.
func documented(t *testing.T, m map[string]float64) {
	t.Helper()
	doc, err := os.ReadFile("../../docs/how-to/monitor.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for name := range m {
		name, _, _ = strings.Cut(name, "{")
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, part)
		}
		there[name] = true
		if !strings.Contains(string(doc), "| `"+name) {
			t.Errorf("docs/how-to/monitor.md has no row for %s", name)
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `(xdsproxy_[a-z_]+)").FindAllSubmatch(doc, -1) {
		if !there[string(row[1])] {
			t.Errorf("docs/how-to/monitor.md explains %s, which there is not", row[1])
		}
	}
}

// degraded: without a control plane the proxy lives, says what is wrong, and is not
// ready.
func degraded(t *testing.T, p *proxy, pl *player) {
	t.Helper()
	pl.srv.Stop()
	c, err := net.Dial("unix", p.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var status int
	var health struct {
		Status  string
		Reasons []string
	}
	await(t, "the failure to show", func() bool {
		var body string
		status, body = p.ask(t, "/healthz")
		if err := json.Unmarshal([]byte(body), &health); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		return health.Status == "degraded"
	})
	if status != http.StatusOK || len(health.Reasons) != 1 || !strings.HasPrefix(health.Reasons[0], "upstream: ") {
		t.Errorf("/healthz: %d %+v", status, health)
	}
	if status, body := p.ask(t, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, `"status":"not ready"`) {
		t.Errorf("/readyz: %d %s", status, body)
	}
	if m := p.series(t); m[`xdsproxy_health{state="degraded"}`] != 1 || m[`xdsproxy_health{state="ok"}`] != 0 {
		t.Errorf("the metric says %v", m)
	}
}
