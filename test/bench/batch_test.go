package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// batch asks the program 10,000 questions about the real recording, from a file.
func (b *bench) batch(out *table) {
	if *binary == "" {
		return
	}
	var qs bytes.Buffer
	for i := range 10_000 {
		q := map[string]any{"destination": fmt.Sprintf("10.%d.%d.%d:%d", i%97, i/256, i%256, 7000+i%40)}
		if i%2 == 1 {
			q["destination"] = fmt.Sprintf("198.51.100.%d:%d", i%256, 8080+i%5)
		}
		q["signal"] = map[string]string{"kind": "server-first"}
		line, err := json.Marshal(q)
		if err != nil {
			b.t.Fatal(err)
		}
		qs.Write(append(line, '\n'))
	}
	file := filepath.Join(b.t.TempDir(), "questions.jsonl")
	if err := os.WriteFile(file, qs.Bytes(), 0o600); err != nil {
		b.t.Fatal(err)
	}
	for range *rounds {
		b.runBatch(file)
	}
	out.atMost("resolve --batch of 10,000 destinations on recordings/10-large", 1000, ms(b.watch.wall("batch")), ms(b.watch.cpu("batch")), "ms")
}

func (b *bench) runBatch(questions string) {
	c := exec.Command(*binary, "resolve", "--file", "../recordings/10-large/session.jsonl.gz", "--batch", questions, "-o", "jsonl")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	start := time.Now()
	answers, err := c.Output()
	if err != nil || bytes.Count(answers, []byte("\n")) != 10_000 {
		b.t.Fatalf("%v, %d answers: %s", err, bytes.Count(answers, []byte("\n")), stderr.String())
	}
	cpu := c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	b.watch.runs["batch"] = append(b.watch.runs["batch"], timing{time.Since(start), cpu})
}
