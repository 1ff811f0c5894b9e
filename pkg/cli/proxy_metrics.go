package cli

import (
	"sync/atomic"

	"github.com/xdsproxy/xdsproxy/pkg/admin"
	"github.com/xdsproxy/xdsproxy/pkg/intercept"
)

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
	}
	all = append(all, labelled("bytes_total", "Bytes forwarded.", "direction", "up", func() float64 { return float64(s.BytesUp.Load()) }),
		labelled("bytes_total", "Bytes forwarded.", "direction", "down", func() float64 { return float64(s.BytesDown.Load()) }))
	for _, r := range intercept.GapReasons() {
		all = append(all, labelled("gaps_total", "Gaps in what was seen, by reason.", "reason", r.String(), func() float64 { return float64(s.Gaps(r)) }))
	}
	return all
}

func (p *proxy) recording() float64 {
	if p.history.Load() == nil || p.unwell.get() != "" {
		return 0
	}
	return 1
}

func counter(name, help string, from *atomic.Uint64) admin.Metric {
	return admin.Metric{Name: "xdsproxy_" + name, Help: help, Value: func() float64 { return float64(from.Load()) }}
}

func gauge(name, help string, value func() float64) admin.Metric {
	return admin.Metric{Name: "xdsproxy_" + name, Help: help, Gauge: true, Value: value}
}

func labelled(name, help, label, value string, from func() float64) admin.Metric {
	return admin.Metric{Name: "xdsproxy_" + name, Help: help, Labels: map[string]string{label: value}, Value: from}
}
