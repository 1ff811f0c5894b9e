package intercept

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// leaveTime is how long a dial goes on for a client that has sent its FIN. It may
// have half-closed only, which is passed on, or be gone, which looks the same.
const leaveTime = time.Second

// watch calls gone, at most once, when the peer of c has left, until stop is
// called. It reads nothing, so that what the peer has sent stays where it is.
func watch(c net.Conn, gone func()) (stop func()) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return func() {}
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return func() {}
	}
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if awaitLeave(raw, stopped) {
			gone()
		}
	}()
	return func() {
		close(stopped)
		_ = c.SetReadDeadline(time.Unix(1, 0)) // wakes the watch
		<-done
		_ = c.SetReadDeadline(time.Time{})
	}
}

// awaitLeave reports whether the peer has left before stopped is closed.
func awaitLeave(raw syscall.RawConn, stopped <-chan struct{}) bool {
	var now int16
	err := raw.Read(func(fd uintptr) bool {
		now = polled(fd)
		return now != 0
	})
	switch {
	case err != nil:
		return false
	case now&(unix.POLLERR|unix.POLLHUP) != 0:
		return true
	}
	t := time.NewTimer(leaveTime)
	defer t.Stop()
	select {
	case <-stopped:
		return false
	case <-t.C:
		return true
	}
}

// polled is what has happened to a socket besides bytes that came: a FIN, a reset.
func polled(fd uintptr) int16 {
	fds := []unix.PollFd{{Fd: int32(fd), Events: pollFIN}}
	if n, err := unix.Poll(fds, 0); err != nil || n == 0 {
		return 0
	}
	return fds[0].Revents &^ unix.POLLIN
}
