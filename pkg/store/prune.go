package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// Pruned is what Prune did.
type Pruned struct {
	Removed []Segment `json:"removed"` // or would be
	Kept    []Segment `json:"kept"`
}

// Prune deletes the oldest segments until limits hold, never the newest one. It
// may run beside a writer and readers: these go on, and meet a gap where they were
// in the middle of what is gone. With try nothing is deleted. A store of another
// format is refused (*NewerVersionError, *OldVersionError).
func Prune(dir string, l Limits, now time.Time, try bool) (Pruned, error) {
	return prune(osFiles{}, dir, l, now, try)
}

func prune(disk fileSystem, dir string, l Limits, now time.Time, try bool) (Pruned, error) {
	out := Pruned{Removed: []Segment{}, Kept: []Segment{}}
	all, err := list(disk, dir)
	if err != nil {
		return out, err
	}
	n := l.surplus(all, now)
	if n > 0 && !try {
		if err := settle(disk, dir, all[len(all)-1].File); err != nil {
			return out, err
		}
	}
	out.Kept = append(out.Kept, all[n:]...)
	for i, s := range all[:n] {
		if !try {
			err = disk.Remove(filepath.Join(dir, s.File))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // the writer prunes as well
			out.Kept = append(append([]Segment{}, all[i:n]...), out.Kept...)
			return out, fmt.Errorf("deleting a segment: %w", err)
		}
		out.Removed = append(out.Removed, s)
	}
	return out, nil
}

// settle brings the newest segment to the disk before others go: its writer may
// just have begun it.
func settle(disk fileSystem, dir, name string) error {
	f, err := disk.Open(filepath.Join(dir, name))
	if err == nil {
		err = errors.Join(f.Sync(), f.Close(), disk.SyncDir(dir))
	}
	if err != nil {
		return fmt.Errorf("syncing the newest segment: %w", err)
	}
	return nil
}

// list looks at the headers of all segments.
func list(disk fileSystem, dir string) ([]Segment, error) {
	names, err := segmentNames(disk, dir)
	if err != nil {
		return nil, err
	}
	var out []Segment
	for _, name := range names {
		s, err := look(disk, dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n := len(out); n > 0 {
			out[n-1].Last = max(s.First-1, out[n-1].First-1)
		}
		out = append(out, s)
	}
	return out, nil
}

// look reads the header of a segment. One that is damaged has the age of the one
// before it, as far as anyone knows: it counts as new.
func look(disk fileSystem, dir, name string) (Segment, error) {
	s, err := openSegment(disk, dir, name)
	if err != nil {
		return Segment{}, err
	}
	defer s.file.Close() //nolint:errcheck // only read
	out := Segment{File: name, First: s.first}
	if out.Bytes, err = s.file.Size(); err != nil {
		return out, fmt.Errorf("reading %s: %w", name, err)
	}
	s.readHeader(out.Bytes, false, &err)
	if err != nil {
		return out, err
	}
	if out.Created = s.header.Created; !s.headed {
		out.Created = time.Unix(1<<40, 0)
	}
	return out, nil
}
