package cli

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// TestMeterCounts: pushes, answers and their latency by type; a type that a server
// made up is no series of its own.
func TestMeterCounts(t *testing.T) {
	at := time.Unix(1000, 0)
	m := newMeter(func() time.Time { return at })
	made := xds.TypePrefix + "made.up.Type"
	m.wrote([]xds.Record{
		{Seq: 1, Kind: xds.KindPush, Stream: 1, Time: at, Push: &xds.Push{Number: 1, Type: xds.ListenerType, Size: 100}},
		{Seq: 2, Kind: xds.KindPush, Stream: 1, Time: at, Push: &xds.Push{Number: 2, Type: made}},
		{Seq: 3, Kind: xds.KindAnswer, Stream: 1, Time: at.Add(3 * time.Millisecond), Answer: &xds.Answer{Push: 1,
			Request: xds.Request{Type: xds.ListenerType, Error: &xds.Status{Code: 13}}}},
		{Seq: 4, Kind: xds.KindAnswer, Stream: 1, Time: at.Add(time.Second), Answer: &xds.Answer{Push: 1, Repeat: 7,
			Request: xds.Request{Type: xds.ListenerType, Error: &xds.Status{Code: 13}}}},
		{Seq: 5, Kind: xds.KindGap, Gap: &xds.Gap{Reason: "x"}},
	})
	m.failed(3)
	text := scrape(t, m)
	for _, want := range []string{
		`xdsproxy_pushes_total{type="LDS"} 8`,
		`xdsproxy_pushes_total{type="other"} 1`,
		`xdsproxy_answers_total{result="nack",type="LDS"} 8`,
		`xdsproxy_records_total{kind="gap"} 1`,
		`xdsproxy_records_lost_total 3`,
		`xdsproxy_answer_latency_seconds_bucket{type="LDS",le="0.0025"} 0`,
		`xdsproxy_answer_latency_seconds_bucket{type="LDS",le="0.005"} 1`,
		`xdsproxy_answer_latency_seconds_count{type="LDS"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "made") {
		t.Error("a server named a series")
	}
}

func scrape(t *testing.T, m *meter) string {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(m.collectors()...)
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	return rec.Body.String()
}

// TestMeterIsBounded: neither pushes without an answer nor moments of a long
// history pile up, and the lag stays right.
func TestMeterIsBounded(t *testing.T) {
	at := time.Unix(1000, 0)
	m := newMeter(func() time.Time { return at })
	const n = 20_000
	for i := uint64(1); i <= n; i++ {
		at = at.Add(time.Second)
		m.wrote([]xds.Record{{Seq: i, Kind: xds.KindPush, Stream: 1, Time: at, Push: &xds.Push{Number: i, Type: xds.ListenerType, Size: 10}}})
	}
	if len(m.sent) > pushesTimed || len(m.order) > 2*pushesTimed || len(m.marks) > marksKept {
		t.Errorf("%d pushes, %d in order, %d marks", len(m.sent), len(m.order), len(m.marks))
	}
	if l := m.behind(n); l != (lag{}) {
		t.Errorf("a reader at the end is behind: %+v", l)
	}
	l := m.behind(n - 1000)
	if l.records != 1000 || l.bytes < 10_000 || l.bytes > 10_000+64*10 || l.time > 1000*time.Second || l.time < 930*time.Second {
		t.Errorf("1000 behind: %+v", l)
	}
	if l := m.behind(0); l.records != n || l.bytes != 10*n {
		t.Errorf("a reader that has read nothing: %+v", l)
	}
}
