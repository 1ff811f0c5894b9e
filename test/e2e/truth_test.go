package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// signals are the names that the probes of the recordings gave to signals.
var signals = map[string]string{"mysql": "server-first", "redis": "bytes", "redis-cli": "bytes", "server-first": "server-first",
	"bytes": "bytes", "http": "http/1.1", "http10": "http/1.0", "h2c": "h2c", "tls": "tls"}

// pods are the names that 11-dns-capture's probes gave to its sidecars.
var pods = map[string]string{"plain": "checkout-b7db8cc46-99cx5.shop", "dnscapture": "billing-b7db8cc46-99cx5.shop"}

var address = regexp.MustCompile(`^(\[[0-9a-f:]+\]|\d+\.\d+\.\d+\.\d+):\d+$`)

// questions asks of each probe what it met, at the time when it met it.
func questions(t *testing.T, file string) []byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out bytes.Buffer
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<22)
	for sc.Scan() {
		var p struct{ T, Dst, Signal, Host, Path, SNI, Pod string }
		if err := json.Unmarshal(sc.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		if signals[p.Signal] == "" || !address.MatchString(p.Dst) {
			continue
		}
		sig := map[string]string{"kind": signals[p.Signal]}
		for k, v := range map[string]string{"host": p.Host, "path": p.Path, "sni": p.SNI} {
			if v != "" {
				sig[k] = v
			}
		}
		q := map[string]any{"destination": p.Dst, "signal": sig, "at": "@{" + p.T + "}"}
		if p.Pod != "" {
			q["sidecar"] = pods[p.Pod]
		}
		out.WriteString(mustJSON(q) + "\n")
	}
	return out.Bytes()
}

// TestStoreAnswersAsTheFile asks for the verdict of every probe of every
// recording, of the transcript and of a store that it was imported into.
func TestStoreAnswersAsTheFile(t *testing.T) {
	asked := 0
	files, _ := filepath.Glob("../recordings/*/truth.jsonl")
	for _, file := range files {
		qs := questions(t, file)
		if len(qs) == 0 {
			continue
		}
		session := filepath.Join(filepath.Dir(file), "session.jsonl.gz")
		store := filepath.Join(t.TempDir(), "store")
		xdsproxy(t, "import", session, "--store", store)
		want, got := answers(t, qs, "--file", session), answers(t, qs, "--store", store)
		for i := range want {
			asked++
			if want[i] != get(got, i) {
				t.Errorf("%s, question %d\nfile:  %s\nstore: %s", file, i+1, want[i], get(got, i))
			}
		}
	}
	if asked < 1500 {
		t.Fatalf("%d questions asked: the recordings hold more", asked)
	}
}

func answers(t *testing.T, qs []byte, source ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"resolve", "--batch", "-", "-o", "jsonl"}, source...)...)
	cmd.Stdin = bytes.NewReader(qs)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", source, err, errs.String())
	}
	var lines []string
	for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
		lines = append(lines, sc.Text())
	}
	return lines
}
