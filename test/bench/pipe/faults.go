package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// traced runs a program with its writes to disk under strace's eyes; delay is added
// to each. The network is written to with other system calls, which go untraced.
func (b *bench) traced(delay string) ([]string, error) {
	bin, err := exec.LookPath("strace")
	if err != nil {
		return nil, err
	}
	calls := "pwrite64,pwritev,fsync,fdatasync"
	args := []string{bin, "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=" + calls, "-e", "signal=none"}
	if delay != "" {
		args = append(args, "-e", "inject="+calls+":delay_exit="+delay)
	}
	return args, nil
}

// faultsSection is a recorder that is dead, whose disk is full, or slow: does a push
// notice?
func faultsSection(ctx context.Context, b *bench) error {
	w, err := b.world(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	if _, err := w.add(ctx, "splice"); err != nil {
		return err
	}
	if _, err := w.add(ctx, "on"); err != nil {
		return err
	}
	undo, err := w.ill(ctx)
	defer undo()
	if err != nil {
		return err
	}
	got, err := w.alternate("6150000", .01, b.rounds, 6)
	if err != nil {
		return err
	}
	against := map[string]string{"on dead": "on", "on full": "on", "on slow": "on traced"}
	for _, m := range w.modes[2:] {
		base, ok := against[m.name]
		if !ok || got[base] == nil {
			continue
		}
		r := ratios(got[m.name].p50, got[base].p50)
		note := ""
		if m.name == "on slow" {
			note = "100 ms more for each write and fsync; healthy runs under strace too"
		}
		b.report.atMost("6.15 MB: p50, recorder "+strings.TrimPrefix(m.name, "on ")+" / healthy", 1.05, r.mid, "x").over(r).Note = note
	}
	return nil
}

// ill starts xdsproxy with recorders that cannot do their work.
func (w *world) ill(ctx context.Context) (undo func(), err error) {
	undo = func() {}
	file := filepath.Join(w.b.dir, "a-file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return undo, err
	}
	dead := &mode{name: "on dead"}
	if err := w.xdsproxy(ctx, dead, []string{"--store", filepath.Join(file, "store")}); err != nil {
		return undo, err
	}
	w.modes = append(w.modes, dead)
	small := filepath.Join(w.b.dir, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		return undo, err
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=256k"); err != nil {
		w.b.report.skip("p50, disk full / healthy", fmt.Sprintf("no small file system: %v", err))
	} else {
		undo = func() { _ = syscall.Unmount(small, syscall.MNT_DETACH) }
		full := &mode{name: "on full", store: filepath.Join(small, "store")}
		if err := w.xdsproxy(ctx, full, []string{"--store", full.store}); err != nil {
			return undo, err
		}
		w.modes = append(w.modes, full)
	}
	for name, delay := range map[string]string{"on traced": "", "on slow": "100000"} {
		by, err := w.b.traced(delay)
		if err != nil {
			w.b.report.skip("p50, recorder slow / healthy", "no strace here")
			return undo, nil //nolint:nilerr // told
		}
		m := &mode{name: name, store: filepath.Join(w.b.dir, "store-"+strings.ReplaceAll(name, " ", "-"))}
		if err := w.xdsproxyBy(ctx, m, by, []string{"--store", m.store}); err != nil {
			return undo, err
		}
		w.modes = append(w.modes, m)
	}
	return undo, nil
}

// slowdiskSection is the first push of 25 MB, all of it new, onto a disk that takes
// 100 ms for each write.
func slowdiskSection(ctx context.Context, b *bench) error {
	const what = "first push of 24.6 MB onto a disk with 100 ms a write: resources without bytes"
	by, err := b.traced("100000")
	if err != nil {
		b.report.skip(what, "no strace here")
		return nil //nolint:nilerr // told
	}
	w, err := b.world(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	m := &mode{name: "on slow", store: filepath.Join(b.dir, "store-slow")}
	if err := w.xdsproxyBy(ctx, m, by, []string{"--store", m.store}); err != nil {
		return err
	}
	w.modes = append(w.modes, m)
	stop := watch(m.pid())
	if _, err := m.open(w.client, command{ID: "first", Payload: "24600000", Churn: .01}); err != nil {
		return err
	}
	r, err := w.client.tell(command{Op: "push", ID: "first"})
	if err != nil {
		return err
	}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if m.metric("xdsproxy_queue_bytes") == 0 && m.metric("xdsproxy_assembly_bytes") == 0 {
			break
		}
	}
	peak := stop()
	dropped := m.metric("xdsproxy_bodies_dropped_total")
	if err := m.proxy.stop(); err != nil { // what waits is written
		return err
	}
	k, err := keptIn(m.store)
	if err != nil {
		return err
	}
	b.report.atMost(what, 0, float64(k.bodyless), "").Note = fmt.Sprintf("%d push recorded, %.0f bodies dropped, %d gaps, push took %.0f ms, highest RssAnon %.0f MB",
		k.pushes, dropped, k.gaps, float64(r.Latency[0])/1e6, float64(peak)/mb)
	return nil
}
