package store

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"
)

// syncer is the group commit: it brings written files to the disk, at most once
// per interval. It never holds up a write.
type syncer struct {
	dir     string
	disk    fileSystem
	wake    chan struct{} // capacity 1: something is dirty
	quit    chan struct{}
	done    chan struct{}
	running sync.Mutex // held during fsync: one at a time

	mu    sync.Mutex // guards the rest
	files map[file]bool
	seen  map[file]bool // their names are on the disk
	safe  map[file]bool // and what they began with
	err   error         // of a sync in the background, not yet told
}

func (s *syncer) start(disk fileSystem, dir string, every time.Duration) {
	s.disk, s.dir, s.files, s.seen = disk, dir, map[file]bool{}, map[file]bool{}
	s.safe = map[file]bool{}
	s.wake, s.quit, s.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go s.run(every)
}

func (s *syncer) run(every time.Duration) {
	defer close(s.done)
	for {
		select {
		case <-s.quit:
			return
		case <-s.wake:
		}
		select { // gather what comes meanwhile
		case <-s.quit:
			return
		case <-time.After(every):
		}
		if err := s.now(); err != nil {
			s.mu.Lock()
			s.err = err
			s.mu.Unlock()
		}
	}
}

// dirty says that f was written to.
func (s *syncer) dirty(f file) {
	s.mu.Lock()
	s.files[f] = true
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// failure returns the error of a background sync, once. What was appended since
// the sync before may be lost when the machine goes down.
func (s *syncer) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.err
	s.err = nil
	return err
}

// now syncs all dirty files, and the directory when one is new.
func (s *syncer) now() error {
	s.running.Lock()
	defer s.running.Unlock()
	s.mu.Lock()
	files, fresh := s.files, false
	s.files = map[file]bool{}
	for f := range files {
		fresh = fresh || !s.seen[f]
		s.seen[f] = true
	}
	s.mu.Unlock()
	var err error
	for f := range files {
		if e := f.Sync(); !errors.Is(e, fs.ErrClosed) { // deleted and forgotten
			err = errors.Join(err, e)
		}
	}
	if fresh {
		err = errors.Join(err, s.disk.SyncDir(s.dir))
	}
	if err != nil {
		return fmt.Errorf("syncing a store: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for f := range files {
		s.safe[f] = true
	}
	return nil
}

// began reports that f outlives a power cut: it was synced since it was begun.
func (s *syncer) began(f file) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.safe[f]
}

func (s *syncer) stop() error {
	close(s.quit)
	<-s.done
	return errors.Join(s.failure(), s.now())
}

// closed forgets a file.
func (s *syncer) closed(f file) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, f)
	delete(s.seen, f)
	delete(s.safe, f)
}
