package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

const (
	keyFile = "store.key"
	keySize = 32
)

// loadKey reads the store's secret, or makes one.
func loadKey(disk fileSystem, dir string) ([]byte, error) {
	name := filepath.Join(dir, keyFile)
	key, err := disk.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return makeKey(disk, name)
	case err != nil:
		return nil, fmt.Errorf("reading the key of a store: %w", err)
	case len(key) != keySize:
		return nil, fmt.Errorf("reading the key of a store: %s has %d bytes, not %d", name, len(key), keySize)
	}
	return key, nil
}

// makeKey writes beside the name first: there is a whole key or none.
func makeKey(disk fileSystem, name string) ([]byte, error) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	tmp := name + ".new"
	_ = disk.Remove(tmp) // of a writer that was killed here
	f, err := disk.Create(tmp)
	if err != nil {
		return nil, fmt.Errorf("writing the key of a store: %w", err)
	}
	_, err = f.WriteAt(key, 0)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = disk.Rename(tmp, name)
	}
	if err == nil {
		err = disk.SyncDir(filepath.Dir(name))
	}
	if err != nil {
		return nil, fmt.Errorf("writing the key of a store: %w", err)
	}
	return key, nil
}
