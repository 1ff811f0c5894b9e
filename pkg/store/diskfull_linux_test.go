package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// A full disk: the error is told, what is there stays whole, and writing goes on
// when there is room again.
func TestDiskFull(t *testing.T) {
	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=256k"); err != nil {
		if os.Getenv("CI") == "true" && os.Getuid() == 0 {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: a full disk cannot be tested without the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mount, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(mount, "ballast")
	overwrite(t, ballast, make([]byte, 100_000))
	dir := filepath.Join(mount, "store")
	w := mustOpen(t, Config{Dir: dir, SegmentBytes: 50_000})
	n := uint64(0)
	fill := func() error {
		for {
			r, bodies := push(web, n+1, 300+int(n%7)*400)
			if err := w.Append([]xds.Record{r}, bodies); err != nil {
				return err
			}
			n++
		}
	}
	if err := fill(); !strings.Contains(err.Error(), "no space left") {
		t.Fatal(err)
	}
	full := n
	checkPushes(t, mustRead(t, dir), nil)
	mustVerify(t, dir)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	_ = fill()
	if n < full+10 {
		t.Errorf("%d pushes at first, %d in the end", full, n)
	}
	_ = w.Close()
	checkPushes(t, mustRead(t, dir), nil)
	mustVerify(t, dir) // nothing torn either: what did not fit was taken back
}
