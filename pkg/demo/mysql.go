package demo

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// greeting is a MySQL handshake packet (protocol version 10) with this server
// version: the server speaks first, the client waits, as with the real one.
func greeting(version string) []byte {
	body := append([]byte{10}, version...)
	body = append(body, 0)
	body = binary.LittleEndian.AppendUint32(body, 1)
	body = append(body, "saltsalt\x00"...)
	body = append(body, 0xff, 0xf7, 8, 2, 0, 0xff, 0x81, 21)
	body = append(body, make([]byte, 10)...)
	body = append(body, "saltsaltsalt\x00mysql_native_password\x00"...)
	return append([]byte{byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16), 0}, body...)
}

// listenMySQL answers every connection to addr with a greeting.
func listenMySQL(addr, version string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("opening %s, the demo's MySQL (is another server on port 3306 of this machine?): %w", addr, err)
	}
	return l, nil
}

// serveMySQL runs until l is closed.
func serveMySQL(l net.Listener, version string) error {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		} else if err != nil {
			return err
		}
		_, _ = c.Write(greeting(version))
		_ = c.Close()
	}
}

// dialMySQL connects through virtualOutbound at via as a redirected connection
// to dst would, and returns the version in the server's greeting.
func dialMySQL(via, dst string) (string, error) {
	c, err := net.DialTimeout("tcp", via, time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	to, err := netip.ParseAddrPort(dst)
	if err != nil {
		return "", err
	}
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := fmt.Fprintf(c, "PROXY TCP4 127.0.0.1 %s 40000 %d\r\n", to.Addr(), to.Port()); err != nil {
		return "", err
	}
	return readGreeting(c)
}

func readGreeting(r io.Reader) (string, error) {
	br := bufio.NewReader(r)
	head := make([]byte, 5)
	if _, err := io.ReadFull(br, head); err != nil {
		return "", err
	}
	version, err := br.ReadString(0)
	if err != nil {
		return "", err
	}
	return version[:len(version)-1], nil
}
