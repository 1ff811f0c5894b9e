package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is a process of a measurement.
type child struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	at   started
	log  string // file with its stderr
	pid  int    // of the process that counts: behind strace it is not cmd's
}

// start runs a program that says on stdout where it listens.
func (b *bench) role(ctx context.Context, name string, args ...string) (*child, error) {
	c, err := b.spawn(ctx, name, b.self, args...)
	if err != nil {
		return nil, err
	}
	line, err := c.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &c.at)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w: %s", name, err, c.said()), c.stop())
	}
	return c, nil
}

func (b *bench) spawn(ctx context.Context, name, bin string, args ...string) (*child, error) {
	c := &child{name: name, log: filepath.Join(b.dir, name+".log")}
	log, err := os.Create(c.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.cmd = exec.CommandContext(ctx, bin, args...)
	c.cmd.Stderr = log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReaderSize(out, 1<<20)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	c.pid = c.cmd.Process.Pid
	return c, nil
}

func (c *child) said() string {
	b, _ := os.ReadFile(c.log)
	return strings.TrimSpace(string(b))
}

// stop ends the process and waits for it.
func (c *child) stop() error {
	if c == nil || c.cmd == nil {
		return nil
	}
	_ = syscall.Kill(c.pid, syscall.SIGTERM)
	t := time.AfterFunc(10*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer t.Stop()
	_ = c.in.Close()
	_, _ = io.Copy(io.Discard, c.out)
	_ = c.cmd.Wait() // how it ended is nobody's business
	return nil
}

// patience is how long one step may take: a client that waits for ever is ended.
const patience = time.Minute

// tell sends a command to a client and waits for its reply.
func (c *child) tell(cmd command) (r reply, err error) {
	b, err := json.Marshal(cmd)
	if err != nil {
		return r, err
	}
	if _, err := c.in.Write(append(b, '\n')); err != nil {
		return r, fmt.Errorf("%s: %w: %s", c.name, err, c.said())
	}
	late := time.AfterFunc(patience, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return r, fmt.Errorf("%s, doing %s %s: %w: %s", c.name, cmd.Op, cmd.ID, err, c.said())
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return r, err
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

// pids are the processes that work for c: those it has started too.
func (c *child) pids() []int {
	if c == nil {
		return nil
	}
	return append(childrenOf(c.pid), c.pid)
}

// mode is a way from client to server.
type mode struct {
	name  string
	addr  string // where clients connect
	proxy *child // nil: direct
	admin string // xdsproxy's
	store string
	ca    string // clients speak TLS
}

func (m *mode) pid() int {
	if m.proxy == nil {
		return 0
	}
	return m.proxy.pid
}

// world is a server, a client and the proxies between them.
type world struct {
	b        *bench
	server   *child
	client   *child
	modes    []*mode
	cert     string
	key      string
	children []*child
}

func (b *bench) world(ctx context.Context) (*world, error) {
	w := &world{b: b}
	var err error
	if w.cert, w.key, err = certificate(b.dir); err != nil {
		return nil, err
	}
	if w.server, err = w.role(ctx, "server", "role-server", "-cert", w.cert, "-key", w.key); err != nil {
		return nil, err
	}
	w.client, err = w.role(ctx, "client", "role-client", "-upstream", w.server.at.Addr)
	if err != nil {
		w.close()
	}
	return w, err
}

func (w *world) role(ctx context.Context, name string, args ...string) (*child, error) {
	c, err := w.b.role(ctx, name, args...)
	if err == nil {
		w.children = append(w.children, c)
	}
	return c, err
}

func (w *world) close() {
	var g sync.WaitGroup
	for _, c := range w.children {
		g.Go(func() { _ = c.stop() })
	}
	g.Wait()
	for _, m := range w.modes {
		if m.store != "" {
			_ = os.RemoveAll(m.store)
		}
	}
}

// add starts the proxy of a mode. Modes:
//
//	direct                        none
//	splice, copy                  bytes, through the kernel or through 64 KiB buffers
//	grpc-ref, grpc-decode         gRPC on both sides
//	haproxy                       TCP
//	off, on, judge                xdsproxy: --relay-only, recording, with a live judge
//	split                         xdsproxy's parts, the recorder on a thread of its own
func (w *world) add(ctx context.Context, name string, more ...string) (*mode, error) {
	m := &mode{name: name}
	err := w.start(ctx, m, more)
	if err != nil {
		return nil, fmt.Errorf("mode %s: %w", name, err)
	}
	w.modes = append(w.modes, m)
	return m, nil
}

func (w *world) start(ctx context.Context, m *mode, more []string) (err error) {
	kind, _, _ := strings.Cut(m.name, " ")
	up := w.server.at.Addr
	m.store = filepath.Join(w.b.dir, "store-"+strings.ReplaceAll(m.name, " ", "-"))
	switch kind {
	case "direct":
		m.addr, m.store = up, ""
	case "haproxy":
		m.store = ""
		return w.haproxy(ctx, m)
	case "off":
		m.store = ""
		return w.xdsproxy(ctx, m, append([]string{"--relay-only"}, more...))
	case "judge":
		return w.xdsproxy(ctx, m, append([]string{"--store", m.store, "--events-file", m.store + ".events"}, more...))
	case "on":
		return w.xdsproxy(ctx, m, append([]string{"--store", m.store}, more...))
	default:
		args := []string{"role-relay", "-mode", kind, "-upstream", up}
		if kind == "split" {
			args = append(args, "-store", m.store)
			if w.b.profile != "" {
				args = append(args, "-profile", filepath.Join(w.b.profile, w.b.report.section))
			}
		} else {
			m.store = ""
		}
		if m.proxy, err = w.role(ctx, "relay-"+m.name, append(args, more...)...); err != nil {
			return err
		}
		m.addr = m.proxy.at.Addr
	}
	return nil
}

// xdsproxy starts the program as a user would.
func (w *world) xdsproxy(ctx context.Context, m *mode, args []string) error {
	return w.xdsproxyBy(ctx, m, nil, args)
}

// xdsproxyBy starts it behind another program, such as strace.
func (w *world) xdsproxyBy(ctx context.Context, m *mode, by, args []string) error {
	all := append(append([]string(nil), by...), w.b.xdsproxy, "proxy", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	upstream := w.server.at.Addr
	for _, a := range args {
		if strings.HasPrefix(a, "--upstream-ca") {
			upstream = w.server.at.TLS
		}
	}
	all = append(append(all, "--upstream", upstream), args...)
	c, err := w.b.spawn(ctx, "xdsproxy-"+strings.ReplaceAll(m.name, " ", "-"), all[0], all[1:]...)
	if err != nil {
		return err
	}
	w.children = append(w.children, c)
	m.proxy = c
	end := time.Now().Add(10 * time.Second)
	for m.addr == "" {
		if time.Now().After(end) {
			return fmt.Errorf("xdsproxy does not start: %s", c.said())
		}
		time.Sleep(5 * time.Millisecond)
		m.addr, m.admin = announced(c.said())
	}
	if len(by) > 0 {
		kids := childrenOf(c.cmd.Process.Pid)
		if len(kids) != 1 {
			return fmt.Errorf("%s has started %d processes", by[0], len(kids))
		}
		c.pid = kids[0]
	}
	return nil
}

// announced finds the addresses in what xdsproxy logs.
func announced(log string) (listen, admin string) {
	for l := range strings.Lines(log) {
		var line struct{ Listen, Admin, Message string }
		if json.Unmarshal([]byte(l), &line) == nil && line.Message == "forwarding" {
			return line.Listen, line.Admin
		}
	}
	return "", ""
}

func (w *world) haproxy(ctx context.Context, m *mode) error {
	bin, err := exec.LookPath("haproxy")
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // haproxy does not tell a port that it chose
	if err != nil {
		return err
	}
	m.addr = l.Addr().String()
	_ = l.Close()
	cfg := filepath.Join(w.b.dir, "haproxy.cfg")
	text := fmt.Sprintf("global\n  maxconn 4000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n"+
		"listen l\n  bind %s\n  server s %s\n", m.addr, w.server.at.Addr)
	if err := os.WriteFile(cfg, []byte(text), 0o600); err != nil {
		return err
	}
	m.proxy, err = w.b.spawn(ctx, "haproxy", bin, "-db", "-f", cfg)
	if err != nil {
		return err
	}
	w.children = append(w.children, m.proxy)
	for range 200 {
		if c, err := net.Dial("tcp", m.addr); err == nil {
			return c.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("haproxy does not listen: %s", m.proxy.said())
}

// open opens streams through a mode.
func (m *mode) open(c *child, cmd command) (reply, error) {
	cmd.Op, cmd.Addr, cmd.CA = "open", m.addr, m.ca
	return c.tell(cmd)
}
