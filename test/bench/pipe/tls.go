package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// tlsSection is xdsproxy against a loop that copies, with TLS on both sides.
func tlsSection(ctx context.Context, b *bench) error {
	w, err := b.world(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	up := w.server.at.TLS
	both := []string{"-upstream", up, "-ca", w.cert, "-cert", w.cert, "-key", w.key}
	for _, name := range []string{"copy tls", "split tls"} {
		m, err := w.add(ctx, name, both...)
		if err != nil {
			return err
		}
		m.ca = w.cert
	}
	help, err := exec.CommandContext(ctx, b.xdsproxy, "proxy", "--help").Output()
	if err != nil {
		return err
	}
	if strings.Contains(string(help), "--listen-cert") {
		m, err := w.add(ctx, "on tls", "--upstream-ca", w.cert, "--upstream-server-name", "localhost", "--listen-cert", w.cert, "--listen-key", w.key)
		if err != nil {
			return err
		}
		m.ca = w.cert
	}
	for _, size := range sizes[:2] {
		got, err := w.alternate(size.bytes, .01, b.rounds, size.n)
		if err != nil {
			return err
		}
		floor := got["copy tls"]
		fwd := ratios(got["split tls"].fwd, floor.cpu)
		b.report.atMost(size.label+", TLS on both sides: CPU per MB, forwarding threads / TLS copy loop", 1.25, fwd.mid, "x").over(fwd).Note =
			fmt.Sprintf("copy %.2f, forwarding %.2f ms/MB", median(floor.cpu), median(got["split tls"].fwd))
		if s := got["on tls"]; s != nil {
			cpu, p50 := ratios(s.cpu, floor.cpu), ratios(s.p50, floor.p50)
			b.report.fact(size.label+", TLS on both sides: CPU per MB, xdsproxy recording / TLS copy loop", cpu.mid, "x").over(cpu)
			b.report.fact(size.label+", TLS on both sides: p50, xdsproxy recording / TLS copy loop", p50.mid, "x").over(p50)
		}
	}
	return nil
}

// churnSection is all-new content: every resource of every push has changed.
func churnSection(ctx context.Context, b *bench) error {
	w, err := b.world(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	for _, name := range []string{"splice", "split", "on"} {
		if _, err := w.add(ctx, name); err != nil {
			return err
		}
	}
	got, err := w.alternate("6150000", 1, max(4, b.rounds/2), 3)
	if err != nil {
		return err
	}
	floor := got["splice"]
	fwd := ratios(got["split"].fwd, floor.cpu)
	b.report.fact("6.15 MB, all of it new: CPU per MB, forwarding threads / splice", fwd.mid, "x").over(fwd)
	cpu, p50 := ratios(got["on"].cpu, floor.cpu), ratios(got["on"].p50, floor.p50)
	b.report.fact("6.15 MB, all of it new: CPU per MB, xdsproxy recording / splice", cpu.mid, "x").over(cpu)
	b.report.fact("6.15 MB, all of it new: p50, xdsproxy recording / splice", p50.mid, "x").over(p50)
	return nil
}
