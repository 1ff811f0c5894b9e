package cli

import "syscall"

// judgeAttr ends the judge with the proxy, however that ends, and keeps a
// terminal's signals from it: it ends after what it reads from.
func judgeAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
}
