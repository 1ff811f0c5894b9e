package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"time"
)

// series is what one mode gave in the rounds of one payload.
type series struct {
	p50, cpu, fwd []float64 // of each round: ms; ms per MB of the process; of its forwarding threads
	all           []float64 // of each message
}

// sizes of the pushes, as istiod makes them for about 1,500, 7,000 and 28,000
// clusters, and how many make a round.
var sizes = []struct {
	bytes, label string
	n            int
}{{"1350000", "1.35 MB", 10}, {"6150000", "6.15 MB", 6}, {"24600000", "24.6 MB", 4}}

// lone gives the modes that make sense for a single stream.
func (w *world) lone(ctx context.Context) error {
	names := []string{"direct", "splice", "copy", "off", "on", "judge", "split", "grpc-ref", "grpc-decode"}
	if w.b.modes != "" {
		names = strings.Split("splice,"+w.b.modes, ",")
	}
	if _, err := exec.LookPath("haproxy"); err == nil && w.b.modes != "" {
	} else if err == nil {
		names = append(names, "haproxy")
	} else {
		w.b.report.skip("haproxy", "it is not installed")
	}
	for _, n := range names {
		if _, err := w.add(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// latencySection is a large push, one at a time, 1 % of it new.
func latencySection(ctx context.Context, b *bench) error {
	w, err := b.world(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.lone(ctx); err != nil {
		return err
	}
	for _, size := range sizes {
		got, err := w.alternate(size.bytes, 0.01, b.rounds, size.n)
		if err != nil {
			return err
		}
		b.latencies(size.label, got)
	}
	return nil
}

// alternate pushes n times through each mode in each round, and lets all that it
// set in motion come to rest before the next one has its turn.
func (w *world) alternate(payload string, churn float64, rounds, n int) (map[string]*series, error) {
	got := map[string]*series{}
	for _, m := range w.modes {
		got[m.name] = &series{}
		if _, err := m.open(w.client, command{ID: id(m, payload), Payload: payload, Churn: churn}); err != nil {
			return nil, err
		}
		if _, err := w.client.tell(command{Op: "push", ID: id(m, payload), Count: 2}); err != nil { // the first holds nothing that is known
			return nil, err
		}
		settle(20*time.Second, m.proxy.pids()...)
	}
	for range rounds {
		for _, i := range rand.Perm(len(w.modes)) {
			if err := w.turn(w.modes[i], payload, n, got[w.modes[i].name]); err != nil {
				return nil, err
			}
		}
	}
	for _, m := range w.modes {
		if _, err := w.client.tell(command{Op: "close", ID: id(m, payload)}); err != nil {
			return nil, err
		}
	}
	return got, nil
}

func id(m *mode, payload string) string { return strings.ReplaceAll(m.name, " ", "-") + "-" + payload }

func (w *world) turn(m *mode, payload string, n int, s *series) error {
	cpu, rec := cpuOf(m.pid()), m.recorder()
	r, err := w.client.tell(command{Op: "push", ID: id(m, payload), Count: n})
	if err != nil {
		return err
	}
	settle(10*time.Second, m.proxy.pids()...)
	mb := float64(r.Bytes) / 1e6
	used, recorded := cpuOf(m.pid())-cpu, m.recorder()-rec
	s.cpu = append(s.cpu, ms(used)/mb)
	s.fwd = append(s.fwd, ms(used-recorded)/mb)
	var all []float64
	for _, l := range r.Latency {
		all = append(all, float64(l)/1e6)
	}
	s.p50 = append(s.p50, median(all))
	s.all = append(s.all, all...)
	return nil
}

// recorder is the CPU time of the thread that records, where it can be told apart.
func (m *mode) recorder() time.Duration {
	if m.proxy == nil || m.proxy.at.TID == 0 {
		return 0
	}
	return cpuOfThread(m.proxy.pid, m.proxy.at.TID)
}

// latencies writes the lines of one payload.
func (b *bench) latencies(label string, got map[string]*series) {
	floor, r := got["splice"], b.report
	for _, name := range []string{"direct", "splice", "copy", "haproxy", "off", "split", "on", "judge", "grpc-ref", "grpc-decode"} {
		s := got[name]
		if s == nil {
			continue
		}
		p50 := ratios(s.p50, floor.p50)
		line := figure{What: label + ": p50, " + full(name) + " / splice", Measured: p50.mid, Unit: "x",
			Note: fmt.Sprintf("%.2f ms, p99 %.2f ms, n=%d", median(s.all), quantile(s.all, .99), len(s.all))}
		p99 := figure{What: label + ": p99, " + full(name) + " / splice", Measured: quantile(s.all, .99) / quantile(floor.all, .99), Unit: "x"}
		if name == "on" {
			line.Judged, line.Goal, p99.Judged, p99.Goal = true, 1.35, true, 1.5
		}
		r.add(line).over(p50)
		if name == "on" || name == "off" || name == "judge" {
			r.add(p99)
		}
	}
	b.cpus(label, got)
}

func (b *bench) cpus(label string, got map[string]*series) {
	floor, r := got["splice"], b.report
	for _, name := range []string{"splice", "copy", "haproxy", "off", "split", "on", "judge", "grpc-ref", "grpc-decode"} {
		s := got[name]
		if s == nil {
			continue
		}
		cpu := ratios(s.cpu, floor.cpu)
		line := figure{What: label + ": CPU per MB, " + full(name) + " / splice", Measured: cpu.mid, Unit: "x", Note: fmt.Sprintf("%.3f ms/MB", median(s.cpu))}
		switch name {
		case "on":
			line.Judged, line.Goal = true, 2.8
		case "split":
			fwd := ratios(s.fwd, floor.cpu)
			r.add(figure{What: label + ": CPU per MB, forwarding threads / splice", Measured: fwd.mid, Unit: "x", Judged: true, Goal: 2,
				Note: fmt.Sprintf("%.3f ms/MB", median(s.fwd))}).over(fwd)
		}
		r.add(line).over(cpu)
	}
}

// full says what a mode is.
func full(name string) string {
	words := map[string]string{"copy": "64 KiB copy", "off": "xdsproxy --relay-only", "on": "xdsproxy recording", "judge": "xdsproxy recording, live judge",
		"split": "xdsproxy's parts, recorder apart", "grpc-ref": "gRPC relay by reference", "grpc-decode": "gRPC relay, decoding"}
	if s, ok := words[name]; ok {
		return s
	}
	return name
}
