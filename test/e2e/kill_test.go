package e2e

import (
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKilledProxyLeavesAPrefix kills the proxy in the middle of a large session,
// 20 times: each time the store opens, verifies and holds a prefix of the
// session, and a reader that followed saw nothing that is not there afterwards.
func TestKilledProxyLeavesAPrefix(t *testing.T) {
	lines := session(t, "10-large")
	want := entries(t, "log", "-o", "jsonl", "--file", "../recordings/10-large/session.jsonl.gz")
	for range 20 {
		store := filepath.Join(t.TempDir(), "store")
		pl := newPlayer(t)
		p := startProxy(t, store, pl.addr)
		follower := follow(t, store)
		time.AfterFunc(time.Duration(50+rand.IntN(2500))*time.Millisecond, func() { _ = p.cmd.Process.Kill() })
		if pl.try("unix://"+p.socket, lines) == nil {
			t.Fatal("the session ended before the proxy was killed")
		}
		_ = p.cmd.Wait()
		seen := follower()
		xdsproxy(t, "store", "verify", "--store", store)
		held := pushes(t, entries(t, "log", "-o", "jsonl", "--store", store))
		if len(held) > len(want) {
			t.Fatalf("%d pushes held, %d were sent", len(held), len(want))
		}
		for i, number := range held {
			if number != i+1 {
				t.Fatalf("push %d stands at place %d: not a prefix", number, i+1)
			}
		}
		if len(seen) > len(held) {
			t.Fatalf("the follower saw %d pushes, the store holds %d", len(seen), len(held))
		}
	}
}

// pushes are the push numbers of log lines.
func pushes(t *testing.T, lines []string) []int {
	t.Helper()
	var out []int
	for _, l := range lines {
		var v struct {
			Push string `json:"push"`
		}
		if err := json.Unmarshal([]byte(l), &v); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, c := range strings.TrimPrefix(v.Push, "#") {
			n = n*10 + int(c-'0')
		}
		out = append(out, n)
	}
	return out
}
