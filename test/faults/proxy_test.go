package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/test/internal/program"
)

// proxy is a running `xdsproxy proxy`.
type proxy struct {
	t      *testing.T
	target string // where clients connect
	store  string
	admin  string
	cmd    *exec.Cmd
	done   chan struct{} // closed when the process is gone
	log    program.Output
}

// config is how a proxy is started.
type config struct {
	store    string   // default: a new directory
	upstream string   // required
	wrap     []string // command in front of the program's
	env      []string
	args     []string
	tcp      bool // listen on TCP, where there are resets; default: a Unix socket
	quiet    bool // do not wait until it records
}

// start runs the proxy and waits until it forwards and, unless quiet, records.
func start(t *testing.T, c config) *proxy {
	t.Helper()
	if c.store == "" {
		c.store = filepath.Join(t.TempDir(), "store")
	}
	p := &proxy{t: t, target: filepath.Join(short(t), "x.sock"), store: c.store, done: make(chan struct{})}
	listen := "unix://" + p.target
	if c.tcp {
		listen = "127.0.0.1:0"
	}
	words := append(append([]string{}, c.wrap...), binary, "proxy", "--listen", listen, "--upstream", c.upstream,
		"--store", c.store, "--admin", "127.0.0.1:0", "--grace", "0s")
	words = append(words, c.args...)
	p.cmd = exec.Command(words[0], words[1:]...)
	p.cmd.Env = append(os.Environ(), c.env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the state is kept
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // gone already, mostly
		<-p.done
		if t.Failed() {
			t.Logf("the proxy said:\n%.6000s", p.log.String())
		}
	})
	p.await("the proxy to forward", func() bool { p.admin = p.said("forwarding", "admin"); return p.admin != "" })
	if c.tcp {
		p.target = p.said("forwarding", "listen")
	}
	if !c.quiet {
		p.awaitSaid("recording")
	}
	return p
}

// short is a directory whose name leaves room for that of a socket.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "xf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (p *proxy) pid() int { return p.cmd.Process.Pid }

// said is a field of the first log line with this message, "" without one.
func (p *proxy) said(message, field string) string {
	for l := range strings.Lines(p.log.String()) {
		var v map[string]any
		if json.Unmarshal([]byte(l), &v) == nil && v["message"] == message {
			s, _ := v[field].(string)
			return s
		}
	}
	return ""
}

// times is how often the log says message.
func (p *proxy) times(message string) (n int) {
	for l := range strings.Lines(p.log.String()) {
		var v map[string]any
		if json.Unmarshal([]byte(l), &v) == nil && v["message"] == message {
			n++
		}
	}
	return n
}

func (p *proxy) awaitSaid(message string) {
	p.t.Helper()
	p.await("the log to say "+message, func() bool { return p.times(message) > 0 })
}

// await polls until ok.
func (p *proxy) await(what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
		select {
		case <-p.done:
			if !ok() {
				p.t.Fatalf("the proxy ended while waiting for %s", what)
			}
			return
		default:
		}
	}
	p.t.Fatalf("waited in vain for %s", what)
}

// get asks the admin address.
func (p *proxy) get(path string) string {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	r, err := c.Get("http://" + p.admin + path)
	if err != nil {
		return "error: " + err.Error()
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return fmt.Sprintf("%d %s", r.StatusCode, b)
}

func (p *proxy) degraded() bool { return strings.HasPrefix(p.get("/healthz"), "200 degraded") }

// metric is one value of /metrics, -1 where it is not there.
func (p *proxy) metric(name string) float64 {
	for l := range strings.Lines(p.get("/metrics")) {
		if v, ok := strings.CutPrefix(l, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			if err == nil {
				return f
			}
		}
	}
	return -1
}

// fds is how many files the process has open.
func (p *proxy) fds() int {
	all, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid()))
	return len(all)
}

// anon is the process's anonymous resident memory in bytes, the kernel's figure.
func (p *proxy) anon() int { return p.status("RssAnon") << 10 }

func (p *proxy) status(field string) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	for l := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(l, field+":"); ok {
			n, _ := strconv.Atoi(strings.Fields(v)[0])
			return n
		}
	}
	return 0
}

func (p *proxy) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// wait is the exit code, -1 after a signal.
func (p *proxy) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatal("the proxy did not end")
		return 0
	}
}

// stop ends the proxy as an orchestrator does, and fails unless it exits 0.
func (p *proxy) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		p.t.Errorf("the proxy exited with %d", code)
	}
}

func (p *proxy) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	p.wait()
}

// xdsproxy runs a command; exit codes other than 0 fail the test.
func xdsproxy(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := try(t, args...)
	if code != 0 {
		t.Fatalf("xdsproxy %v: exit code %d\n%s", args, code, errs)
	}
	return out
}

func try(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the state tells
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}
