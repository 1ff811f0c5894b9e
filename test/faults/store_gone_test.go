package faults

import (
	big "encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNoStore starts on stores that cannot be written: bytes flow, health says
// degraded, and the end is a good one.
func TestNoStore(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*testing.T) string{
		"a file in its place": func(t *testing.T) string {
			file := filepath.Join(t.TempDir(), "file")
			write(t, file, []byte("x"))
			return file
		},
		"read-only": func(t *testing.T) string {
			dir := small(t, "1m")
			if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(dir, "store")
		},
		"newer format": newerStore,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlane(t)
			x := start(t, config{upstream: p.addr, store: prepare(t), quiet: true})
			x.await("health degraded", x.degraded)
			if !strings.Contains(x.log.String(), "forwarding without recording into") {
				t.Error("nothing says why")
			}
			if !strings.HasPrefix(x.get("/readyz"), "200") {
				t.Errorf("not ready: %s", x.get("/readyz"))
			}
			c := newChurn(connect(t, x.target, p), 300, 10)
			for range 3 {
				c.next()
			}
			c.finish()
			x.stop()
		})
	}
}

// newerStore is a store of a later format: a real one with another version in the
// header of its segment.
func newerStore(t *testing.T) string {
	p := newPlane(t)
	x := start(t, config{upstream: p.addr})
	c := newChurn(connect(t, x.target, p), 10, 10)
	c.next()
	c.finish()
	x.stop()
	names, err := filepath.Glob(filepath.Join(x.store, "*.seg"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	// docs/format.md: version, size of the header, and its CRC-32C in the end.
	size := big.LittleEndian.Uint32(b[12:])
	big.LittleEndian.PutUint32(b[8:], 1000)
	big.LittleEndian.PutUint32(b[size-4:], crc32.Checksum(b[:size-4], crc32.MakeTable(crc32.Castagnoli)))
	write(t, names[0], b)
	return x.store
}

// TestStoreRemoved takes the directory away under a running proxy: it is told,
// and the history begins again in its place.
func TestStoreRemoved(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	x := start(t, config{upstream: p.addr})
	c := newChurn(connect(t, x.target, p), 300, 300)
	c.next()
	if err := os.RemoveAll(x.store); err != nil {
		t.Fatal(err)
	}
	c.pushUntil("it is noticed", 3000, func() bool { return x.times("the store was taken away; forwarding goes on") > 0 })
	c.pushUntil("it records again", 3000, func() bool { return x.times("recording") > 1 && !x.degraded() })
	c.next()
	last := c.nonce()
	c.finish()
	x.stop()
	all := held(t, x.store).pushes()
	if len(all) == 0 || all[len(all)-1].Nonce != last {
		t.Errorf("%d pushes in the new store, the last one sent is not the last", len(all))
	}
	verified(t, x.store)
}

// TestStoreMissing makes the directory where it is not there.
func TestStoreMissing(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	x := start(t, config{upstream: p.addr, store: filepath.Join(t.TempDir(), "a", "b", "store")})
	c := newChurn(connect(t, x.target, p), 10, 10)
	c.next()
	c.finish()
	x.stop()
	if len(held(t, x.store).pushes()) != 1 {
		t.Error("nothing was recorded")
	}
	if info, err := os.Stat(x.store); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
