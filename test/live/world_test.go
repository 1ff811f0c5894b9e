package live

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// inside marks the process that runs in the namespace.
const inside = "XDSPROXY_LIVE_INSIDE"

// The parts of the world: where the prober's and Envoy's connections end, and
// the mark that tells them apart.
const (
	envoyPort   = 15001
	witnessPort = 19001
	probeMark   = 1
	podV4       = "10.0.0.9"
	podV6       = "fd00::9"
)

// rules make every address local, send marked connections to Envoy and all
// others (Envoy's own) to the witness.
var rules = []string{
	"ip link set lo up",
	"ip addr add " + podV4 + "/32 dev lo",
	"ip route add local 0.0.0.0/0 dev lo",
	"ip -6 addr add " + podV6 + "/128 dev lo",
	"ip -6 route add local ::/0 dev lo",
	"iptables -t nat -A OUTPUT -p tcp -m mark --mark 1 -j REDIRECT --to-ports 15001",
	"iptables -t nat -A OUTPUT -p tcp -d 127.0.0.1/32 -j RETURN",
	"iptables -t nat -A OUTPUT -p tcp -j REDIRECT --to-ports 19001",
	"ip6tables -t nat -A OUTPUT -p tcp -m mark --mark 1 -j REDIRECT --to-ports 15001",
	"ip6tables -t nat -A OUTPUT -p tcp -d ::1/128 -j RETURN",
	"ip6tables -t nat -A OUTPUT -p tcp -j REDIRECT --to-ports 19001",
}

// inNamespace runs the calling test again in a fresh network namespace and
// returns true there; outside it reports that run's outcome and returns false.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) != "" {
		for _, r := range rules {
			if out, err := exec.Command("bash", "-c", r).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", r, err, out)
			}
		}
		return true
	}
	if why := cannot(); why != "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("needed and not here: %s", why)
		}
		t.Skipf("SKIPPED: needs %s", why)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", append([]string{"-n", os.Args[0], "-test.run=^" + t.Name() + "$", "-test.v", "-test.count=1"}, passOn()...)...)
	cmd.Env = append(os.Environ(), inside+"=1")
	out, err := cmd.CombinedOutput()
	for l := range strings.Lines(string(out)) {
		t.Log(strings.TrimRight(l, "\n"))
	}
	if err != nil {
		t.Fatalf("inside the namespace: %v", err)
	}
	return false
}

// passOn repeats the flags that shape or reproduce a run. Without any it is a
// short one that is always the same: stalled probes take their time.
func passOn() []string {
	out := []string{"-rapid.checks=2", "-rapid.seed=7", "-rapid.shrinktime=10s", "-rapid.nofailfile"}
	for _, a := range os.Args[1:] {
		if strings.HasPrefix(a, "-rapid.") || strings.HasPrefix(a, "-probes") || strings.HasPrefix(a, "-test.timeout") {
			out = append(out, a)
		}
	}
	return out
}

// cannot says what is missing for a namespace, "" when nothing is.
func cannot() string {
	if os.Geteuid() != 0 {
		return "root, for a network namespace"
	}
	for _, tool := range []string{"unshare", "ip", "iptables", "ip6tables"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Sprintf("the program %s", tool)
		}
	}
	if findEnvoy() == "" {
		return "a real Envoy (set ENVOY_BIN, or run hack/get-envoy)"
	}
	return ""
}

func findEnvoy() string {
	out, err := exec.Command("../../hack/find-envoy").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
