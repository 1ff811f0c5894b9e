package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stuck is a standard error that nobody reads, until it is opened.
type stuck struct {
	syncBuffer
	open chan struct{}
}

func (s *stuck) Write(b []byte) (int, error) {
	<-s.open
	return s.syncBuffer.Write(b)
}

// TestProxyLogStuck: with a standard error that nobody reads, connections pass,
// refused ones are refused, and the proxy ends.
func TestProxyLogStuck(t *testing.T) {
	dir := socketDir(t)
	up, err := net.Listen("unix", filepath.Join(dir, "up"))
	if err != nil {
		t.Fatal(err)
	}
	go echo(up)
	errs := &stuck{open: make(chan struct{})}
	defer close(errs.open)
	app := &App{Stderr: errs, Stdout: io.Discard, Now: time.Now, Getenv: func(string) string { return "" }}
	listen := filepath.Join(dir, "down")
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		done <- runProxy(ctx, app, proxyOptions{listen: "unix://" + listen, upstream: "unix://" + filepath.Join(dir, "up"), admin: "off",
			store: filepath.Join(dir, "store"), logLevel: "debug", opaque: "bytes"})
	}()
	awaitTrue(t, "an echo", func() bool { return pingAt(listen) == nil })
	_ = up.Close()
	for range 2 * logLines {
		if err := pingAt(listen); err == nil {
			t.Fatal("an upstream that is gone has answered")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func pingAt(socket string) error {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer c.Close()
	return ping(c)
}

// TestLogQueue: what does not fit is counted, and told when there is room.
func TestLogQueue(t *testing.T) {
	to := &stuck{open: make(chan struct{})}
	q := newLogQueue(to)
	const n = logLines + 10
	for range n {
		_, _ = q.Write([]byte("x\n"))
	}
	close(to.open)
	q.close()
	got := to.String()
	if kept := strings.Count(got, "x\n"); kept < logLines || kept > logLines+1 || !strings.Contains(got, "lines of this log are lost") {
		t.Errorf("%d lines kept of %d: %.200s", kept, n, got)
	}
	if n, err := q.Write([]byte("late")); n != 4 || err != nil {
		t.Errorf("after the end: %d, %v", n, err)
	}
}

// TestProxyLogReaderGone: a pipe whose reader is gone does not end the process.
func TestProxyLogReaderGone(t *testing.T) {
	if dir := os.Getenv("XDSPROXY_TEST_DIR"); dir != "" {
		app := &App{Stderr: os.Stderr, Stdout: io.Discard, Now: time.Now, Getenv: os.Getenv}
		_ = runProxy(t.Context(), app, proxyOptions{listen: "unix://" + dir + "/down", upstream: "unix://" + dir + "/up", admin: "off",
			relayOnly: true, logLevel: "debug", opaque: "bytes"})
		return
	}
	dir := socketDir(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestProxyLogReaderGone$")
	cmd.Env = append(os.Environ(), "XDSPROXY_TEST_DIR="+dir)
	pipe, err := cmd.StderrPipe()
	if err = errors.Join(err, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	listen := filepath.Join(dir, "down")
	awaitTrue(t, "the socket", func() bool { return !errors.Is(pingAt(listen), os.ErrNotExist) })
	_ = pipe.Close()
	for range 3 {
		_ = pingAt(listen)
	}
	up, err := net.Listen("unix", filepath.Join(dir, "up"))
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	go echo(up)
	if err := pingAt(listen); err != nil {
		t.Errorf("after the reader of the log left: %v", err)
	}
}

// socketDir is short: a socket's path has at most 107 bytes.
func socketDir(t *testing.T) string {
	t.Helper()
	d, err := os.MkdirTemp("", "x")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(d) })
	return d
}
