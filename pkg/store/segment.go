package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
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
	file     file
	header   header
	headed   bool // header is read
	final    bool // will not grow any more
	good     int64
	frames   []frame
	last     uint64 // highest record number
	bare     bool   // of the frames nothing is kept: a writer needs those of late only
	bodies   bodies
	crowd    crowd
	bases    []basePlace
	problems []*DamageError // inside
	tail     *DamageError   // what stands behind good and will not become better
}

// basePlace is where a base stands.
type basePlace struct {
	baseRef
	off int64 // of the frame
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
func openSegment(disk fileSystem, dir, name string) (*segment, error) {
	f, err := disk.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("opening a segment: %w", err)
	}
	s := &segment{name: name, file: f}
	s.first, s.nth, _ = segmentName(name)
	s.last = s.first - min(s.first, 1)
	return s, nil
}

// strip forgets the frames, for good.
func (s *segment) strip() {
	s.bare, s.frames, s.bodies, s.bases = true, nil, bodies{}, nil
}

// read reads what was appended since the last time and gives each new frame to
// add. live says whether a writer may still be at it.
func (s *segment) read(live bool, add func(*parsed)) error {
	size, err := s.file.Size()
	if err != nil {
		return fmt.Errorf("reading %s: %w", s.name, err)
	}
	s.tail = nil
	if !s.headed && !s.readHeader(size, live, &err) {
		return err
	}
	sc := &scanner{r: s.file, size: size, seed: s.header.sum}
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
	var old *OldVersionError
	switch {
	case errors.As(err, &newer):
		newer.File = s.name
		*failed = newer
	case errors.As(err, &old):
		old.File = s.name
		*failed = old
	case !live:
		s.tail = s.damage(0, size, err)
	}
	return false
}

// step takes in the next group, or what is left of it where it is damaged, and
// reports whether to go on.
func (s *segment) step(sc *scanner, live bool, add func(*parsed)) (bool, error) {
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
func (s *segment) skip(sc *scanner, bad, next int64, group []*parsed, add func(*parsed)) error {
	sc.buf = nil
	var again parsed
	why, err := sc.frame(bad, &again)
	if err != nil || why == nil {
		return err
	}
	s.problems = append(s.problems, s.damage(bad, next-bad, why))
	s.take(group, next, add)
	return nil
}

func (s *segment) take(group []*parsed, end int64, add func(*parsed)) {
	for _, p := range group {
		if p.prev < s.last || !s.bare && !s.bodies.fits(p, end) {
			s.problems = append(s.problems, s.damage(p.off, int64(p.size), errHead))
			continue
		}
		s.last = p.prev + p.numbered
		s.note(p)
		add(p)
	}
	s.good = end
}

// note keeps of a frame what the index needs.
func (s *segment) note(p *parsed) {
	who := s.crowd.set(p.sidecars)
	if s.bare {
		return
	}
	f := frame{off: p.off, prev: p.prev, size: p.size, count: uint32(p.count), numbered: uint32(p.numbered), bodies: uint32(len(p.bodies)),
		who: who, more: p.flags&flagMore != 0, everyone: p.everyone}
	s.bodies.add(p)
	f.firstBody = s.bodies.next() - f.bodies
	s.frames = append(s.frames, f)
	for _, b := range p.bases {
		s.bases = append(s.bases, basePlace{b, p.off})
	}
}

func (s *segment) damage(off, n int64, why error) *DamageError {
	return &DamageError{File: s.name, Offset: off, Length: n, Why: why.Error()}
}

// frameAt finds a frame by its offset.
func (s *segment) frameAt(off int64) (int, bool) {
	return slices.BinarySearchFunc(s.frames, off, func(f frame, off int64) int {
		switch {
		case f.off < off:
			return -1
		case f.off > off:
			return 1
		}
		return 0
	})
}

// frameWith finds the frame with the record that has a number.
func (s *segment) frameWith(seq uint64) (frame, bool) {
	i := sort.Search(len(s.frames), func(i int) bool { return s.frames[i].last() >= seq })
	if i == len(s.frames) || s.frames[i].prev >= seq {
		return frame{}, false
	}
	return s.frames[i], true
}

// frameOf finds the frame with a body.
func (s *segment) frameOf(body uint32) (frame, bool) {
	i := sort.Search(len(s.frames), func(i int) bool { return s.frames[i].lastBody() > body })
	if i == len(s.frames) || s.frames[i].firstBody > body {
		return frame{}, false
	}
	return s.frames[i], true
}

// drop forgets a frame whose data turned out to be unreadable, with its bodies.
func (s *segment) drop(off int64, why error) {
	i, ok := s.frameAt(off)
	if !ok {
		return
	}
	f := s.frames[i]
	s.problems = append(s.problems, s.damage(f.off, int64(f.size), why))
	s.frames = slices.Delete(slices.Clone(s.frames), i, i+1)
	for n := f.firstBody; n < f.lastBody(); n++ {
		s.bodies.hide(n)
	}
}

// concerns reports whether records for the sidecar with this tag may be in f.
func (s *segment) concerns(f frame, tag uint64) bool {
	return f.everyone || slices.Contains(s.crowd.sets[f.who], tag)
}

// crowd is who has records in a segment.
type crowd struct {
	sets   [][]uint64        // each different list of tags once; frames name it
	single map[uint64]uint32 // the place of the list of one tag alone
	tags   []uint64          // in order of appearance
	pushes map[uint64]uint64 // highest push number, by tag
	ids    map[uint64]xds.Sidecar
}

// set takes in the sidecars of a frame and says which list is theirs.
func (c *crowd) set(refs []sidecarRef) uint32 {
	if c.pushes == nil {
		c.pushes, c.single, c.ids, c.sets = map[uint64]uint64{}, map[uint64]uint32{}, map[uint64]xds.Sidecar{}, [][]uint64{nil}
	}
	for i := range refs {
		c.meet(&refs[i])
	}
	switch len(refs) {
	case 0:
		return 0
	case 1:
		if n, ok := c.single[refs[0].tag]; ok {
			return n
		}
		c.single[refs[0].tag] = uint32(len(c.sets))
	}
	tags := make([]uint64, len(refs))
	for i := range refs {
		tags[i] = refs[i].tag
	}
	c.sets = append(c.sets, tags)
	return uint32(len(c.sets) - 1)
}

func (c *crowd) meet(r *sidecarRef) {
	n, ok := c.pushes[r.tag]
	if !ok {
		c.tags = append(c.tags, r.tag)
	}
	if !ok || r.maxPush > n {
		c.pushes[r.tag] = r.maxPush
	}
	if r.defined {
		c.ids[r.tag] = r.id
	}
}
