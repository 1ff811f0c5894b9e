package store

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"time"
)

// Version is the store format that this program writes, and the only one it reads.
const Version = 2

const (
	magic      = "xdsstore"
	headerSize = 64
	maxHeader  = 4096 // a newer format may have a longer header, up to here
	suffix     = ".seg"
)

// castagnoli is CRC-32C, which processors compute by themselves. Never written.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func crc(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// header is the first 64 bytes of a segment. Its checksum seeds those of all
// frames, so that bytes of another segment never pass for frames of this one.
type header struct {
	Writer  [16]byte
	First   uint64 // the number of the first record that gets one
	Created time.Time
	sum     uint32
}

// encode also sets h.sum.
func (h *header) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], Version)
	binary.LittleEndian.PutUint32(b[12:], headerSize)
	copy(b[16:], h.Writer[:])
	binary.LittleEndian.PutUint64(b[32:], h.First)
	binary.LittleEndian.PutUint64(b[40:], uint64(h.Created.UnixNano()))
	h.sum = crc(b[:headerSize-4])
	binary.LittleEndian.PutUint32(b[headerSize-4:], h.sum)
	return b
}

// parseHeader reads the start of a segment. Its error is a *NewerVersionError, an
// *OldVersionError, or says what is wrong with the bytes.
func parseHeader(b []byte) (h header, err error) {
	if len(b) < headerSize {
		return h, fmt.Errorf("the header is %d bytes long, not %d", len(b), headerSize)
	}
	if !bytes.HasPrefix(b, []byte(magic)) {
		return h, fmt.Errorf("not a segment of a store")
	}
	version, size := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
	if size < headerSize || int(size) > len(b) || crc(b[:size-4]) != binary.LittleEndian.Uint32(b[size-4:]) {
		return h, fmt.Errorf("the header's checksum is wrong")
	}
	if version > Version {
		return h, &NewerVersionError{Found: version, Supported: Version}
	}
	if version < Version {
		return h, &OldVersionError{Found: version, Supported: Version}
	}
	if size != headerSize {
		return h, fmt.Errorf("the header says format %d and %d bytes", version, size)
	}
	copy(h.Writer[:], b[16:])
	h.First = binary.LittleEndian.Uint64(b[32:])
	h.Created = time.Unix(0, int64(binary.LittleEndian.Uint64(b[40:]))).UTC()
	h.sum = binary.LittleEndian.Uint32(b[headerSize-4:])
	return h, nil
}

// name is the segment's file name. Names sort like the history; nth tells apart
// the rare segments that begin with the same number, because one of them holds
// nothing that is numbered.
func (h *header) name(nth int) string {
	return fmt.Sprintf("%016x-%04x-%s%s", h.First, nth, hex.EncodeToString(h.Writer[:8]), suffix)
}
