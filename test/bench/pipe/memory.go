package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/store"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const mb = 1e6

// memorySection is what xdsproxy needs idle and after pushes of 25 MB, and its
// judge for the first of them.
func memorySection(ctx context.Context, b *bench) error {
	w, err := b.world(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	for _, name := range []string{"splice", "off", "on", "split", "judge", "grpc-ref"} {
		m, err := w.add(ctx, name)
		if err != nil {
			return err
		}
		if err := w.grown(m); err != nil {
			return err
		}
	}
	return nil
}

// grown pushes 25 MB a number of times and reads what the process holds then.
func (w *world) grown(m *mode) error {
	settle(3*time.Second, m.proxy.pids()...)
	idle := memoryOf(m.pid()).anon
	stop := watch(m.pid())
	if _, err := m.open(w.client, command{ID: m.name, Payload: "24600000", Churn: .01}); err != nil {
		return err
	}
	if _, err := w.client.tell(command{Op: "push", ID: m.name, Count: 1}); err != nil {
		return err
	}
	if m.name == "judge" {
		_ = stop()
		return w.judged(m)
	}
	settle(20*time.Second, m.proxy.pids()...)
	if _, err := w.client.tell(command{Op: "push", ID: m.name, Count: 10}); err != nil {
		return err
	}
	settle(20*time.Second, m.proxy.pids()...)
	time.Sleep(1500 * time.Millisecond) // the recorder has its ticks of a second
	peak, after := stop(), memoryOf(m.pid()).anon
	r := w.b.report
	if m.name != "on" {
		r.fact("RssAnon after 11 pushes of 24.6 MB, "+full(m.name), float64(after)/mb, "MB").Note = fmt.Sprintf("idle %.1f, peak %.1f MB", float64(idle)/mb, float64(peak)/mb)
		return nil
	}
	r.atMost("RssAnon idle, "+full(m.name), 12, float64(idle)/mb, "MB")
	r.atMost("RssAnon after 11 pushes of 24.6 MB, "+full(m.name), 24, float64(after)/mb, "MB").Note =
		fmt.Sprintf("in use: heap %.1f MB, stacks %.1f MB", m.metric("go_memstats_heap_inuse_bytes")/mb, m.metric("go_memstats_stack_inuse_bytes")/mb)
	r.atMost("highest RssAnon during them, "+full(m.name), 24+33.6, float64(peak)/mb, "MB").Note = "24 MB and the queue of 32 MiB"
	return nil
}

// judged waits until the judge has told the first push, and reads its highest.
func (w *world) judged(m *mode) error {
	settle(40*time.Second, m.proxy.pids()...)
	time.Sleep(2 * time.Second)
	settle(40*time.Second, m.proxy.pids()...)
	for _, pid := range childrenOf(m.pid()) {
		mem := memoryOf(pid)
		w.b.report.atMost("the judge's peak memory / bytes of the first snapshot (24.6 MB of clusters)", 6, float64(mem.peak)/24.6e6, "x").Note =
			fmt.Sprintf("VmHWM %.0f MB, RssAnon now %.0f MB", float64(mem.peak)/mb, float64(mem.anon)/mb)
		return nil
	}
	return errors.New("there is no judge: " + m.proxy.said())
}

// kept is what a store holds of pushes: how many, how many resources have no
// bytes, and how many gaps there are.
type kept struct {
	pushes, bodyless, gaps int
	why                    map[string]int // the reasons of the gaps
}

func keptIn(dir string) (k kept, err error) {
	k.why = map[string]int{}
	r, err := store.OpenReader(dir)
	if err != nil {
		return k, err
	}
	defer r.Close()
	ids, err := r.Sidecars()
	if err != nil {
		return k, err
	}
	if len(ids) == 0 {
		ids = append(ids, xds.Sidecar{})
	}
	for i, id := range ids {
		for rec, err := range r.Records(id, 1) {
			if err != nil {
				return k, err
			}
			switch {
			case rec.Push != nil:
				k.pushes++
				for _, e := range rec.Push.Resources {
					if _, ok, err := r.Body(e.Digest); e.State != xds.EntryBody || !ok || err != nil {
						k.bodyless++
					}
				}
			case rec.Gap != nil && (i == 0 || !rec.Sidecar.IsZero()):
				k.gaps++
				k.why[rec.Gap.Reason]++
			}
		}
	}
	return k, nil
}

// verified asks xdsproxy itself.
func (b *bench) verified(ctx context.Context, dir string) (bool, error) {
	out, err := exec.CommandContext(ctx, b.xdsproxy, "store", "verify", "--store", dir, "-o", "json").Output()
	var r struct{ OK bool }
	if jerr := json.Unmarshal(out, &r); jerr != nil {
		return false, fmt.Errorf("store verify: %w, %w", err, jerr)
	}
	return r.OK, nil
}
