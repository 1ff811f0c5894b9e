package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sort"

	"github.com/klauspost/compress/zstd"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// place is a frame and where it stands.
type place struct {
	seg   *segment
	frame *frame
}

// index knows what stands where in a directory. It does no locking of its own,
// but bodies has its own, and data and body may run
// beside each other.
type index struct {
	dir    string
	lean   bool       // keep no frames but those with bodies
	segs   []*segment // in the order of the history
	bodies places
	ids    map[uint64]xds.Sidecar // by tag
	pushes map[uint64]uint64      // highest push number, by tag
	lost   map[uint64]place       // tags without an id: their definition is damaged
	alone  map[uint64][]sidecarRef
	stream uint64 // highest stream number
	zstd   *zstd.Decoder
	cache  *cache
}

func newIndex(dir string, cacheBytes int64) (*index, error) {
	x := &index{dir: dir, bodies: places{at: map[xds.Digest]bodyLoc{}}, ids: map[uint64]xds.Sidecar{}, pushes: map[uint64]uint64{}, lost: map[uint64]place{}, alone: map[uint64][]sidecarRef{}}
	var err error
	if x.cache, err = newCache(cacheBytes); err != nil {
		return nil, fmt.Errorf("setting up a cache: %w", err)
	}
	x.zstd, err = newDecoder()
	return x, err
}

func (x *index) close() {
	for _, s := range x.segs {
		_ = s.file.Close() // only read
	}
	x.zstd.Close()
}

// refresh takes in what changed in the directory. live tells whether a writer is
// at work; it is asked only where that matters.
func (x *index) refresh(live func() bool) error {
	names, err := segmentNames(x.dir)
	if err != nil {
		return err
	}
	x.forget(names)
	for i, name := range names {
		s, err := x.segment(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted since
		}
		if err == nil && !s.final {
			err = x.read(s, i == len(names)-1, live)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// segmentNames lists the segments of dir in the order of the history.
func segmentNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, fmt.Errorf("listing a store: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, _, ok := segmentName(e.Name()); ok {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// segment returns the segment of that name, a new one at its place in the order.
func (x *index) segment(name string) (*segment, error) {
	i := sort.Search(len(x.segs), func(i int) bool { return x.segs[i].name >= name })
	if i < len(x.segs) && x.segs[i].name == name {
		return x.segs[i], nil
	}
	s, err := openSegment(x.dir, name)
	if err == nil {
		s.lean = x.lean
		x.segs = slices.Insert(x.segs, i, s)
	}
	return s, err
}

// read takes in what is new in s. A bad end of the last segment is a write under
// way while there is a writer. That the writer is gone is known only after its
// bytes were read, so they are read again then.
func (x *index) read(s *segment, last bool, live func() bool) error {
	add := func(f *frame) { x.add(s, f) }
	if last {
		if err := s.read(true, add); err != nil || s.complete() || live() {
			return err
		}
	}
	err := s.read(false, add)
	s.final = !last && err == nil
	if s.tail != nil { // a bad header with something behind it is no unfinished write
		s.tail.Torn = last && (s.headed || s.tail.Length < headerSize)
	}
	return err
}

// complete reports whether the file has been understood to its end.
func (s *segment) complete() bool {
	info, err := s.file.Stat()
	return err == nil && s.headed && s.good == info.Size()
}

func (x *index) add(s *segment, f *frame) {
	x.bodies.put(s, f)
	for _, r := range f.sidecars {
		x.learn(s, f, r)
		x.pushes[r.tag] = max(x.pushes[r.tag], r.maxPush)
	}
	x.stream = max(x.stream, f.maxStream)
	f.sidecars = x.shared(f.sidecars)
}

// shared keeps of refs what is still needed, once for all frames that are alike:
// there may be millions.
func (x *index) shared(refs []sidecarRef) []sidecarRef {
	if len(refs) == 0 {
		return nil
	}
	one, ok := x.alone[refs[0].tag]
	if !ok {
		one = []sidecarRef{{tag: refs[0].tag}}
		x.alone[refs[0].tag] = one
	}
	if len(refs) == 1 {
		return one
	}
	out := make([]sidecarRef, len(refs))
	for i := range refs {
		out[i].tag = refs[i].tag
	}
	return out
}

func (x *index) learn(s *segment, f *frame, r sidecarRef) {
	if r.defined {
		x.ids[r.tag] = r.id
		delete(x.lost, r.tag)
	} else if _, ok := x.ids[r.tag]; !ok {
		x.lost[r.tag] = place{s, f}
	}
}

// resolve finds the ids of tags whose definition was lost, in the records.
func (x *index) resolve() error {
	for tag, at := range x.lost {
		recs, err := x.records(at.seg, at.frame)
		if err != nil && !errors.Is(err, errDamaged) && !errors.Is(err, fs.ErrClosed) {
			return err
		}
		for i := range recs {
			x.ids[tagOf(recs[i].Sidecar)] = recs[i].Sidecar
		}
		delete(x.lost, tag)
	}
	return nil
}

func (x *index) lastPushes() (map[xds.Sidecar]uint64, error) {
	if err := x.resolve(); err != nil {
		return nil, err
	}
	out := map[xds.Sidecar]uint64{}
	for tag, n := range x.pushes {
		if id, ok := x.ids[tag]; ok && n > 0 {
			out[id] = n
		}
	}
	return out, nil
}

// forget drops the segments that are not in names: someone deleted them.
func (x *index) forget(names []string) {
	gone := map[*segment]bool{}
	x.segs = slices.DeleteFunc(x.segs, func(s *segment) bool {
		if _, there := slices.BinarySearch(names, s.name); there {
			return false
		}
		gone[s] = true
		_ = s.file.Close() // only read
		return true
	})
	if len(gone) == 0 {
		return
	}
	x.bodies.drop(func(at bodyLoc) bool { return gone[at.seg] })
}

// last is the number of the newest record, 0 without one.
func (x *index) last() (n uint64) {
	for _, s := range x.segs {
		n = max(n, s.last)
	}
	return n
}

// problems lists all damage in the order of the history.
func (x *index) problems() []*DamageError {
	var out []*DamageError
	for _, s := range x.segs {
		out = append(out, s.problems...)
		if s.tail != nil {
			out = append(out, s.tail)
		}
	}
	return out
}

// data returns the decoded data of a frame. Its bytes are shared: do not change.
func (x *index) data(s *segment, f *frame) ([]byte, error) {
	if b, ok := x.cache.get(f); ok {
		return b, nil
	}
	b, err := readData(s.file, f, x.zstd)
	if err != nil {
		return nil, fmt.Errorf("reading %s at %d: %w", s.name, f.off, err)
	}
	x.cache.add(f, b)
	return b, nil
}

// body reads the body at a place that locate gave.
func (x *index) body(at bodyLoc) ([]byte, error) {
	b, err := x.data(at.seg, at.frame)
	if err != nil {
		return nil, err
	}
	return slices.Clone(b[at.start : at.start+at.size]), nil
}

func (x *index) records(s *segment, f *frame) ([]xds.Record, error) {
	b, err := x.data(s, f)
	if err != nil {
		return nil, err
	}
	out, err := decodeRecords(f, b)
	if err != nil {
		return nil, fmt.Errorf("reading %s at %d: %w", s.name, f.off, err)
	}
	return out, nil
}
