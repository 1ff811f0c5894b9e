package store

import (
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// fileSystem is what the store needs of an operating system. Tests put one in its
// place that forgets what was not synced.
type fileSystem interface {
	// Names lists a directory, sorted.
	Names(dir string) ([]string, error)
	Open(path string) (file, error)
	Create(path string) (file, error) // fails where there is one
	ReadFile(path string) ([]byte, error)
	Truncate(path string, size int64) error
	Remove(path string) error
	Rename(from, to string) error
	Mkdir(dir string) error // with its parents; one that is there is fine
	SyncDir(dir string) error
	Lock(path string) (io.Closer, error) // ErrLocked while another has it
	Locked(path string) bool
	// Space is how many bytes a user without privileges may still write, and how
	// many there are.
	Space(dir string) (free, total int64, err error)
}

// file is what the store needs of an *os.File.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
}

// osFiles is the real file system.
type osFiles struct{}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (osFiles) Names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (osFiles) Open(path string) (file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFiles) Create(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFiles) ReadFile(path string) ([]byte, error)   { return os.ReadFile(path) }
func (osFiles) Truncate(path string, size int64) error { return os.Truncate(path, size) }
func (osFiles) Remove(path string) error               { return os.Remove(path) }
func (osFiles) Rename(from, to string) error           { return os.Rename(from, to) }
func (osFiles) Mkdir(dir string) error                 { return os.MkdirAll(dir, dirMode) }
func (osFiles) Lock(path string) (io.Closer, error)    { return lock(path) }
func (osFiles) Locked(path string) bool                { return locked(path) }

func (osFiles) SyncDir(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}

func (osFiles) Space(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil
}
