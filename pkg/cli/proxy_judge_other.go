//go:build !linux

package cli

import "syscall"

func judgeAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
