package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, c Config) string {
	t.Helper()
	c.Addr = "127.0.0.1:0"
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addr().String()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(url)
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

func TestHealth(t *testing.T) {
	cases := map[string]struct {
		ready    error
		degraded string
		path     string
		status   int
		body     string
	}{
		"fine":               {nil, "", "/healthz", 200, "ok\n"},
		"alive, not ready":   {errors.New("upstream"), "", "/healthz", 200, "ok\n"},
		"degraded lives":     {nil, "store: disk full", "/healthz", 200, "degraded: store: disk full\n"},
		"degraded is ready":  {nil, "store: disk full", "/readyz", 200, "degraded: store: disk full\n"},
		"ready":              {nil, "", "/readyz", 200, "ok\n"},
		"not ready":          {errors.New("upstream\nrefused"), "", "/readyz", 503, "not ready: upstream refused\n"},
		"nothing else there": {nil, "", "/debug/pprof/", 404, "404 page not found\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			url := start(t, Config{Ready: func(context.Context) error { return c.ready }, Degraded: func() string { return c.degraded }})
			status, body := get(t, url+c.path)
			if status != c.status || body != c.body {
				t.Errorf("%d %q, want %d %q", status, body, c.status, c.body)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	n := 41.0
	url := start(t, Config{Metrics: []Metric{
		{Name: "xdsproxy_things_total", Help: "Things.", Labels: map[string]string{"kind": "a"}, Value: func() float64 { n++; return n }},
		{Name: "xdsproxy_things_total", Help: "Things.", Labels: map[string]string{"kind": "b"}, Value: func() float64 { return 7 }},
		{Name: "xdsproxy_now", Help: "Now.", Gauge: true, Value: func() float64 { return -1 }},
	}})
	_, body := get(t, url+"/metrics")
	for _, want := range []string{`xdsproxy_things_total{kind="a"} 42`, `xdsproxy_things_total{kind="b"} 7`, "xdsproxy_now -1",
		"# TYPE xdsproxy_now gauge", "# TYPE xdsproxy_things_total counter", "process_resident_memory_bytes", "go_goroutines"} {
		if !strings.Contains(body, want+"") {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
}

func TestBad(t *testing.T) {
	one := start(t, Config{})
	if _, err := New(Config{Addr: strings.TrimPrefix(one, "http://")}); err == nil {
		t.Error("listened twice")
	}
	m := Metric{Name: "a", Value: func() float64 { return 0 }}
	if _, err := New(Config{Addr: "127.0.0.1:0", Metrics: []Metric{m, m}}); err == nil {
		t.Error("one metric twice")
	}
}
