package store

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sort"

	"github.com/klauspost/compress/zstd"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// place is a frame and where it stands.
type place struct {
	seg   *segment
	frame frame
}

// index knows what stands where in a directory: some 48 bytes for each frame and
// 28 for each body of the segments that are there, and a little for each sidecar
// of each segment. It goes when its segment is deleted. A lean index keeps of all
// but the last two segments only who is in them. It does no locking of its own,
// but what only reads may run beside each other.
type index struct {
	dir      string
	disk     fileSystem
	lean     bool
	known    known // its segs are in the order of the history
	stream   uint64
	zstd     *zstd.Decoder
	contents *cache[frameAt, *content]
	lists    *cache[listAt, listed]
}

// segs are the segments in the order of the history.
func (x *index) segs() []*segment { return x.known.segs }

func newIndex(disk fileSystem, dir string, cacheBytes int64) (*index, error) {
	x := &index{disk: disk, dir: dir}
	var err, err2 error
	x.contents, err = newCache[frameAt](cacheBytes, (*content).bytes)
	x.lists, err2 = newCache[listAt](cacheBytes/2, listed.bytes)
	if err := errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("setting up a cache: %w", err)
	}
	x.zstd, err = newDecoder()
	return x, err
}

func (x *index) close() {
	for _, s := range x.segs() {
		_ = s.file.Close() // only read
	}
	x.zstd.Close()
}

// refresh takes in what changed in the directory. live tells whether a writer is
// at work; it is asked only where that matters.
func (x *index) refresh(live func() bool) error {
	names, err := x.listing()
	if err != nil {
		return err
	}
	x.forget(names)
	for i, name := range names {
		s, err := x.segment(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted since
		}
		last := i == len(names)-1 // a newer one may have been taken back
		if err == nil && (!s.final || last) {
			s.bare = x.lean && i < len(names)-2
			err = x.read(s, last, live)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// listing lists the segments. A directory that changes while it is read may show a
// new file and not the one made before it. So where there is news it is read again:
// then all is there that is older than what the first look showed.
func (x *index) listing() ([]string, error) {
	names, err := segmentNames(x.disk, x.dir)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	newest := names[len(names)-1]
	if n := len(x.segs()); n > 0 && x.segs()[n-1].name == newest {
		return names, nil
	}
	names, err = segmentNames(x.disk, x.dir)
	return slices.DeleteFunc(names, func(n string) bool { return n > newest }), err
}

// segmentNames lists the segments of dir in the order of the history.
func segmentNames(disk fileSystem, dir string) ([]string, error) {
	all, err := disk.Names(dir) // sorted
	if err != nil {
		return nil, fmt.Errorf("listing a store: %w", err)
	}
	return slices.DeleteFunc(all, func(n string) bool { _, _, ok := segmentName(n); return !ok }), nil
}

// segment returns the segment of that name, a new one at its place in the order.
func (x *index) segment(name string) (*segment, error) {
	i := sort.Search(len(x.segs()), func(i int) bool { return x.segs()[i].name >= name })
	if i < len(x.segs()) && x.segs()[i].name == name {
		return x.segs()[i], nil
	}
	s, err := openSegment(x.disk, x.dir, name)
	if err == nil {
		x.known.change(func() { x.known.segs = slices.Insert(x.known.segs, i, s) })
	}
	return s, err
}

// read takes in what is new in s. A bad end of the last segment is a write under
// way while there is a writer. That the writer is gone is known only after its
// bytes were read, so they are read again then.
func (x *index) read(s *segment, last bool, live func() bool) error {
	if last {
		if err := s.read(true, x.add); err != nil || s.complete() || live() {
			return err
		}
	}
	err := s.read(false, x.add)
	s.final = !last && err == nil
	if s.tail != nil { // a bad header with something behind it is no unfinished write
		s.tail.Torn = last && (s.headed || s.tail.Length < headerSize)
	}
	return err
}

// complete reports whether the file has been understood to its end.
func (s *segment) complete() bool {
	size, err := s.file.Size()
	return err == nil && s.headed && s.good == size
}

func (x *index) add(p *parsed) { x.stream = max(x.stream, p.maxStream) }

// id finds who a tag stands for: in a definition, or where that is lost, in the
// records.
func (x *index) id(tag uint64) (xds.Sidecar, bool, error) {
	for _, s := range slices.Backward(x.segs()) {
		if id, ok := s.crowd.ids[tag]; ok {
			return id, true, nil
		}
	}
	for _, s := range x.segs() {
		if _, there := s.crowd.pushes[tag]; !there {
			continue
		}
		if err := x.resolve(s, tag); err != nil {
			return xds.Sidecar{}, false, err
		}
		if id, ok := s.crowd.ids[tag]; ok {
			return id, true, nil
		}
	}
	return xds.Sidecar{}, false, nil
}

func (x *index) resolve(s *segment, tag uint64) error {
	i := slices.IndexFunc(s.frames, func(f frame) bool { return slices.Contains(s.crowd.sets[f.who], tag) })
	if i < 0 {
		return nil
	}
	recs, err := x.records(s, s.frames[i])
	if err != nil && !lost(err) {
		return err
	}
	for i := range recs {
		s.crowd.ids[tagOf(recs[i].Sidecar)] = recs[i].Sidecar
	}
	return nil
}

// lost: the bytes are damaged, or their file was deleted and closed.
func lost(err error) bool { return errors.Is(err, errDamaged) || errors.Is(err, fs.ErrClosed) }

func (x *index) lastPushes() (map[xds.Sidecar]uint64, error) {
	out := map[xds.Sidecar]uint64{}
	for _, s := range x.segs() {
		for tag, n := range s.crowd.pushes {
			if n == 0 {
				continue
			}
			id, ok, err := x.id(tag)
			if err != nil {
				return nil, err
			}
			if ok {
				out[id] = max(out[id], n)
			}
		}
	}
	return out, nil
}

// forget drops the segments that are not in names, because someone deleted them,
// and returns them.
func (x *index) forget(names []string) (all []*segment) {
	gone := map[*segment]bool{}
	for _, s := range x.segs() {
		if _, there := slices.BinarySearch(names, s.name); !there {
			gone[s], all = true, append(all, s)
			_ = s.file.Close() // only read
		}
	}
	if len(gone) == 0 {
		return nil
	}
	x.known.change(func() {
		x.known.segs = slices.DeleteFunc(slices.Clone(x.known.segs), func(s *segment) bool { return gone[s] })
	})
	x.contents.drop(func(k frameAt) bool { return gone[k.seg] })
	x.lists.drop(func(k listAt) bool { return gone[k.seg] })
	return all
}

// last is the number of the newest record, 0 without one.
func (x *index) last() (n uint64) {
	for _, s := range x.segs() {
		n = max(n, s.last)
	}
	return n
}

// problems lists all damage in the order of the history.
func (x *index) problems() []*DamageError {
	var out []*DamageError
	for _, s := range x.segs() {
		out = append(out, s.problems...)
		if s.tail != nil {
			out = append(out, s.tail)
		}
	}
	return out
}

// content returns a decoded frame. Its bytes are shared: do not change.
func (x *index) content(s *segment, f frame) (*content, error) {
	if c, ok := x.contents.get(frameAt{s, f.off}); ok {
		return c, nil
	}
	c, err := readContent(s.file, f, s.header.sum, x.zstd)
	if err != nil {
		return nil, &unreadable{s, f.off, err}
	}
	x.contents.add(frameAt{s, f.off}, c)
	return c, nil
}

func (x *index) records(s *segment, f frame) ([]xds.Record, error) {
	c, err := x.content(s, f)
	if err != nil {
		return nil, err
	}
	out, err := c.records(&origin{x: x, seg: s})
	if err != nil {
		return nil, &unreadable{s, f.off, err}
	}
	return out, nil
}

// find says where the newest copy of a body is.
func (x *index) find(d xds.Digest) (*segment, uint32, bool) {
	for _, s := range slices.Backward(x.segs()) {
		if n, ok := s.bodies.find(d); ok {
			return s, n, true
		}
	}
	return nil, 0, false
}

// hide takes out of the index what an error showed to be lost: a frame, and body
// n of s that needs it.
func (x *index) hide(s *segment, n uint32, err error) {
	x.known.change(func() { s.bodies.hide(n) })
	x.drop(err)
}

func (x *index) drop(err error) {
	var u *unreadable
	if errors.As(err, &u) && errors.Is(err, errDamaged) {
		x.known.change(func() { u.seg.drop(u.off, u.err) })
	}
}
