package replay

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/test/internal/program"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// TestRealEnvoyInANamespace: with real redirection, a client meets what the recorded
// application met: it works before the push that captures its port, and fails after it.
func TestRealEnvoyInANamespace(t *testing.T) {
	bin := program.Envoy(t)
	if os.Geteuid() != 0 {
		program.Missing(t, "root, for a network namespace")
	}
	for _, tool := range []string{"ip", "iptables", "bash", "timeout"} {
		if _, err := exec.LookPath(tool); err != nil {
			program.Missing(t, "the program "+tool)
		}
	}
	s := start(t, "01-seed-mysql-delta", "--envoy="+bin, "--redirect", "--step", "--step-on", "stdin", "--break-on", "kind:dead-capture")
	ns := s.until("envoy").Namespace
	stop := s.until("stop")
	if stop.Push != "#6" || len(stop.Events) == 0 || stop.Events[0].Kind != "dead-capture" {
		t.Fatalf("stopped at %+v", stop)
	}
	await(t, "a connection that passes through", func() bool { return contains(dial(ns), "reached 10.10.13.110:3306") })
	s.say("")
	if next := s.until("stop"); next.Push != "#7" {
		t.Fatalf("the next stop is %s", next.Push)
	}
	await(t, "a connection that fails", func() bool { return !contains(dial(ns), "reached") })
	s.say("q")
	if code := s.end(); code != 0 {
		t.Errorf("exit %d: %s", code, s.stderr.String())
	}
	if out, _ := exec.Command("ip", "netns", "list").Output(); contains(string(out), ns) {
		t.Errorf("namespace %s is still there", ns)
	}
}

// dial connects to the external MySQL of the recording and returns what it says.
func dial(ns string) string {
	out, _ := exec.Command("ip", "netns", "exec", ns, "timeout", "5", "bash", "-c", "exec 3<>/dev/tcp/10.10.13.110/3306; head -n1 <&3").CombinedOutput()
	return string(out)
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s for %s", what)
		}
	}
}
