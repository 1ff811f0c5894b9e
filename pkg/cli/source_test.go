package cli

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const session01 = recordings + "01-seed-mysql-delta/session.jsonl.gz"

// imported is a store with a session in it, and its first segment.
func imported(t *testing.T) (dir, segment string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "store")
	if r := run(t, "", "import", session01, "--store", dir, "-q"); r.exit != 0 || r.err != "" {
		t.Fatalf("import: exit %d, %s", r.exit, r.err)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	return dir, segments[0]
}

// edit changes a file's bytes.
func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNewerStoreIsRefused(t *testing.T) {
	dir, segment := imported(t)
	edit(t, segment, func(b []byte) []byte {
		binary.LittleEndian.PutUint32(b[8:], 7)
		binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], crc32.MakeTable(crc32.Castagnoli)))
		return b
	})
	for _, args := range [][]string{{"log"}, {"events"}, {"ps"}, {"import", session01}} {
		r := run(t, "", append(args, "--store", dir)...)
		if r.exit != ExitData || r.stdout != "" || !strings.Contains(r.err, "XP011") || !strings.Contains(r.err, "7") {
			t.Errorf("%v: exit %d, %q", args, r.exit, r.err)
		}
	}
}

func TestDamagedStoreIsUsedAsFarAsItGoes(t *testing.T) {
	dir, segment := imported(t)
	edit(t, segment, func(b []byte) []byte {
		b[len(b)/2] ^= 0xff
		return b
	})
	r := run(t, "", "log", "--store", dir, "-o", "short", "-q")
	if r.exit != ExitData || !strings.Contains(r.stdout, "#1 ") || !strings.Contains(r.err, "XP041") {
		t.Errorf("exit %d, %q, %q", r.exit, r.stdout, r.err)
	}
}

func TestUnfinishedEndIsTold(t *testing.T) {
	dir, segment := imported(t)
	edit(t, segment, func(b []byte) []byte { return b[:len(b)-10] })
	r := run(t, "", "log", "--store", dir, "-o", "short", "-q")
	if r.exit != 0 || !strings.Contains(r.stdout, "#1 ") || !strings.Contains(r.err, "warning: "+dir) {
		t.Errorf("exit %d, %q, %q", r.exit, r.stdout, r.err)
	}
}

func TestStoreIsFound(t *testing.T) {
	dir, _ := imported(t)
	home := t.TempDir()
	state := filepath.Join(home, ".local", "state", "xdsproxy")
	if err := os.MkdirAll(filepath.Dir(state), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, state); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/var/lib/xdsproxy"); err == nil {
		t.Skip("this machine has a store of its own")
	}
	for _, env := range []map[string]string{{"XDSPROXY_STORE": state}, {"HOME": home}, {"XDG_STATE_HOME": filepath.Dir(state)}} {
		var out, errs strings.Builder
		app := testApp(&out, &errs)
		app.Getenv = func(k string) string { return env[k] }
		if exit := Main(t.Context(), app, []string{"log", "-q", "--last", "1"}); exit != 0 || !strings.Contains(out.String(), "#16") {
			t.Errorf("%v: exit %d, %q, %q", env, exit, out.String(), errs.String())
		}
	}
}

func testApp(out, errs io.Writer) *App {
	return &App{
		Stdin: strings.NewReader(""), Stdout: out, Stderr: errs,
		Now: func() time.Time { return testNow }, Getenv: func(string) string { return "" }, Width: func() int { return 0 },
	}
}

// TestEventsFollow: `events -f` tells what is imported while it runs, remembers it,
// and ends when it is interrupted; started again, it tells nothing twice.
func TestEventsFollow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	if r := run(t, "", "import", recordings+"09-endpoints-churn/session.jsonl.gz", "--store", dir, "-q"); r.exit != 0 {
		t.Fatal(r.err)
	}
	follow := func(until string, meanwhile func()) string {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var out, errs syncBuffer
		app := testApp(&out, &errs)
		app.Now = time.Now
		done := make(chan int)
		go func() {
			done <- Main(ctx, app, []string{"events", "-f", "-o", "short", "--kind", "dead-capture,release", "--store", dir, "--resume", filepath.Join(dir, "told")})
		}()
		meanwhile()
		for end := time.Now().Add(20 * time.Second); !strings.Contains(out.String(), until); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("no %q in %q, %q", until, out.String(), errs.String())
				break
			}
		}
		cancel()
		if exit := <-done; exit != ExitInterrupted {
			t.Errorf("exit %d, %q", exit, errs.String())
		}
		return out.String()
	}
	first := follow("release", func() {
		if r := run(t, "", "import", session01, "--store", dir, "-q"); r.exit != 0 {
			t.Error(r.err)
		}
	})
	if strings.Count(first, "dead-capture 3306") != 1 || strings.Count(first, "release 3306") != 1 {
		t.Errorf("told\n%s", first)
	}
	again := follow("5432", func() {
		if r := run(t, "", "import", recordings+"07-nack/session.jsonl.gz", "--store", dir, "-q"); r.exit != 0 {
			t.Error(r.err)
		}
	})
	if strings.Contains(again, "3306") {
		t.Errorf("told again\n%s", again)
	}
}

func TestInterruptedWhileReading(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range []string{"log", "events", "get listener", "diff 1..2", "resolve 10.0.0.1:80", "show 3", "ps"} {
		var out, errs strings.Builder
		exit := Main(ctx, testApp(&out, &errs), append(strings.Fields(args), "-q", "--file", session01))
		if exit != ExitInterrupted || out.Len() > 0 && args != "ps" || errs.Len() > 0 {
			t.Errorf("%s: exit %d, %q, %q", args, exit, out.String(), errs.String())
		}
	}
}
