package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// errDamaged marks data that is there and wrong, unlike a failed read.
var errDamaged = errors.New("damaged")

// unreadable is a frame whose data is wrong, or whose file is closed.
type unreadable struct {
	seg *segment
	off int64
	err error
}

func (e *unreadable) Error() string {
	return fmt.Sprintf("reading %s at %d: %v", e.seg.name, e.off, e.err)
}
func (e *unreadable) Unwrap() error { return e.err }

// content is a frame, decompressed. Its bytes are shared: do not change.
type content struct {
	parsed
	rows []row  // the bodies, in order
	raw  []byte // all of it
	recs []byte // the records
}

// row says what a body is made of: the first and last bytes of an older one and
// what stands between them.
type row struct {
	back           uint32 // so many bodies before; 0: none
	prefix, suffix uint32 // bytes taken from it
	start, size    uint32 // of what stands between, in the data
}

// readContent reads, checks and decompresses a frame.
func readContent(r io.ReaderAt, f frame, seed uint32, z *zstd.Decoder) (*content, error) {
	b := make([]byte, f.size)
	if n, err := r.ReadAt(b, f.off); n < len(b) {
		if err == io.EOF {
			return nil, fmt.Errorf("%w: %w", errDamaged, errShort)
		}
		return nil, err
	}
	c := &content{}
	c.off = f.off
	if err := c.parse(b, seed); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if uint32(c.numbered) != f.numbered || c.prev != f.prev || len(c.bodies) != int(f.bodies) {
		return nil, fmt.Errorf("%w: %w", errDamaged, errHead)
	}
	if err := c.unpack(b[c.data():], z); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return c, nil
}

func (c *content) unpack(b []byte, z *zstd.Decoder) (err error) {
	if c.flags&flagZstd != 0 {
		if b, err = z.DecodeAll(b, make([]byte, 0, min(c.head.raw, 1<<20+64*uint64(len(b))))); err != nil {
			return err
		}
	}
	if uint64(len(b)) != c.head.raw {
		return errHead
	}
	c.raw = b
	c.rows, c.recs, err = readRows(b, len(c.bodies))
	return err
}

// putRows writes the table of n bodies, column by column: equal numbers beside
// each other compress.
func putRows(b []byte, rows []row) []byte {
	for i := range rows {
		b = binary.AppendUvarint(b, uint64(rows[i].back))
	}
	for i := range rows {
		if rows[i].back > 0 {
			b = binary.AppendUvarint(b, uint64(rows[i].prefix))
			b = binary.AppendUvarint(b, uint64(rows[i].suffix))
		}
	}
	for i := range rows {
		b = binary.AppendUvarint(b, uint64(rows[i].size))
	}
	return b
}

// readRows reads the table at the start of data and returns what stands behind
// the bodies.
func readRows(data []byte, n int) ([]row, []byte, error) {
	if n == 0 {
		return nil, data, nil
	}
	if n > len(data) {
		return nil, nil, errHead
	}
	c, rows := column{rest: data}, make([]row, n)
	for i := range rows {
		rows[i].back = c.small()
	}
	for i := range rows {
		if rows[i].back > 0 {
			rows[i].prefix, rows[i].suffix = c.small(), c.small()
		}
	}
	for i := range rows {
		rows[i].size = c.small()
	}
	at := uint64(len(data) - len(c.rest))
	for i := range rows {
		rows[i].start = uint32(at)
		at += uint64(rows[i].size)
	}
	if c.bad || at > uint64(len(data)) {
		return nil, nil, errHead
	}
	return rows, data[at:], nil
}

// column reads varints one behind the other.
type column struct {
	rest []byte
	bad  bool // too few, or too large
}

func (c *column) uint() uint64 {
	v, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.bad, c.rest = true, nil
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

// small is a number that fits into 31 bits.
func (c *column) small() uint32 {
	v := c.uint()
	if v > 1<<31-1 {
		c.bad = true
		return 0
	}
	return uint32(v)
}

// int is a number that may be negative.
func (c *column) int() int64 {
	v := c.uint()
	return int64(v>>1) ^ -int64(v&1)
}

func (c *column) bytes(n uint64) []byte {
	if n > uint64(len(c.rest)) {
		c.bad, c.rest = true, nil
		return nil
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

func putInt(b []byte, v int64) []byte {
	return binary.AppendUvarint(b, uint64(v)<<1^uint64(v>>63))
}

// eachRecord gives the bytes of each record to f until it says stop.
func (c *content) eachRecord(f func(b []byte) (more bool, err error)) error {
	for rest := c.recs; len(rest) > 0; {
		n, k := binary.Uvarint(rest)
		if k <= 0 || n > uint64(len(rest)-k) {
			return fmt.Errorf("%w: %w", errDamaged, errHead)
		}
		more, err := f(rest[k : k+int(n)])
		if err != nil || !more {
			return err
		}
		rest = rest[k+int(n):]
	}
	return nil
}

// records decodes the records. What from needs for one and is lost makes a gap
// of it.
func (c *content) records(from *origin) ([]xds.Record, error) {
	seq := c.prev
	out := make([]xds.Record, 0, min(c.count, 1024))
	err := c.eachRecord(func(b []byte) (bool, error) {
		kind := kindOf(b)
		if kind != xds.KindBase {
			seq++
		}
		r, err := getRecord(b, from.at(seq))
		var lost *lostError
		if errors.As(err, &lost) {
			r, err = lost.gap(r), nil
		}
		if err != nil {
			return false, fmt.Errorf("%w: reading a record: %w", errDamaged, err)
		}
		r.Seq = seq
		out = append(out, r)
		return true, nil
	})
	if err == nil && (uint64(len(out)) != c.count || seq != c.prev+c.numbered) {
		err = fmt.Errorf("%w: %w", errDamaged, errHead)
	}
	return out, err
}

func newDecoder() (*zstd.Decoder, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRaw), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("setting up zstd: %w", err)
	}
	return z, nil
}
