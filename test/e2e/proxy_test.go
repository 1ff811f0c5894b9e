package e2e

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/test/internal/program"
)

// proxy is a running `xdsproxy proxy`.
type proxy struct {
	socket, store string
	cmd           *exec.Cmd
	log           program.Output
}

// startProxy runs the proxy in front of upstream and waits for its socket.
func startProxy(t *testing.T, store, upstream string, more ...string) *proxy {
	t.Helper()
	p := &proxy{socket: filepath.Join(t.TempDir(), "x.sock"), store: store}
	args := append([]string{"proxy", "--listen", "unix://" + p.socket, "--upstream", upstream, "--store", store, "--admin", "127.0.0.1:0", "--grace", "0s"}, more...)
	p.cmd = exec.CommandContext(t.Context(), binary, args...)
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGKILL) }
	p.cmd.Stderr, p.cmd.Stdout = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the proxy's socket", func() bool {
		c, err := net.Dial("unix", p.socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return p
}

var adminAddr = regexp.MustCompile(`"admin":"([^"]+)"`)

// seen is how many messages of a kind the proxy's observer has counted.
func (p *proxy) seen(metric string) int {
	m := adminAddr.FindStringSubmatch(p.log.String())
	if m == nil {
		return -1
	}
	r, err := http.Get("http://" + m[1] + "/metrics")
	if err != nil {
		return -1
	}
	defer r.Body.Close()
	n := -1
	for sc := bufio.NewScanner(r.Body); sc.Scan(); {
		if v, ok := strings.CutPrefix(sc.Text(), metric+" "); ok {
			n, _ = strconv.Atoi(v)
		}
	}
	return n
}

// stop ends the proxy as an orchestrator does, and fails unless it exits 0.
func (p *proxy) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("xdsproxy proxy: %v\n%s", err, p.log.String())
	}
}

// await polls until ok or 30 s are over.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited 30 s for %s", what)
}

// xdsproxy runs a command and returns what it printed; exit codes in ok are fine.
func xdsproxy(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("xdsproxy %v: %v\n%s", args, err, errs.String())
	}
	return string(out)
}
