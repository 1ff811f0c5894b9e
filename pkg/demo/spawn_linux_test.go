package demo

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain plays the demo that is killed, for TestKilledDemo.
func TestMain(m *testing.M) {
	dir := os.Getenv("XDSPROXY_TEST_SPAWN")
	if dir == "" {
		os.Exit(m.Run())
	}
	s := &stage{cfg: Config{Dir: dir}}
	err := s.spawn(context.Background(), "sleep.log", "sleep", "60")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "pid.new"), []byte(strconv.Itoa(s.procs[0].Process.Pid)), 0o600)
	}
	if err == nil {
		err = os.Rename(filepath.Join(dir, "pid.new"), filepath.Join(dir, "pid"))
	}
	if err != nil {
		os.Exit(1)
	}
	time.Sleep(time.Minute)
}

// TestKilledDemo: what a killed demo had started ends too.
func TestKilledDemo(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "XDSPROXY_TEST_SPAWN="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid string
	awaitTrue(t, "the child", func() bool {
		b, err := os.ReadFile(filepath.Join(dir, "pid"))
		pid = string(b)
		return err == nil
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	awaitTrue(t, "the child's end", func() bool { return !runs(pid) })
}

// runs reports whether a process is there and no zombie.
func runs(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func awaitTrue(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 20 s for %s", what)
		}
	}
}
