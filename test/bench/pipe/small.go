package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// pingSection is a request and a response of 1 kB, one after the other.
func pingSection(ctx context.Context, b *bench) error {
	w, err := b.world(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.lone(ctx); err != nil {
		return err
	}
	got := map[string]*series{}
	for _, m := range w.modes {
		got[m.name] = &series{}
		if _, err := m.open(w.client, command{ID: m.name, Payload: "eds", Echo: true}); err != nil {
			return err
		}
		if err := w.pings(m, 100, &series{}); err != nil {
			return err
		}
	}
	for range b.rounds {
		for _, i := range rand.Perm(len(w.modes)) {
			if err := w.pings(w.modes[i], 150, got[w.modes[i].name]); err != nil {
				return err
			}
		}
	}
	for _, m := range w.modes {
		s, floor := got[m.name], got["splice"]
		r := ratios(s.p50, floor.p50)
		line := figure{What: "1 kB round trip: p50, " + full(m.name) + " / splice", Measured: r.mid, Unit: "x",
			Note: fmt.Sprintf("%.0f us, CPU %.0f us", 1000*median(s.p50), 1000*median(s.cpu))}
		if m.name == "on" {
			line.Judged, line.Goal = true, 1.2
		}
		b.report.add(line).over(r)
	}
	return nil
}

func (w *world) pings(m *mode, n int, s *series) error {
	cpu := cpuOf(m.pid())
	r, err := w.client.tell(command{Op: "ping", ID: m.name, Count: n})
	if err != nil {
		return err
	}
	settle(5*time.Second, m.proxy.pids()...)
	var all []float64
	for _, l := range r.Latency {
		all = append(all, float64(l)/1e6)
	}
	s.p50 = append(s.p50, median(all))
	s.cpu = append(s.cpu, ms(cpuOf(m.pid())-cpu)/float64(n))
	return nil
}

// streamsSection is 1,000 clients, a connection each: what each costs while idle,
// and 1 kB pushed to all.
func streamsSection(ctx context.Context, b *bench) error {
	n := 1000
	if b.quick {
		n = 200
	}
	w, err := b.world(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	got := map[string]*series{}
	for _, name := range []string{"direct", "splice", "off", "on", "grpc-ref"} {
		m, err := w.add(ctx, name)
		if err != nil {
			return err
		}
		got[name] = &series{}
		if err := w.crowd(m, n); err != nil {
			return err
		}
	}
	for range b.rounds {
		for _, i := range rand.Perm(len(w.modes)) {
			m := w.modes[i]
			cpu := cpuOf(m.pid())
			r, err := w.client.tell(command{Op: "push", ID: m.name, Count: 1})
			if err != nil {
				return err
			}
			settle(5*time.Second, m.proxy.pids()...)
			s := got[m.name]
			s.p50 = append(s.p50, float64(r.Wall[0])/1e6)
			s.cpu = append(s.cpu, 1000*ms(cpuOf(m.pid())-cpu)/float64(n))
		}
	}
	for _, m := range w.modes {
		r := ratios(got[m.name].p50, got["splice"].p50)
		b.report.add(figure{What: fmt.Sprintf("1 kB to each of %d streams: all have it, %s / splice", n, full(m.name)), Measured: r.mid, Unit: "x",
			Note: fmt.Sprintf("%.0f ms, proxy CPU %.0f us a message", median(got[m.name].p50), median(got[m.name].cpu))}).over(r)
	}
	return nil
}

// crowd opens many streams through a mode and says what they cost while idle.
func (w *world) crowd(m *mode, n int) error {
	var before memory
	if m.proxy != nil {
		settle(2*time.Second, m.proxy.pids()...)
		before = memoryOf(m.pid())
	}
	routines := m.metric("go_goroutines")
	if _, err := m.open(w.client, command{ID: m.name, Payload: "eds", Streams: n}); err != nil {
		return err
	}
	for range 3 { // as a stream is after some pushes
		if _, err := w.client.tell(command{Op: "push", ID: m.name, Count: 1}); err != nil {
			return err
		}
	}
	if m.proxy == nil {
		return nil
	}
	settle(10*time.Second, m.proxy.pids()...)
	each := float64(memoryOf(m.pid()).anon-before.anon) / 1024 / float64(n)
	r := w.b.report
	what := fmt.Sprintf("user memory per idle stream of %d, %s", n, full(m.name))
	if m.name != "on" {
		r.fact(what, each, "KiB")
		return nil
	}
	r.atMost(what, 24, each, "KiB").Note = fmt.Sprintf("RssAnon; in use: heap %.1f KiB, stacks %.1f KiB", m.metric("go_memstats_heap_inuse_bytes")/1024/float64(n),
		m.metric("go_memstats_stack_inuse_bytes")/1024/float64(n))
	r.atMost("goroutines per idle stream, "+full(m.name), 3, (m.metric("go_goroutines")-routines)/float64(n), "")
	return nil
}

// stormSection is many clients that connect at once, each gets 1.35 MB.
func stormSection(ctx context.Context, b *bench) error {
	n, rounds := 300, 5
	if b.quick {
		n, rounds = 60, 2
	}
	w, err := b.world(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	got := map[string]*series{}
	peaks := map[string]int64{}
	for _, name := range []string{"direct", "splice", "off", "on", "grpc-ref"} {
		if _, err := w.add(ctx, name); err != nil {
			return err
		}
		got[name] = &series{}
	}
	for round := range rounds {
		for _, i := range rand.Perm(len(w.modes)) {
			if err := w.storm(w.modes[i], n, round, got[w.modes[i].name], peaks); err != nil {
				return err
			}
		}
	}
	for _, m := range w.modes {
		r := ratios(got[m.name].p50, got["direct"].p50)
		line := figure{What: fmt.Sprintf("%d clients connect at once, 1.35 MB each: all served, %s / direct", n, full(m.name)), Measured: r.mid, Unit: "x",
			Note: fmt.Sprintf("%.0f ms, proxy CPU %.2f s, peak RssAnon %.0f MB", median(got[m.name].p50), median(got[m.name].cpu)/1000, float64(peaks[m.name])/1e6)}
		if m.name == "on" {
			line.Judged, line.Goal = true, 1.7
		}
		b.report.add(line).over(r)
	}
	return nil
}

func (w *world) storm(m *mode, n, round int, s *series, peaks map[string]int64) error {
	name := fmt.Sprintf("%s-%d", m.name, round)
	cpu := cpuOf(m.pid())
	stop := watch(m.pid())
	t := time.Now()
	_, err := m.open(w.client, command{ID: name, Node: m.name, Payload: "1350000", Streams: n, Burst: 1})
	if err == nil {
		_, err = w.client.tell(command{Op: "read", ID: name, Count: 1})
	}
	took := time.Since(t)
	settle(10*time.Second, m.proxy.pids()...)
	peaks[m.name] = max(peaks[m.name], stop())
	if err != nil {
		return err
	}
	s.p50 = append(s.p50, ms(took))
	s.cpu = append(s.cpu, ms(cpuOf(m.pid())-cpu))
	_, err = w.client.tell(command{Op: "close", ID: name})
	settle(5*time.Second, append(m.proxy.pids(), w.client.pid, w.server.pid)...)
	return err
}
