package replay

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// dialled is the address that a connection had before it was redirected
// (SO_ORIGINAL_DST, include/uapi/linux/netfilter_ipv4.h).
func dialled(c net.Conn) string {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return c.LocalAddr().String()
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return c.LocalAddr().String()
	}
	out := c.LocalAddr().String()
	_ = raw.Control(func(fd uintptr) {
		// The kernel writes a sockaddr_in; this type has the room for it.
		a, err := unix.GetsockoptIPv6Mreq(int(fd), unix.SOL_IP, unix.SO_ORIGINAL_DST)
		if err == nil {
			b := a.Multiaddr
			out = fmt.Sprintf("%d.%d.%d.%d:%d", b[4], b[5], b[6], b[7], int(b[2])<<8|int(b[3]))
		}
	})
	return out
}
