package e2e

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what is told of the recordings into testdata")

// told is what a line of the golden file says of an event.
type told struct {
	Kind, Severity, Ports, Time, Push, Summary string
	Settled                                    bool
	Owner                                      *struct{ Host, Namespace string }
}

// step is a line of steps.jsonl.
type step struct{ T, Step string }

// TestEventsOfEveryRecording holds all that is told of every recorded session,
// quiet steps included, against a file that was read by people.
func TestEventsOfEveryRecording(t *testing.T) {
	var b strings.Builder
	all, err := filepath.Glob("../recordings/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range all {
		fmt.Fprintf(&b, "%s\n", filepath.Base(dir))
		events := eventsOf(t, dir)
		steps := stepsOf(t, dir)
		for i, s := range steps {
			fmt.Fprintf(&b, "  %s\n", s.Step)
			for _, e := range events {
				if e.Time >= s.T && (i+1 == len(steps) || e.Time < steps[i+1].T) {
					b.WriteString("    " + e.line() + "\n")
				}
			}
		}
	}
	const file = "testdata/events.golden"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	was, is := strings.Split(string(want), "\n"), strings.Split(b.String(), "\n")
	for i := range max(len(was), len(is)) {
		if get(was, i) != get(is, i) {
			t.Fatalf("%s, line %d\nwas: %s\nis:  %s", file, i+1, get(was, i), get(is, i))
		}
	}
}

func (e told) line() string {
	owner := "-"
	if e.Owner != nil {
		owner = e.Owner.Host + " in " + e.Owner.Namespace
	}
	if !e.Settled {
		owner += " (not settled)"
	}
	return fmt.Sprintf("%s %s %s %q owner %s: %s", e.Push, e.Severity, e.Kind, e.Ports, owner, e.Summary)
}

func eventsOf(t *testing.T, dir string) (out []told) {
	t.Helper()
	for l := range strings.Lines(xdsproxy(t, "events", "-o", "jsonl", "--file", filepath.Join(dir, "session.jsonl.gz"))) {
		var e told
		if err := json.Unmarshal([]byte(l), &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// stepsOf reads the first line of each step, so that equal ones follow once.
func stepsOf(t *testing.T, dir string) (out []step) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "steps.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var s step
		if err := json.Unmarshal(sc.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		if len(out) == 0 || out[len(out)-1].Step != s.Step {
			out = append(out, s)
		}
	}
	return out
}
