package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// segment is one file as the index knows it. The bytes before good have been
// read; they never change.
type segment struct {
	name     string
	first    uint64 // number of the first record, as the name says
	nth      int    // among those with this first, as the name says
	file     segmentFile
	header   header
	headed   bool // header is read
	final    bool // will not grow any more
	good     int64
	frames   []*frame
	last     uint64         // highest record number
	lean     bool           // keep no frames: a writer looks up bodies only
	problems []*DamageError // inside
	tail     *DamageError   // what stands behind good and will not become better
}

// segmentFile is what a segment needs of an *os.File.
type segmentFile interface {
	io.ReaderAt
	io.Closer
	Stat() (os.FileInfo, error)
}

// segmentName takes apart a file name.
func segmentName(name string) (first uint64, nth int, ok bool) {
	stem, ok := strings.CutSuffix(name, suffix)
	if !ok || len(stem) != 38 || stem[16] != '-' || stem[21] != '-' {
		return 0, 0, false
	}
	first, err := strconv.ParseUint(stem[:16], 16, 64)
	n, bad := strconv.ParseUint(stem[17:21], 16, 16)
	return first, int(n), err == nil && bad == nil
}

// openSegment opens a file that refresh will read.
func openSegment(dir, name string) (*segment, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("opening a segment: %w", err)
	}
	s := &segment{name: name, file: f}
	s.first, s.nth, _ = segmentName(name)
	s.last = s.first - min(s.first, 1)
	return s, nil
}

// read reads what was appended since the last time and gives each new frame to
// add. live says whether a writer may still be at it.
func (s *segment) read(live bool, add func(*frame)) error {
	info, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("reading %s: %w", s.name, err)
	}
	s.tail = nil
	if !s.headed && !s.readHeader(info.Size(), live, &err) {
		return err
	}
	sc := &scanner{r: s.file, size: info.Size(), seed: s.header.sum}
	for s.good < sc.size {
		more, err := s.step(sc, live, add)
		if err != nil {
			return fmt.Errorf("reading %s: %w", s.name, err)
		}
		if !more {
			break
		}
	}
	return nil
}

func (s *segment) readHeader(size int64, live bool, failed *error) bool {
	h, err := readHeader(s.file)
	if err == nil {
		s.header, s.headed, s.good = h, true, headerSize
		s.last = max(s.last, h.First-min(h.First, 1))
		return true
	}
	var newer *NewerVersionError
	if errors.As(err, &newer) {
		newer.File = s.name
		*failed = newer
	} else if !live {
		s.tail = s.damage(0, size, err)
	}
	return false
}

// step takes in the next group, or what is left of it where it is damaged, and
// reports whether to go on.
func (s *segment) step(sc *scanner, live bool, add func(*frame)) (bool, error) {
	group, end, bad, err := sc.group(s.good)
	if err != nil {
		return false, err
	}
	if bad == nil {
		s.take(group, end, add)
		return true, nil
	}
	next, found, err := sc.find(end + 1)
	if err != nil {
		return false, err
	}
	if !found {
		if !live {
			s.tail = s.damage(s.good, sc.size-s.good, bad)
		}
		return false, nil
	}
	return true, s.skip(sc, end, next, group, add)
}

// skip goes on behind damage. A frame that stands behind was written later, so
// what is bad before it cannot be a write under way: unless it was one when its
// bytes were read. That is why they are read once more.
func (s *segment) skip(sc *scanner, bad, next int64, group []*frame, add func(*frame)) error {
	sc.buf = nil
	_, why, err := sc.frame(bad)
	if err != nil || why == nil {
		return err
	}
	s.problems = append(s.problems, s.damage(bad, next-bad, why))
	s.take(group, next, add)
	return nil
}

func (s *segment) take(group []*frame, end int64, add func(*frame)) {
	for _, f := range group {
		if f.prev < s.last {
			s.problems = append(s.problems, s.damage(f.off, f.end()-f.off, errHead))
			continue
		}
		s.last = f.last()
		if !s.lean {
			s.frames = append(s.frames, f)
		}
		add(f)
	}
	s.good = end
}

func (s *segment) damage(off, n int64, why error) *DamageError {
	return &DamageError{File: s.name, Offset: off, Length: n, Why: why.Error()}
}

// drop forgets a frame whose data turned out to be unreadable.
func (s *segment) drop(f *frame, why error) {
	for i, x := range s.frames {
		if x == f {
			s.problems = append(s.problems, s.damage(f.off, f.end()-f.off, why))
			s.frames = append(s.frames[:i:i], s.frames[i+1:]...)
			return
		}
	}
}

// bodyLoc is where a body stands.
type bodyLoc struct {
	seg   *segment
	frame *frame
	start uint64 // in the data of the frame
	size  uint64
}

// locate gives f each body of the frame with its place.
func (s *segment) locate(f *frame, each func(xds.Digest, bodyLoc)) {
	start := uint64(0)
	for _, r := range f.bodies {
		each(r.digest, bodyLoc{s, f, start, r.size})
		start += r.size
	}
}
