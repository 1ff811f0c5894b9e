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
	maxRaw = 256 << 20
	// chunkRaw is where a writer goes on in another frame, so that reading one
	// body does not mean decoding a push of 25 MB.
	chunkRaw = 1 << 20
	// splitRaw is the size of bodies from which the records go into a frame of
	// their own.
	splitRaw = 4 << 10
	// minZstd is the size from which compression is tried.
	minZstd = 96
)

// frame is one frame of a segment as the index knows it: the head, and where the
// data is.
type frame struct {
	head
	off     int64 // of the frame
	headLen uint32
	dataLen uint32
	flags   byte
	sum     uint32 // checksum of the data
	headSum uint32
}

func (f *frame) dataOff() int64 { return f.off + frameHeader + int64(f.headLen) }
func (f *frame) end() int64     { return f.dataOff() + int64(f.dataLen) }

// last is the number of the frame's last record, or of the last one before it.
func (f *frame) last() uint64 { return f.prev + f.numbered }

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

// parseFrame reads the frame that starts at b[0] and checks all of it.
func parseFrame(b []byte, seed uint32) (*frame, error) {
	le := binary.LittleEndian
	if len(b) < frameHeader {
		return nil, errShort
	}
	if le.Uint32(b) != frameMark {
		return nil, errMark
	}
	f := &frame{headLen: le.Uint32(b[4:]), dataLen: le.Uint32(b[8:]), flags: b[13], headSum: le.Uint32(b[16:]), sum: le.Uint32(b[20:])}
	if f.end() > int64(len(b)) {
		return nil, errShort
	}
	if headSum(b, int(f.headLen), seed) != f.headSum {
		return nil, errSum
	}
	if crc32.Update(f.headSum, castagnoli, b[f.dataOff():f.end()]) != f.sum {
		return nil, errSum
	}
	if b[12] != frameAppend || f.flags&^allFlags != 0 {
		return nil, errNewer
	}
	err := f.decode(b[frameHeader : frameHeader+f.headLen])
	return f, err
}
