package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const (
	judgeMemory = "256MiB"        // GOMEMLIMIT of the judge
	judgeOOM    = "800"           // the kernel takes it before the proxy
	judgeMin    = 1 * time.Second // before it is started again
	judgeMax    = 1 * time.Minute
	judgeEnd    = 3 * time.Second // to finish its line
)

// judge runs `xdsproxy events -f` on the store as a process of its own, and again
// when it ends: it may fail, grow or hang without touching the forwarding.
func (p *proxy) judge(ctx context.Context) {
	select {
	case <-p.opened:
	case <-ctx.Done():
		return
	}
	self, err := p.self()
	if err != nil {
		p.log.Error().Err(err).Msg("no events: the program does not find itself")
		return
	}
	out, done, err := p.judgeOutput()
	if err != nil {
		writeErrorText(p.app.Stderr, Fail(CodeWrite, err.Error(), "another --events-file", "no events into %s", p.o.eventsFile))
		return
	}
	defer done()
	for wait := judgeMin; ctx.Err() == nil; {
		began := time.Now()
		err := p.judgeOnce(ctx, self, out)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > judgeMax {
			wait = judgeMin
		}
		p.log.Warn().AnErr("error", err).Dur("again", wait).Msg("the judge has ended")
		sleep(ctx, wait)
		wait = min(2*wait, judgeMax)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// judgeOutput is where events go.
func (p *proxy) judgeOutput() (io.Writer, func(), error) {
	if p.o.eventsStdout {
		return p.app.Stdout, func() {}, nil
	}
	f, err := os.OpenFile(p.o.eventsFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return f, func() { _ = f.Close() }, nil
}

// judgeOnce runs the judge until it or ctx ends.
func (p *proxy) judgeOnce(ctx context.Context, self string, out io.Writer) error {
	runtime.LockOSThread() // the signal at our death is bound to the thread that starts the child
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, self, p.judgeArgs()...)
	cmd.Env = append(os.Environ(), "GOMEMLIMIT="+judgeMemory)
	cmd.Stdout, cmd.Stderr = out, p.stderr
	cmd.SysProcAttr = judgeAttr()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = judgeEnd
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the judge: %w", err)
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", cmd.Process.Pid), []byte(judgeOOM), 0); err != nil {
		p.log.Debug().Err(err).Msg("the judge has no raised OOM score")
	}
	return cmd.Wait()
}

// judgeArgs is the judge's command line. It goes on behind the last record it has
// handled, which stands in a file beside the segments.
func (p *proxy) judgeArgs() []string {
	dir := p.storeDir()
	return []string{"events", "-f", "--store", dir, "-o", "jsonl", "--resume", filepath.Join(dir, resumeFile)}
}

// storeDir is where the history is, or was.
func (p *proxy) storeDir() string {
	if dir := p.dir.Load(); dir != nil {
		return *dir
	}
	return ""
}
