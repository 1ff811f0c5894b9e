package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lockFile = "LOCK"
	keyFile  = "store.key"
	keySize  = 32
	dirMode  = 0o700
	fileMode = 0o600
)

// lock takes the writer's lock. Readers hold it for a moment to see whether there
// is a writer, therefore it is tried for a quarter of a second.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of a store: %w", err)
	}
	for try := 0; ; try++ {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) || try == 25 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = f.Close() // nothing was written
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%s: %w", dir, ErrLocked)
	}
	return nil, fmt.Errorf("locking %s: %w", dir, err)
}

// locked reports whether a writer has the directory.
func locked(dir string) bool {
	f, err := os.Open(filepath.Join(dir, lockFile))
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // only read; gives the lock back
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// loadKey reads the store's secret, or makes one.
func loadKey(dir string) ([]byte, error) {
	name := filepath.Join(dir, keyFile)
	key, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return makeKey(name)
	case err != nil:
		return nil, fmt.Errorf("reading the key of a store: %w", err)
	case len(key) != keySize:
		return nil, fmt.Errorf("reading the key of a store: %s has %d bytes, not %d", name, len(key), keySize)
	}
	return key, nil
}

// makeKey writes beside the name first: there is a whole key or none.
func makeKey(name string) ([]byte, error) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	tmp := name + ".new"
	_ = os.Remove(tmp) // of a writer that was killed here
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, fmt.Errorf("writing the key of a store: %w", err)
	}
	_, err = f.Write(key)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(tmp, name)
	}
	if err != nil {
		return nil, fmt.Errorf("writing the key of a store: %w", err)
	}
	return key, nil
}
