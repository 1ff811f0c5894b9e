package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLostAnswerHidesNothing loses one answer of the incident's session after the
// other, to bytes that cannot be read: the capture is told all the same.
func TestLostAnswerHidesNothing(t *testing.T) {
	const name = "01-seed-mysql-delta"
	lines := rawLines(t, name)
	tried := 0
	for i, l := range session(t, name) {
		if l.Event != "request" || l.Stream != 1 || i < 2 || tried >= 8 {
			continue
		}
		tried++
		file := filepath.Join(t.TempDir(), "lost.jsonl")
		var out bytes.Buffer
		for j, raw := range lines {
			if j == i {
				raw = unreadable(t, raw)
			}
			out.Write(append(raw, '\n'))
		}
		if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		told := strings.Join(entries(t, "events", "-o", "jsonl", "--file", file), "\n")
		for _, want := range []string{`"kind":"gap"`, `"kind":"dead-capture"`, `"kind":"release"`} {
			if !strings.Contains(told, want) {
				t.Errorf("with line %d lost: no %s in\n%s", i+1, want, told)
			}
		}
	}
}

func unreadable(t *testing.T, raw []byte) []byte {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	v["raw"] = "/////w=="
	return []byte(mustJSON(v))
}
