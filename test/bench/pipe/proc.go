package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// now is CLOCK_MONOTONIC in nanoseconds: the same in all processes of a machine.
func now() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail
	return t.Nano()
}

func selfCPU() time.Duration { return cpuOf(os.Getpid()) }

// cpuOf reads the CPU clock of another process: all of its threads, in
// nanoseconds. 0 where there is no such process.
func cpuOf(pid int) time.Duration {
	if pid <= 0 {
		return 0
	}
	var t unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|2), &t) != nil { // as clock_getcpuclockid does
		return 0
	}
	return time.Duration(t.Nano())
}

// memory of a process in bytes.
type memory struct{ anon, peak, rss int64 }

// memoryOf reads /proc/PID/status: anonymous memory, and the highest of all.
func memoryOf(pid int) memory {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}
	}
	var m memory
	for l := range strings.Lines(string(b)) {
		for name, to := range map[string]*int64{"RssAnon:": &m.anon, "VmHWM:": &m.peak, "VmRSS:": &m.rss} {
			if rest, ok := strings.CutPrefix(l, name); ok {
				kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
				*to = kb << 10
			}
		}
	}
	return m
}

// childrenOf lists the processes that a process has started.
func childrenOf(pid int) (out []int) {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, t := range tasks {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, t.Name()))
		for _, f := range bytes.Fields(b) {
			if n, err := strconv.Atoi(string(f)); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// watch samples the anonymous memory of a process until stop is called, which
// returns the highest.
func watch(pid int) (stop func() int64) {
	var high int64
	done := make(chan struct{})
	var g sync.WaitGroup
	g.Go(func() {
		for {
			high = max(high, memoryOf(pid).anon)
			select {
			case <-done:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
	return func() int64 {
		close(done)
		g.Wait()
		return max(high, memoryOf(pid).anon)
	}
}

// settle waits until processes do next to nothing, at most for limit.
func settle(limit time.Duration, pids ...int) {
	end := time.Now().Add(limit)
	quiet := 0
	for last := sumCPU(pids); time.Now().Before(end) && quiet < 2; {
		time.Sleep(20 * time.Millisecond)
		used := sumCPU(pids)
		if used-last < 500*time.Microsecond {
			quiet++
		} else {
			quiet = 0
		}
		last = used
	}
}

func sumCPU(pids []int) (d time.Duration) {
	for _, p := range pids {
		d += cpuOf(p)
	}
	return d
}

// cpuOfThread is what one thread has used, as the scheduler counts.
func cpuOfThread(pid, tid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/schedstat", pid, tid))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	n, _ := strconv.ParseInt(first, 10, 64)
	return time.Duration(n)
}
