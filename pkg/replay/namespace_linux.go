package replay

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The ports of a namespace: Envoy's, as Istio has them, and the one of the witness.
const (
	outboundPort = "15001"
	witnessPort  = "15081"
	adminPort    = 15000
)

// envoyGroup is the group that tells Envoy's own connections from everybody else's.
const envoyGroup = 1337

// Namespace is a network namespace in which every TCP connection is redirected to
// Envoy, as in a pod, and Envoy's own ones to a Witness. Nothing leaves it.
type Namespace struct {
	name string
	file *os.File
}

// NewNamespace makes one; it needs root, ip and iptables.
func NewNamespace(ctx context.Context, name string) (*Namespace, error) {
	if out, err := exec.CommandContext(ctx, "ip", "netns", "add", name).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("making network namespace %s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	f, err := os.Open("/run/netns/" + name)
	if err != nil {
		return nil, fmt.Errorf("opening network namespace %s: %w", name, err)
	}
	n := &Namespace{name: name, file: f}
	if err := n.rules(ctx); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// rules make every address local and redirect connections, as Istio's iptables rules
// do (tools/istio-iptables/pkg/capture/run.go).
func (n *Namespace) rules(ctx context.Context) error {
	for _, r := range [][]string{
		{"ip", "link", "set", "lo", "up"},
		{"ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo"},
		{"iptables", "-w", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-d", "127.0.0.1/32", "-j", "RETURN"},
		{"iptables", "-w", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-m", "owner", "--gid-owner", fmt.Sprint(envoyGroup), "-j", "REDIRECT", "--to-ports", witnessPort},
		{"iptables", "-w", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-j", "REDIRECT", "--to-ports", outboundPort},
	} {
		cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", n.name}, r...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("in network namespace %s: %s: %w: %s", n.name, strings.Join(r, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// Name is what `ip netns exec` takes.
func (n *Namespace) Name() string { return n.name }

// Close removes the namespace; it goes when the last process in it has ended.
func (n *Namespace) Close() {
	_ = n.file.Close()
	_ = unix.Unmount("/run/netns/"+n.name, unix.MNT_DETACH) // what is gone already is as good
	_ = os.Remove("/run/netns/" + n.name)
}

// Do calls f in the namespace. What f opens or starts stays there.
func (n *Namespace) Do(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("entering network namespace %s: %w", n.name, err)
			return
		}
		result <- f()
	}()
	return <-result
}

// Listen opens a port in the namespace.
func (n *Namespace) Listen(addr string) (net.Listener, error) {
	var l net.Listener
	err := n.Do(func() (err error) {
		l, err = net.Listen("tcp", addr)
		return err
	})
	return l, err
}

// Dial connects from inside the namespace, as an http.Transport wants it.
func (n *Namespace) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var c net.Conn
	err := n.Do(func() (err error) {
		c, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

// mark lets a process be told from others: it runs with a group of its own, which a
// client must not have. Nothing else could see to it that it ends with this one: the
// thread that starts it ends at once.
func (n *Namespace) mark(a *syscall.SysProcAttr) {
	a.Pdeathsig = 0
	a.Credential = &syscall.Credential{Uid: uint32(os.Getuid()), Gid: envoyGroup}
}

// dieWithUs ends what was started when this process is killed.
func dieWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
