package intercept

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// keepAlive finds a peer whose machine is gone. It is Go's own default for both
// ends, and said here because it is promised.
const keepAlive = 15 * time.Second

// dialer connects with the sockets' bounds set before the window is negotiated.
func dialer(buffer int) *net.Dialer {
	d := &net.Dialer{KeepAlive: keepAlive}
	if buffer > 0 {
		d.Control = func(network, _ string, c syscall.RawConn) error {
			if network == "unix" {
				return nil
			}
			return limit(c, buffer)
		}
	}
	return d
}

// limitListener sets what the sockets that it accepts inherit.
func limitListener(l net.Listener, buffer int) error {
	t, ok := l.(*net.TCPListener)
	if !ok || buffer <= 0 {
		return nil
	}
	c, err := t.SyscallConn()
	if err != nil {
		return err
	}
	return limit(c, buffer)
}

// limit bounds what the kernel holds for a socket. It grants twice the value, for
// its own bookkeeping, and at most what net.core.rmem_max and wmem_max allow.
func limit(c syscall.RawConn, buffer int) error {
	var set error
	err := c.Control(func(fd uintptr) {
		set = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, buffer),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, buffer))
	})
	if err = errors.Join(err, set); err != nil {
		return fmt.Errorf("bounding a socket's buffers to %d bytes: %w", buffer, err)
	}
	return nil
}
