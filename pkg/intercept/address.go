package intercept

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// Address is where to listen or dial: host:port, or unix:///path.
type Address struct {
	Network string // tcp or unix
	Addr    string
}

func (a Address) String() string {
	if a.Network == "unix" {
		return "unix://" + a.Addr
	}
	return a.Addr
}

// ParseAddress reads host:port, [v6]:port, :port or unix:///path.
func ParseAddress(s string) (Address, error) {
	if path, ok := strings.CutPrefix(s, "unix://"); ok {
		if !strings.HasPrefix(path, "/") {
			return Address{}, fmt.Errorf("address %q: a Unix socket is unix:///path", s)
		}
		return Address{"unix", path}, nil
	}
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return Address{}, fmt.Errorf("address %q is neither host:port nor unix:///path: %w", s, err)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return Address{}, fmt.Errorf("address %q: %w", s, err)
	}
	return Address{"tcp", s}, nil
}

// Loopback reports whether only this machine can reach the address.
func (a Address) Loopback() bool {
	if a.Network == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(a.Addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// listen opens the address. A Unix socket is for this user alone; one that nobody
// listens on any more is replaced.
func (a Address) listen() (net.Listener, error) {
	if a.Network != "unix" {
		return net.Listen(a.Network, a.Addr)
	}
	if err := a.clear(); err != nil {
		return nil, err
	}
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", a.Addr)
	syscall.Umask(old)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(a.Addr, 0o600)
}

// clear removes the socket of a process that is gone.
func (a Address) clear() error {
	info, err := os.Lstat(a.Addr)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return nil
	}
	c, err := net.Dial("unix", a.Addr)
	if err == nil {
		return errors.Join(fmt.Errorf("listen unix %s: %w", a.Addr, syscall.EADDRINUSE), c.Close())
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return os.Remove(a.Addr)
	}
	return nil
}

// Dial connects, and with a tls.Config shakes hands. It has no time limit but
// ctx and the kernel's.
func (a Address) Dial(ctx context.Context, config *tls.Config) (net.Conn, error) {
	return a.dial(ctx, config, 0)
}

func (a Address) dial(ctx context.Context, config *tls.Config, buffer int) (net.Conn, error) {
	c, err := dialer(buffer).DialContext(ctx, a.Network, a.Addr)
	if err != nil || config == nil {
		return c, err
	}
	t := tls.Client(c, config)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS with %s: %w", a, err), c.Close())
	}
	return t, nil
}
