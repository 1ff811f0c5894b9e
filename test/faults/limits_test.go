package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOutOfFiles takes the proxy's last file descriptors away: who is connected
// goes on, who comes waits or is refused, and is served when there is room again.
func TestOutOfFiles(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	x := start(t, config{upstream: p.addr, tcp: true})
	c := newChurn(connect(t, x.target, p), 200, 10)
	c.next()
	limit := func(n uint64) {
		if err := unix.Prlimit(x.pid(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: 4096}, nil); err != nil {
			t.Fatal(err)
		}
	}
	limit(uint64(x.fds() + 1)) // one to accept with, none to dial with
	for range 20 {
		conn, err := dialRaw(x.target)
		if err == nil {
			defer conn.Close()
		}
	}
	for range 20 {
		c.next()
	}
	if x.times("a connection was not forwarded") == 0 {
		t.Error("the log does not say that connections were not forwarded")
	}
	limit(4096)
	x.await("failures in the metrics", func() bool {
		return x.metric("xdsproxy_accept_failures_total")+x.metric("xdsproxy_dial_failures_total") > 0
	})
	// The plane was dialled for clients that never spoke: it drops those by itself.
	late := newChurn(connect(t, x.target, p), 10, 10)
	late.next()
	late.finish()
	c.next()
	c.finish()
	x.stop()
	verified(t, x.store)
}

// TestLittleMemory gives the proxy 48 MB in all, its program's pages in memory
// included, and lets 200 streams push what is new each time: it lives.
func TestLittleMemory(t *testing.T) {
	t.Parallel()
	needRoot(t, "limit a process's memory")
	const mount = "/sys/fs/cgroup/memory"
	if _, err := os.Stat(filepath.Join(mount, "memory.limit_in_bytes")); err != nil {
		t.Skipf("SKIPPED: needs a memory cgroup, version 1: %v", err)
	}
	group := filepath.Join(mount, fmt.Sprint("xdsproxy-faults-", os.Getpid()))
	if err := os.Mkdir(group, 0o700); err != nil {
		t.Skipf("SKIPPED: needs the right to make a memory cgroup: %v", err)
	}
	t.Cleanup(func() { _ = os.Remove(group) }) // when the process in it is gone
	write(t, filepath.Join(group, "memory.limit_in_bytes"), []byte(strconv.Itoa(48<<20)))
	p := newPlane(t)
	x := start(t, config{upstream: p.addr, env: []string{"GOMEMLIMIT=40MiB"},
		wrap: []string{"sh", "-c", "echo $$ > " + filepath.Join(group, "cgroup.procs") + " && exec \"$@\"", "sh"}})
	if b, err := os.ReadFile(filepath.Join(group, "cgroup.procs")); err != nil || strings.TrimSpace(string(b)) != strconv.Itoa(x.pid()) {
		t.Fatalf("in the group: %q, %v", b, err)
	}
	var all []*churn
	for range 200 {
		all = append(all, newChurn(connect(t, x.target, p), 40, 200))
	}
	for range 4 {
		for _, c := range all {
			c.next()
		}
	}
	for _, c := range all {
		c.finish()
	}
	x.stop()
	verified(t, x.store)
}
