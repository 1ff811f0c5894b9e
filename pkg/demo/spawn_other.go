//go:build !linux

package demo

import "syscall"

// spawnAttr is nothing where the kernel does not tie a process to its parent.
func spawnAttr() *syscall.SysProcAttr { return nil }
