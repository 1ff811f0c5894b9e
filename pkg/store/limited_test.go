package store

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// playLimited writes under a limit for the size of files: appends fail in the
// middle of a write and work again when the limit is lifted.
func playLimited() {
	signal.Ignore(unix.SIGXFSZ)
	w, err := OpenWriter(Config{Dir: os.Getenv("DIR"), SegmentBytes: 6000})
	if err != nil {
		fmt.Println("open:", err)
		return
	}
	failed, taken := 0, uint64(0)
	for i := range 100 {
		limit := uint64(unix.RLIM_INFINITY)
		switch i % 10 {
		case 3, 4:
			limit = uint64(1000 + 777*i) // inside the segment, or of a new one
		case 5:
			limit = 10 // inside the header of a new one
		}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: unix.RLIM_INFINITY}); err != nil {
			fmt.Println("limit:", err)
			return
		}
		r, bodies := push(web, taken+1, 300+int(taken%7)*400)
		if err := w.Append([]xds.Record{r}, bodies); err != nil {
			failed++
			continue
		}
		taken++
	}
	fmt.Printf("failed %v, taken %d, close %v\n", failed > 10, taken, w.Close())
}

func TestFileSizeLimit(t *testing.T) {
	dir := newStore(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"=limited", "DIR="+dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var taken uint64
	if _, err := fmt.Sscanf(string(out), "failed true, taken %d, close <nil>", &taken); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r := mustRead(t, dir)
	checkPushes(t, r, nil)
	if r.Last() != taken || len(r.Problems()) != 0 {
		t.Errorf("%d records, %d were taken; %v", r.Last(), taken, r.Problems())
	}
}

// An error of the background sync is told by the next append, once, and ends the
// segment.
func TestSyncFailure(t *testing.T) {
	dir := newStore(t)
	w := mustOpen(t, Config{Dir: dir})
	for n := range uint64(3) {
		r, bodies := push(web, n+1, 300)
		mustAppend(t, w, []xds.Record{r}, bodies...)
	}
	w.sync.mu.Lock()
	w.sync.err = unix.EIO
	w.sync.mu.Unlock()
	r, bodies := push(web, 4, 300)
	if err := w.Append([]xds.Record{r}, bodies); err == nil {
		t.Fatal("no error")
	}
	recs := []xds.Record{r}
	mustAppend(t, w, recs, bodies...)
	if names, _ := segmentNames(osFiles{}, dir); len(names) != 2 || recs[0].Seq != 4 {
		t.Errorf("segments %v, number %d", names, recs[0].Seq)
	}
}
