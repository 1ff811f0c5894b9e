package store

import (
	"errors"
	"fmt"
)

// ErrLowSpace is returned by Append while the file system has less space free than
// Config.MinFree: nothing is written then.
var ErrLowSpace = errors.New("too little space is left on the disk")

// ErrLocked is returned by OpenWriter while another writer has the directory.
var ErrLocked = errors.New("another process is writing to this store")

// NewerVersionError says that a segment was written in a format that this
// program does not know. Nothing of such a store is read or changed.
type NewerVersionError struct {
	File             string
	Found, Supported uint32
}

func (e *NewerVersionError) Error() string {
	return fmt.Sprintf("%s has store format %d, this program reads up to %d", e.File, e.Found, e.Supported)
}

// OldVersionError says that a segment was written in a format from before the
// first release, which this program does not read. Nothing of such a store is read
// or changed.
type OldVersionError struct {
	File             string
	Found, Supported uint32
}

func (e *OldVersionError) Error() string {
	return fmt.Sprintf("%s has store format %d, from before the first release; this program reads only %d", e.File, e.Found, e.Supported)
}

// DamageError names a stretch of a segment that cannot be read. What stands
// before it, what can be found again behind it and all other segments stay usable.
type DamageError struct {
	File   string // name inside the store directory
	Offset int64  // of the first byte that is lost
	Length int64  // bytes lost
	// Torn: it is the end of the last segment and its writer is gone: a write
	// that never finished.
	Torn bool
	Why  string
}

func (e *DamageError) Error() string {
	what := "damaged"
	if e.Torn {
		what = "torn"
	}
	return fmt.Sprintf("%s is %s at offset %d (%d bytes): %s", e.File, what, e.Offset, e.Length, e.Why)
}
