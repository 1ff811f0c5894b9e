package faults

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestClockJumps lets the time of a recorded session jump by up to a day, back
// and forth, at every line: what is told stands in the order in which it came.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"02-seed-mysql-sotw", "07-nack", "09-endpoints-churn"} {
		t.Run(name, func(t *testing.T) {
			all := lines(t, name, "session.jsonl.gz")
			rnd := rand.New(rand.NewPCG(3, 3))
			var out bytes.Buffer
			for _, l := range all {
				l.T = l.T.Add(time.Duration(rnd.Int64N(int64(48*time.Hour))) - 24*time.Hour)
				b, err := json.Marshal(transcribed{l.T, l.Stream, l.Event, l.Method, l.Raw})
				if err != nil {
					t.Fatal(err)
				}
				out.Write(append(b, '\n'))
			}
			dir := t.TempDir()
			file, store := filepath.Join(dir, "jumps.jsonl"), filepath.Join(dir, "store")
			write(t, file, out.Bytes())
			xdsproxy(t, "import", file, "--store", store)
			xdsproxy(t, "import", filepath.Join(recordings, name, "session.jsonl.gz"), "--store", store+"2")
			jumping, steady := held(t, store), held(t, store+"2")
			if got, want := nonces(jumping), nonces(steady); !slices.Equal(got, want) || len(want) < 5 {
				t.Errorf("pushes %v, want %v", got, want)
			}
			for i, push := range jumping.pushes() {
				if push.Number != uint64(i)+1 {
					t.Errorf("push %d has number %d", i+1, push.Number)
				}
			}
			verified(t, store)
		})
	}
}

// transcribed is a line of a transcript.
type transcribed struct {
	T      time.Time `json:"t"`
	Stream uint64    `json:"stream"`
	Event  string    `json:"event"`
	Method string    `json:"method,omitempty"`
	Raw    []byte    `json:"raw,omitempty"`
}

func nonces(h history) (out []string) {
	for _, p := range h.pushes() {
		out = append(out, p.Nonce)
	}
	return out
}
