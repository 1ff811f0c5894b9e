//go:build !linux

package replay

import "net"

const witnessPort = "15081"

func dialled(c net.Conn) string { return c.LocalAddr().String() }
