package replay

import (
	"os"
	"testing"

	"github.com/xdsproxy/xdsproxy/test/internal/program"
)

// TestRealEnvoyComesToTheRecordedState replays each recording, stops where a step of
// it ended, and compares Envoy's config_dump with the one that was recorded there.
func TestRealEnvoyComesToTheRecordedState(t *testing.T) {
	bin := program.Envoy(t)
	for _, c := range []struct{ name, sidecar, pod string }{
		{name: "01-seed-mysql-delta"}, {name: "02-seed-mysql-sotw"}, {name: "03-seed-redis"}, {name: "04-default-chain-flip"},
		{name: "05-cidr-and-exact"}, {name: "06-registry-only"}, {name: "07-nack"}, {name: "08-reconnect"}, {name: "09-endpoints-churn"},
		{name: "10-large"}, {"11-dns-capture", "checkout-b7db8cc46-99cx5.shop", "plain"}, {"11-dns-capture", "billing-b7db8cc46-99cx5.shop", "dnscapture"},
		{name: "12-stall"}, {name: "14-drain"}, {name: "16-connection-age"}, {name: "30-envoy-gateway-delta"},
		{name: "32-gcp-ads-sotw-ttl"}, {name: "34-gcp-mux-delta"}, {name: "36-agent-envoy-side"},
	} {
		t.Run(c.name+c.pod, func(t *testing.T) {
			pushes := log(t, c.name, c.sidecar)
			dumps := recorded(t, c.name, c.pod, pushes)
			if len(dumps) == 0 {
				t.Fatal("no recorded dumps")
			}
			args := []string{"--envoy=" + bin, "--step", "--step-on", "stdin", "--hold", "--compare", "none"}
			if c.sidecar != "" {
				args = append(args, c.sidecar)
			}
			follow(t, start(t, c.name, args...), dumps)
		})
	}
}

// follow goes through a session stop by stop.
func follow(t *testing.T, s *session, dumps map[int][]string) {
	t.Helper()
	admin, last := s.until("envoy").Address, 0
	for {
		l, ok := s.next()
		switch {
		case !ok:
			t.Fatalf("it ended early\n%s", s.stderr.String())
		case l.Event == "stop":
			for _, p := range dumps[last] {
				sameAs(t, admin, p)
			}
			delete(dumps, last)
			last = l.number(t)
			s.say("")
		case l.Event == "nack" || l.Event == "vanished" || l.Event == "silent":
			t.Errorf("%s %s: %s", l.Event, l.Push, l.Message)
		case l.Event == "end":
			for _, p := range dumps[last] {
				sameAs(t, admin, p)
			}
			delete(dumps, last)
			for n, p := range dumps {
				t.Errorf("nothing stopped at #%d for %v", n, p)
			}
			if code := s.interrupt(); code != 0 {
				t.Errorf("exit %d: %s", code, s.stderr.String())
			}
			return
		}
	}
}

// TestRealEnvoyEqualsTheRecordedSnapshots lets the program itself compare, where no dump
// was recorded too: old versions of the protocol.
func TestRealEnvoyEqualsTheRecordedSnapshots(t *testing.T) {
	bin := program.Envoy(t)
	for name, args := range map[string][]string{
		"01-seed-mysql-delta": nil, "37-agent-istiod-side": nil,
		"50-istio-1.4-v2": {"--drop-unknown-filters"}, "51-istio-1.6-v2": {"--drop-unknown-filters"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, name, append(args, "--envoy="+bin)...)
			if code := s.end(); code != 0 {
				t.Errorf("exit %d: %+v\n%s", code, s.all, s.stderr.String())
			}
			if len(s.of("compare")) == 0 {
				t.Error("nothing was compared")
			}
		})
	}
}

// TestRealEnvoyNotAsRecorded: where what was served is not the whole recording, the
// comparison must say so.
func TestRealEnvoyNotAsRecorded(t *testing.T) {
	s := start(t, "13-istio-filters", "--envoy="+program.Envoy(t), "1..4", "--compare", "end")
	if code := s.end(); code != 1 {
		t.Errorf("exit %d, want 1: %s", code, s.stderr.String())
	}
	if len(s.of("nack")) == 0 || len(s.of("lacks")) == 0 {
		t.Errorf("no word of what this Envoy lacks: %+v", s.all)
	}
}

// TestRealEnvoyRejectsTheSame compares the words of each rejection.
func TestRealEnvoyRejectsTheSame(t *testing.T) {
	s := start(t, "07-nack", "--envoy="+program.Envoy(t))
	if code := s.end(); code != 0 {
		t.Fatalf("exit %d: %s", code, s.stderr.String())
	}
	got := map[string]string{}
	for _, l := range s.of("push") {
		if l.Answer == "nack" {
			got[l.Push] = l.Message
		}
	}
	want := 0
	for _, p := range log(t, "07-nack", "") {
		if p.Answer == "nack" {
			want++
			if got[p.Push] != p.Message {
				t.Errorf("%s: recorded %q, now %q", p.Push, p.Message, got[p.Push])
			}
		}
	}
	if want == 0 || want != len(got) {
		t.Errorf("%d rejections, recorded were %d", len(got), want)
	}
}

// TestRealEnvoyWithoutUnknownFilters reaches an ACK of everything in the recording that
// no plain Envoy accepts, and says what it left out.
func TestRealEnvoyWithoutUnknownFilters(t *testing.T) {
	s := start(t, "13-istio-filters", "--envoy="+program.Envoy(t), "--drop-unknown-filters")
	if code := s.end(); code != 0 {
		t.Fatalf("exit %d: %+v %s", code, s.all, s.stderr.String())
	}
	for _, l := range s.of("push") {
		if l.Answer != "ack" && l.Answer != "unasked" {
			t.Errorf("%s: %s %s", l.Push, l.Answer, l.Message)
		}
	}
	left := map[string]bool{}
	for _, l := range s.of("drops") {
		for _, n := range l.Names {
			left[n] = true
		}
	}
	for _, n := range []string{"istio.alpn", "istio.metadata_exchange", "istio.stats"} {
		if !left[n] {
			t.Errorf("%s is not named: %v", n, left)
		}
	}
}

// TestRealEnvoyFromTheMiddle starts with what the sidecar held before the range.
func TestRealEnvoyFromTheMiddle(t *testing.T) {
	for _, name := range []string{"01-seed-mysql-delta", "02-seed-mysql-sotw"} {
		s := start(t, name, "8..12", "--envoy="+program.Envoy(t))
		if code := s.end(); code != 0 {
			t.Errorf("exit %d: %+v %s", code, s.all, s.stderr.String())
		}
		if len(s.of("base")) < 4 || len(s.of("push")) != 4 {
			t.Errorf("%d answers to the base, %d pushes", len(s.of("base")), len(s.of("push")))
		}
	}
}

func TestBadRanges(t *testing.T) {
	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"01-seed-mysql-delta", "XP006", []string{"40..50"}},
		{"11-dns-capture", "XP004", nil},
		{"01-seed-mysql-delta", "XP002", []string{"--redirect"}},
		{"01-seed-mysql-delta", "XP002", []string{"--speed", "fast"}},
		{"01-seed-mysql-delta", "XP002", []string{"--break-on", "kind:nonsense"}},
		{"01-seed-mysql-delta", "XP070", []string{"--envoy=/nowhere/envoy"}},
	} {
		s := start(t, c.name, c.args...)
		if code := s.end(); code < 2 || !contains(s.stderr.String(), c.want) {
			t.Errorf("%s %v: exit %d, %s", c.name, c.args, code, s.stderr.String())
		}
	}
}

// TestAnEnvoyThatEndsIsTold: its last words help more than an endless wait.
func TestAnEnvoyThatEndsIsTold(t *testing.T) {
	fake := t.TempDir() + "/envoy"
	if err := os.WriteFile(fake, []byte("#!/bin/sh\necho unknown flag >&2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := start(t, "01-seed-mysql-delta", "--envoy="+fake)
	if code := s.end(); code != 2 || !contains(s.stderr.String(), "unknown flag") {
		t.Errorf("exit %d, %s", code, s.stderr.String())
	}
}
