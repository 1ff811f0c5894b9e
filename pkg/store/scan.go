package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// window is how much of a segment is read at once.
const window = 1 << 20

// scanner finds the frames in the bytes of one segment.
type scanner struct {
	r    io.ReaderAt
	size int64
	seed uint32
	buf  []byte
	at   int64     // offset of buf
	list []*parsed // of the group before, to be used again
}

// bytes returns the n bytes at off (fewer at the end), valid until the next call.
func (s *scanner) bytes(off, n int64) ([]byte, error) {
	n = min(n, s.size-off)
	if off < s.at || off+n > s.at+int64(len(s.buf)) {
		if err := s.load(off, n); err != nil {
			return nil, err
		}
	}
	from := off - s.at
	return s.buf[from:min(from+n, int64(len(s.buf)))], nil
}

func (s *scanner) load(off, n int64) error {
	want := min(max(n, window), s.size-off)
	if int64(cap(s.buf)) < want {
		s.buf = make([]byte, want)
	}
	got, err := s.r.ReadAt(s.buf[:want], off)
	s.buf, s.at = s.buf[:got], off
	if err == io.EOF { // the file became shorter: the writer took back a write
		return nil
	}
	return err
}

// frame reads and checks the frame at off. bad says that no good frame stands
// there, err that reading failed.
func (s *scanner) frame(off int64, p *parsed) (bad, err error) {
	b, err := s.bytes(off, frameHeader)
	if err != nil {
		return nil, err
	}
	if len(b) < frameHeader {
		return errShort, nil
	}
	if binary.LittleEndian.Uint32(b) != frameMark {
		return errMark, nil
	}
	n := frameHeader + int64(binary.LittleEndian.Uint32(b[4:])) + int64(binary.LittleEndian.Uint32(b[8:]))
	if n > s.size-off {
		return errShort, nil
	}
	if b, err = s.bytes(off, n); err != nil {
		return nil, err
	}
	p.off = off
	return p.parse(b, s.seed), nil
}

// group reads the frames that were written together from off on. Where one is
// bad, group returns those before it, and end is the offset of the bad one. The
// frames are valid until the next call.
func (s *scanner) group(off int64) (frames []*parsed, end int64, bad, err error) {
	for end = off; ; {
		if len(frames) == len(s.list) {
			s.list = append(s.list, &parsed{})
		}
		p := s.list[len(frames)]
		if bad, err := s.frame(end, p); bad != nil || err != nil {
			return s.list[:len(frames)], end, bad, err
		}
		frames, end = s.list[:len(frames)+1], p.end()
		if p.flags&flagMore == 0 {
			return frames, end, nil, nil
		}
	}
}

// find looks for a good frame at or behind off.
func (s *scanner) find(off int64) (int64, bool, error) {
	var one parsed
	mark := binary.LittleEndian.AppendUint32(nil, frameMark)
	for off+frameHeader <= s.size {
		b, err := s.bytes(off, window)
		if err != nil || len(b) < frameHeader {
			return 0, false, err
		}
		i := bytes.Index(b, mark)
		if i < 0 {
			off += int64(len(b)) - int64(len(mark)) + 1
			continue
		}
		off += int64(i)
		bad, err := s.frame(off, &one)
		if err != nil {
			return 0, false, err
		}
		if bad == nil {
			return off, true, nil
		}
		off++
	}
	return 0, false, nil
}

// readHeader reads the header at the start of a segment.
func readHeader(r io.ReaderAt) (header, error) {
	b := make([]byte, maxHeader)
	n, err := r.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return header{}, fmt.Errorf("reading the header: %w", err)
	}
	return parseHeader(b[:n])
}
