package demo

import "syscall"

// spawnAttr ends what the demo started with the demo, also when that is killed. The
// signal is bound to the thread that starts it; Go keeps its threads.
func spawnAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
