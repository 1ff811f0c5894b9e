package live

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/http2"
)

// quiet is how long the witness waits for the client before it speaks first.
const quiet = 250 * time.Millisecond

// startWitness answers every connection that Envoy makes, in the protocol that
// arrives, with the address that Envoy dialled.
func startWitness(t *testing.T) {
	t.Helper()
	for _, addr := range []string{"0.0.0.0", "[::]"} {
		network := map[string]string{"0.0.0.0": "tcp4", "[::]": "tcp6"}[addr]
		l, err := net.Listen(network, fmt.Sprintf("%s:%d", addr, witnessPort))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go witness(c.(*net.TCPConn))
			}
		}()
	}
}

func witness(c *net.TCPConn) {
	defer c.Close()
	dialled, err := originalDst(c)
	if err != nil {
		return
	}
	answer := "REACHED " + dialled.String()
	_ = c.SetReadDeadline(time.Now().Add(quiet))
	br := bufio.NewReader(c)
	head, _ := br.Peek(3)
	_ = c.SetReadDeadline(time.Time{})
	switch {
	case len(head) == 0:
		fmt.Fprintln(c, answer)
		_ = c.CloseWrite()
		_, _ = br.Peek(1)
	case bytes.Equal(head, []byte("PRI")):
		srv := &http2.Server{}
		srv.ServeConn(&buffered{c, br}, &http2.ServeConnOpts{Context: context.Background(), Handler: http.HandlerFunc(
			func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) })})
	default:
		speak(c, br, answer)
	}
}

// speak answers HTTP/1 in kind and anything else with one line.
func speak(c *net.TCPConn, br *bufio.Reader, answer string) {
	peeked, _ := br.Peek(br.Buffered())
	if !bytes.Contains(peeked, []byte(" HTTP/1.")) {
		fmt.Fprintln(c, answer)
		if bytes.Contains(peeked, []byte("HOLD")) { // until the other end closes
			_, _ = br.WriteTo(discard{})
			return
		}
		_ = c.CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = br.WriteTo(discard{})
		return
	}
	for {
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := http.ReadRequest(br); err != nil {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// originalDst asks the kernel where a redirected connection was going
// (SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST are both 80).
func originalDst(c *net.TCPConn) (netip.AddrPort, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	local := c.LocalAddr().(*net.TCPAddr).AddrPort()
	var out netip.AddrPort
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		if strings.Contains(c.LocalAddr().Network()+local.Addr().Unmap().String(), ":") {
			var sa syscall.RawSockaddrInet6
			n := uint32(unsafe.Sizeof(sa))
			_, _, errno = syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_IPV6, 80, uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&n)), 0)
			out = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), swap(sa.Port))
			return
		}
		var sa syscall.RawSockaddrInet4
		n := uint32(unsafe.Sizeof(sa))
		_, _, errno = syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_IP, 80, uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&n)), 0)
		out = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), swap(sa.Port))
	})
	if err == nil && errno != 0 {
		err = errno
	}
	return out, err
}

func swap(p uint16) uint16 { return p<<8 | p>>8 }
