package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// writerProcess is another process that appends pushes as fast as it can.
type writerProcess struct {
	cmd  *exec.Cmd
	last chan uint64 // the highest number that it announced, once it is gone
	some chan struct{}
}

func startWriter(t *testing.T, dir string, segment int) *writerProcess {
	t.Helper()
	p := &writerProcess{cmd: exec.Command(os.Args[0]), last: make(chan uint64, 1), some: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), roleVar+"=writer", "DIR="+dir, fmt.Sprint("SEGMENT=", segment))
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		var last uint64
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if n == 0 {
				close(p.some)
			}
			if x, err := strconv.ParseUint(lines.Text(), 10, 64); err == nil {
				last = x
			}
		}
		p.last <- last
	}()
	return p
}

// kill ends the process as kill -9 does and returns the highest number that it
// had announced.
func (p *writerProcess) kill(t *testing.T) uint64 {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	last := <-p.last
	_ = p.cmd.Wait() // killed
	return last
}

// A follower in this process sees what a writer in another one appends, in order,
// and nothing that is not there after the writer was killed; what the writer was
// told to be written is there; the next one goes on.
func TestKillNine(t *testing.T) {
	dir := newStore(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	var seen []xds.Record
	var r *Reader
	for range 20 {
		p := startWriter(t, dir, 30_000)
		<-p.some
		if r == nil {
			var err error
			if r, err = OpenReaderWith(dir, ReaderConfig{Poll: time.Millisecond}); err != nil {
				t.Fatal(err)
			}
			defer r.Close() //nolint:errcheck // only read
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(60_000))*time.Microsecond)
		follow(t, ctx, r, uint64(len(seen))+1, func(rec xds.Record) bool {
			seen = append(seen, rec)
			return false
		})
		cancel()
		told := p.kill(t)
		if err := r.Refresh(); err != nil {
			t.Fatal(err)
		}
		if last := r.Last(); last < told || last < uint64(len(seen)) || last > told+1 {
			t.Fatalf("the writer was told %d, a follower saw %d, there are %d", told, len(seen), last)
		}
	}
	if len(seen) < 20 {
		t.Errorf("the follower saw only %d records", len(seen))
	}
	if err := mustOpen(t, Config{Dir: dir}).Close(); err != nil { // cuts a torn end
		t.Fatal(err)
	}
	checkPushes(t, mustRead(t, dir), seen)
}

// checkPushes checks that the store holds pushes 1, 2, ... and that seen is the
// start of it.
func checkPushes(t *testing.T, r *Reader, seen []xds.Record) {
	t.Helper()
	all := everything(t, r, 1)
	for i, got := range all {
		want, bodies := push(web, uint64(i)+1, 300+(i%7)*400)
		want.Seq = uint64(i) + 1
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
		for _, b := range bodies {
			if x, ok, err := r.Body(b.Digest); !ok || err != nil || string(x) != string(b.Bytes) {
				t.Fatalf("body %s of push %d: %v, %v", b.Digest, i+1, ok, err)
			}
		}
	}
	if len(seen) > len(all) {
		t.Fatalf("a follower saw %d records, there are %d", len(seen), len(all))
	}
	same(t, all[:len(seen)], seen)
}

// While the writer is there, a torn end is a write under way.
func TestTornOrNotYet(t *testing.T) {
	dir := newStore(t)
	w := mustOpen(t, Config{Dir: dir})
	r, bodies := push(web, 1, 400)
	mustAppend(t, w, []xds.Record{r}, bodies...)
	good := w.cur.seg.good
	b := w.builder(w.cur, good)
	if err := w.fill(b, []xds.Record{r}, nil); err != nil {
		t.Fatal(err)
	}
	for n := range b.out { // as if the write came in single bytes
		if _, err := w.cur.file.WriteAt(b.out[n:n+1], good+int64(n)); err != nil {
			t.Fatal(err)
		}
		if n%10 == 0 || n == len(b.out)-1 {
			checkNotYet(t, dir, n == len(b.out)-1)
		}
	}
	w.commit(b, []xds.Record{r})
	w.cur.seg.good += int64(len(b.out))
}

func checkNotYet(t *testing.T, dir string, whole bool) {
	t.Helper()
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // only read
	want := uint64(1)
	if whole {
		want = 2
	}
	if len(r.Problems()) != 0 || r.Last() != want {
		t.Fatalf("last %d, want %d, problems %v", r.Last(), want, r.Problems())
	}
}
