package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// anchor compresses the same history with what others would use.
func (b *bench) anchor(ctx context.Context, pushes int, fresh func() (*past, error)) error {
	if err := b.zstd(ctx, pushes, fresh); err != nil {
		return err
	}
	return b.git(ctx, pushes, fresh)
}

func (b *bench) zstd(ctx context.Context, pushes int, fresh func() (*past, error)) error {
	const what = "anchor: raw/disk of one `zstd -19 --long=27` stream"
	bin, err := exec.LookPath("zstd")
	if err != nil {
		b.report.skip(what, "no zstd here")
		return nil
	}
	p, err := fresh()
	if err != nil {
		return err
	}
	out := filepath.Join(b.dir, "history.zst")
	cmd := exec.CommandContext(ctx, bin, "-19", "--long=27", "-q", "-f", "-o", out)
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var buf []byte
	for range pushes {
		push, _ := p.step()
		buf = p.message(buf, push)
		if _, err := in.Write(buf); err != nil {
			return err
		}
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("compressing the history: %w", err)
	}
	st, err := os.Stat(out)
	if err != nil {
		return err
	}
	b.report.fact(what, float64(p.raw)/float64(st.Size()), "x").Note = fmt.Sprintf("%d bytes; it must be read from its beginning", st.Size())
	return nil
}

// git keeps a file for each cluster and a commit for each push.
func (b *bench) git(ctx context.Context, pushes int, fresh func() (*past, error)) error {
	const what = "anchor: raw/disk of a git pack (repack -adf --depth=50)"
	if _, err := exec.LookPath("git"); err != nil {
		b.report.skip(what, "no git here")
		return nil
	}
	p, err := fresh()
	if err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "history.git")
	if out, err := exec.CommandContext(ctx, "git", "init", "-q", "--bare", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("git init: %w: %s", err, out)
	}
	cmd := exec.CommandContext(ctx, "git", "-C", dir, "fast-import", "--quiet")
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for range pushes {
		push, _ := p.step()
		if err := p.commit(in, push); err != nil {
			return err
		}
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("git fast-import: %w", err)
	}
	if out, err := exec.CommandContext(ctx, "git", "-C", dir, "repack", "-adfq", "--depth=50").CombinedOutput(); err != nil {
		return fmt.Errorf("git repack: %w: %s", err, out)
	}
	var n int64
	packs, err := filepath.Glob(filepath.Join(dir, "objects/pack/pack-*.[pi][ad][cx]*"))
	if err != nil {
		return err
	}
	for _, f := range packs {
		if st, err := os.Stat(f); err == nil {
			n += st.Size()
		}
	}
	b.report.fact(what, float64(p.raw)/float64(n), "x").Note = fmt.Sprintf("%d bytes, pack and index", n)
	return nil
}

func (p *past) commit(w io.Writer, push xds.Record) error {
	var b []byte
	b = fmt.Appendf(b, "commit refs/heads/main\ncommitter b <b@example.com> %d +0000\ndata 0\n", push.Time.Unix())
	for _, i := range p.changed {
		b = fmt.Appendf(b, "M 100644 inline c%05d\ndata %d\n", i, len(p.bodies[i]))
		b = append(append(b, p.bodies[i]...), '\n')
	}
	_, err := w.Write(append(b, '\n'))
	return err
}
