//go:build !linux

package replay

import (
	"context"
	"errors"
	"net"
	"syscall"
)

const adminPort = 15000

// Namespace is a network namespace; there are none here.
type Namespace struct{}

// NewNamespace always fails.
func NewNamespace(context.Context, string) (*Namespace, error) {
	return nil, errors.New("network namespaces are a thing of Linux")
}

// Name is what `ip netns exec` takes.
func (n *Namespace) Name() string { return "" }

// Close does nothing.
func (n *Namespace) Close() {}

// Do calls f.
func (n *Namespace) Do(f func() error) error { return f() }

// Listen opens a port.
func (n *Namespace) Listen(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }

// Dial connects.
func (n *Namespace) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

func (n *Namespace) mark(*syscall.SysProcAttr) {}

func dieWithUs() *syscall.SysProcAttr { return nil }
