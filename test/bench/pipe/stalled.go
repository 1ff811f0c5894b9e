package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"
)

// stalledSection is 50 readers that do not read for a while, 12 MB each: what the
// proxy holds, whether the recorder loses anything, whether others notice.
func stalledSection(ctx context.Context, b *bench) error {
	w, err := b.world(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	n := 50
	if b.quick {
		n = 10
	}
	peaks := map[string]int64{}
	for _, name := range []string{"splice", "off", "on", "grpc-ref"} {
		m, err := w.add(ctx, name)
		if err != nil {
			return err
		}
		if peaks[name], err = w.stall(m, n); err != nil {
			return err
		}
		if name == "on" {
			if err := w.lost(ctx, m, n); err != nil {
				return err
			}
		}
	}
	for _, m := range w.modes {
		line := figure{What: fmt.Sprintf("%d readers stall, 12.3 MB each: highest RssAnon, %s / splice in the same program", n, full(m.name)),
			Measured: float64(peaks[m.name]) / float64(peaks["off"]), Unit: "x", Note: fmt.Sprintf("%.1f MB", float64(peaks[m.name])/mb)}
		switch m.name {
		case "splice":
			line.What = fmt.Sprintf("%d readers stall, 12.3 MB each: highest RssAnon, a program that does nothing else than splice / xdsproxy --relay-only", n)
		case "on":
			line.Judged, line.Goal = true, 2
		}
		b.report.add(line)
	}
	return w.others(ctx)
}

func (w *world) stall(m *mode, n int) (int64, error) {
	stop := watch(m.pid())
	name := "stall-" + m.name
	if _, err := m.open(w.client, command{ID: name, Payload: "6150000", Streams: n, Burst: 2}); err != nil {
		return 0, err
	}
	time.Sleep(3 * time.Second)
	r, err := w.client.tell(command{Op: "read", ID: name, Count: 2})
	peak := stop()
	if err == nil && r.Count != 2*n {
		err = fmt.Errorf("%d of %d messages have arrived", r.Count, 2*n)
	}
	if err == nil {
		_, err = w.client.tell(command{Op: "close", ID: name})
	}
	settle(20*time.Second, m.proxy.pids()...)
	return peak, err
}

// lost says what the recorder has missed of the stalled streams.
func (w *world) lost(ctx context.Context, m *mode, n int) error {
	time.Sleep(1500 * time.Millisecond)
	k, err := keptIn(m.store)
	if err != nil {
		return err
	}
	ok, err := w.b.verified(ctx, m.store)
	if err != nil {
		return err
	}
	w.b.report.atMost(fmt.Sprintf("%d readers stall, 12.3 MB each: pushes that are not recorded, of %d", n, 2*n), 0, float64(2*n-k.pushes), "").Note =
		fmt.Sprintf("%d resources without bytes, %d gaps %v, store whole: %v", k.bodyless, k.gaps, k.why, ok)
	return nil
}

// others pushes to one that reads while others do not: with readers that stall, and
// with a client that is stopped (SIGSTOP) in the middle of what it is sent.
func (w *world) others(ctx context.Context) error {
	var m *mode
	for _, x := range w.modes {
		if x.name == "on" {
			m = x
		}
	}
	if _, err := m.open(w.client, command{ID: "healthy", Payload: "1350000", Churn: .01}); err != nil {
		return err
	}
	sick := 20
	states := []string{"alone", "stalled", "frozen"}
	got := map[string]*series{}
	for _, s := range states {
		got[s] = &series{}
	}
	rounds := max(4, w.b.rounds/3)
	for round := range rounds {
		for _, i := range rand.Perm(len(states)) {
			if err := w.beside(ctx, m, states[i], fmt.Sprintf("sick-%d-%d", round, i), sick, got[states[i]]); err != nil {
				return err
			}
		}
	}
	for _, s := range states[1:] {
		r := ratios(got[s].p50, got["alone"].p50)
		w.b.report.atMost(fmt.Sprintf("p50 of 1.35 MB to another stream with %d %s ones / without", sick, s), 1.1, r.mid, "x").over(r)
	}
	return nil
}

// beside measures one stream while others are in a state.
func (w *world) beside(ctx context.Context, m *mode, state, name string, n int, s *series) (err error) {
	switch state {
	case "stalled":
		if _, err := m.open(w.client, command{ID: name, Payload: "6150000", Streams: n, Burst: 2}); err != nil {
			return err
		}
	case "frozen":
		c, err := w.role(ctx, "client-"+name, "role-client", "-upstream", w.server.at.Addr)
		if err != nil {
			return err
		}
		if _, err := m.open(c, command{ID: name, Payload: "6150000", Streams: n, Burst: 2, Wide: true}); err != nil {
			return err
		}
		_ = syscall.Kill(c.pid, syscall.SIGSTOP)
		defer func() {
			_ = syscall.Kill(c.pid, syscall.SIGKILL)
			_ = c.stop()
		}()
	}
	time.Sleep(300 * time.Millisecond)
	settle(5*time.Second, append(m.proxy.pids(), w.server.pid)...)
	r, err := w.client.tell(command{Op: "push", ID: "healthy", Count: 20})
	if err != nil {
		return err
	}
	var all []float64
	for _, l := range r.Latency {
		all = append(all, float64(l)/1e6)
	}
	s.p50 = append(s.p50, median(all))
	if strings.HasPrefix(state, "stalled") {
		if _, err = w.client.tell(command{Op: "close", ID: name}); err != nil {
			return err
		}
	}
	settle(5*time.Second, append(m.proxy.pids(), w.server.pid, w.client.pid)...)
	return nil
}
