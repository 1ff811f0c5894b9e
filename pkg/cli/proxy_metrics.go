package cli

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/xdsproxy/xdsproxy/pkg/admin"
	"github.com/xdsproxy/xdsproxy/pkg/intercept"
)

// resumeFile is where the judge notes how far it is, beside the segments.
const resumeFile = "events.resume"

// metrics lists what /metrics publishes.
func (p *proxy) metrics() []admin.Metric {
	s := p.stats
	all := []admin.Metric{
		counter("connections_total", "Connections accepted.", &s.Connections),
		counter("dial_failures_total", "Connections reset because the control plane could not be reached.", &s.DialFailures),
		counter("accept_failures_total", "Connections that could not be accepted.", &s.AcceptFailures),
		counter("streams_total", "gRPC streams seen.", &s.Streams),
		counter("requests_total", "Discovery requests seen.", &s.Requests),
		counter("responses_total", "Discovery responses (pushes) seen.", &s.Responses),
		counter("unobserved_connections_total", "Connections that do not speak HTTP/2 and were forwarded unseen.", &s.Unobserved),
		counter("observer_detached_total", "Connections whose observer gave up; they were forwarded on.", &s.Detached),
		counter("sightings_lost_total", "Messages not recorded because the queue was full.", &s.SightingsLost),
		counter("bodies_dropped_total", "Resources recorded without their content because memory was full.", &s.BodiesDropped),
		gauge("connections_active", "Connections open now.", func() float64 { return float64(s.Active.Load()) }),
		gauge("queue_bytes", "Waiting to be recorded.", func() float64 { return float64(s.QueueBytes.Load()) }),
		gauge("assembly_bytes", "Held for messages that are not complete.", func() float64 { return float64(s.AssemblyBytes()) }),
		gauge("recording", "1 when what passes is recorded.", p.recording),
		gauge("store_bytes", "Size of the store's segments on the disk.", p.storeBytes),
		gauge("store_free_bytes", "What the store's file system has left for this user.", p.storeFree),
	}
	for _, h := range []string{admin.OK, admin.Degraded} {
		all = append(all, labelledGauge("health", "1 for the state the proxy is in; degraded: traffic flows, something else does not work.", "state", h, func() float64 {
			return flag((h == admin.Degraded) == (len(p.reasons()) > 0))
		}))
	}
	if p.o.judged() {
		all = append(all,
			gauge("judge_lag_records", "Records written that the live judge has not noted as handled.", func() float64 { return float64(p.judgeLag().records) }),
			gauge("judge_lag_bytes", "Size on the wire of the pushes, requests and answers among them.", func() float64 { return float64(p.judgeLag().bytes) }),
			gauge("judge_lag_seconds", "Since when the oldest of them has been waiting.", func() float64 { return p.judgeLag().time.Seconds() }))
	}
	all = append(all, labelled("bytes_total", "Bytes forwarded.", "direction", "up", func() float64 { return float64(s.BytesUp.Load()) }),
		labelled("bytes_total", "Bytes forwarded.", "direction", "down", func() float64 { return float64(s.BytesDown.Load()) }))
	for _, r := range intercept.GapReasons() {
		all = append(all, labelled("gaps_total", "Gaps in what was seen, by reason.", "reason", r.String(), func() float64 { return float64(s.Gaps(r)) }))
	}
	return all
}

func (p *proxy) recording() float64 { return flag(p.history.Load() != nil && p.unwell.get() == "") }

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// reasons are what does not work although traffic flows.
func (p *proxy) reasons() []string {
	var out []string
	if why := p.unwell.get(); why != "" {
		out = append(out, why)
	}
	if worked, failed := p.stats.DialedAt.Load(), p.stats.DialFailedAt.Load(); failed > worked {
		out = append(out, "upstream: the last connection to the control plane failed")
	}
	return out
}

func (p *proxy) degraded() string { return strings.Join(p.reasons(), "; ") }

// storeBytes and storeFree are not a number while there is no store.
func (p *proxy) storeBytes() float64 {
	h := p.history.Load()
	if h == nil {
		return math.NaN()
	}
	n, _, err := segmentBytes(h.cfg.dir)
	if err != nil {
		return math.NaN()
	}
	return float64(n)
}

func (p *proxy) storeFree() float64 {
	h := p.history.Load()
	if h == nil {
		return math.NaN()
	}
	free, _, err := diskFree(h.cfg.dir)
	if err != nil {
		return math.NaN()
	}
	return float64(free)
}

// segmentBytes is the size of a store's segments, and how many there are.
func segmentBytes(dir string) (bytes int64, files int, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		return 0, 0, fmt.Errorf("listing the segments of %s: %w", dir, err)
	}
	for _, name := range names {
		if st, err := os.Stat(name); err == nil { // else it was just pruned
			bytes, files = bytes+st.Size(), files+1
		}
	}
	return bytes, files, nil
}

// judgeLag is what the live judge has still to do. It notes how far it is when
// nothing has come for a moment, in the file that it would go on from.
func (p *proxy) judgeLag() lag {
	h := p.history.Load()
	if h == nil {
		return lag{}
	}
	m, err := openMemory(filepath.Join(h.cfg.dir, resumeFile))
	if err != nil { // being put in place; asked again soon
		return lag{}
	}
	return p.meter.behind(m.state.Seq)
}

func counter(name, help string, from *atomic.Uint64) admin.Metric {
	return admin.Metric{Name: "xdsproxy_" + name, Help: help, Value: func() float64 { return float64(from.Load()) }}
}

func gauge(name, help string, value func() float64) admin.Metric {
	return admin.Metric{Name: "xdsproxy_" + name, Help: help, Gauge: true, Value: value}
}

func labelledGauge(name, help, label, value string, from func() float64) admin.Metric {
	m := labelled(name, help, label, value, from)
	m.Gauge = true
	return m
}

func labelled(name, help, label, value string, from func() float64) admin.Metric {
	return admin.Metric{Name: "xdsproxy_" + name, Help: help, Labels: map[string]string{label: value}, Value: from}
}
