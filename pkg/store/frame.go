package store

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
)

const (
	frameMark   = 0xb7a3d5f1 // marks a frame, so that one can be found behind damage
	frameHeader = 24
	frameAppend = 1 // the one type of frame so far

	flagZstd = 1 << 0 // the data is one zstd frame
	flagMore = 1 << 1 // the group goes on: nothing counts before its last frame
	allFlags = flagZstd | flagMore

	// maxRaw bounds the data of one frame before compression, and with it the
	// memory that a reader needs for it.
	maxRaw   = 256 << 20
	maxFrame = 1 << 30
	// chunkRaw is where a writer goes on in another frame, so that reading one
	// body does not mean decoding a push of 25 MB.
	chunkRaw = 256 << 10
	// splitRaw is the size of bodies from which the records go into a frame of
	// their own.
	splitRaw = 16 << 10
	// minZstd is the size from which compression is tried.
	minZstd = 96
)

// frame is one frame of a segment as the index knows it. There may be hundreds of
// thousands: what is seldom asked for is read again.
type frame struct {
	off       int64
	prev      uint64 // number of the last record before it
	size      uint32 // all of it
	count     uint32 // records
	numbered  uint32 // of these, the ones with a number
	firstBody uint32 // number of its first body in the segment
	bodies    uint32
	who       uint32 // segment.sets[who]: the sidecars that it concerns
	more      bool   // the group goes on
	everyone  bool
}

func (f *frame) end() int64 { return f.off + int64(f.size) }

// last is the number of the frame's last record, or of the last one before it.
func (f *frame) last() uint64 { return f.prev + uint64(f.numbered) }

// lastBody is the number behind that of the frame's last body.
func (f *frame) lastBody() uint32 { return f.firstBody + f.bodies }

// parsed is a frame that was read and checked.
type parsed struct {
	head
	off     int64
	size    uint32
	headLen uint32
	flags   byte
}

func (p *parsed) end() int64 { return p.off + int64(p.size) }

// data is where the data of the frame stands in its bytes.
func (p *parsed) data() int { return frameHeader + int(p.headLen) }

// putFrame appends a frame. data is compressed when that pays.
func putFrame(b []byte, seed uint32, h *head, data []byte, more bool, z *zstd.Encoder) []byte {
	h.raw = uint64(len(data))
	at := len(b)
	b = append(b, make([]byte, frameHeader)...)
	b = h.encode(b)
	headEnd := len(b)
	flags := byte(0)
	if more {
		flags |= flagMore
	}
	if len(data) >= minZstd {
		b = z.EncodeAll(data, b)
		flags |= flagZstd
	}
	if flags&flagZstd == 0 || len(b)-headEnd >= len(data) {
		b = append(b[:headEnd], data...)
		flags &^= flagZstd
	}
	sealFrame(b[at:], seed, headEnd-at-frameHeader, flags)
	return b
}

// sealFrame fills in the frame header of f, which holds header, head and data.
func sealFrame(f []byte, seed uint32, headLen int, flags byte) {
	le := binary.LittleEndian
	data := f[frameHeader+headLen:]
	le.PutUint32(f[0:], frameMark)
	le.PutUint32(f[4:], uint32(headLen))
	le.PutUint32(f[8:], uint32(len(data)))
	f[12], f[13], f[14], f[15] = frameAppend, flags, 0, 0
	sum := headSum(f, headLen, seed)
	le.PutUint32(f[16:], sum)
	le.PutUint32(f[20:], crc32.Update(sum, castagnoli, data))
}

// headSum covers everything but the data: lengths can be trusted before the data
// has been read.
func headSum(f []byte, headLen int, seed uint32) uint32 {
	sum := crc32.Update(seed, castagnoli, f[:16])
	return crc32.Update(sum, castagnoli, f[frameHeader:frameHeader+headLen])
}

var (
	errShort = errors.New("the file ends inside a frame")
	errMark  = errors.New("no frame starts here")
	errSum   = errors.New("a checksum is wrong")
	errHead  = errors.New("the head of a frame contradicts itself")
	errNewer = errors.New("a type or flag of frame that this program does not know")
)

// parse reads the frame that starts at b[0] and checks all of it.
func (p *parsed) parse(b []byte, seed uint32) error {
	le := binary.LittleEndian
	if len(b) < frameHeader {
		return errShort
	}
	if le.Uint32(b) != frameMark {
		return errMark
	}
	headLen, dataLen := uint64(le.Uint32(b[4:])), uint64(le.Uint32(b[8:]))
	size := frameHeader + headLen + dataLen
	if size > uint64(len(b)) || size > maxFrame {
		return errShort
	}
	sum := headSum(b, int(headLen), seed)
	if sum != le.Uint32(b[16:]) || crc32.Update(sum, castagnoli, b[frameHeader+headLen:size]) != le.Uint32(b[20:]) {
		return errSum
	}
	if b[12] != frameAppend || b[13]&^allFlags != 0 {
		return errNewer
	}
	p.size, p.headLen, p.flags = uint32(size), uint32(headLen), b[13]
	p.reset()
	return p.decode(b[frameHeader : frameHeader+headLen])
}
