package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// errDamaged marks data that is there and wrong, unlike a failed read.
var errDamaged = errors.New("damaged")

// readData reads, checks and decompresses the data of a frame.
func readData(r io.ReaderAt, f *frame, z *zstd.Decoder) ([]byte, error) {
	b := make([]byte, f.dataLen)
	if n, err := r.ReadAt(b, f.dataOff()); n < len(b) {
		if err == io.EOF {
			return nil, fmt.Errorf("%w: %w", errDamaged, errShort)
		}
		return nil, err
	}
	if crc32.Update(f.headSum, castagnoli, b) != f.sum {
		return nil, fmt.Errorf("%w: %w", errDamaged, errSum)
	}
	if f.flags&flagZstd != 0 {
		var err error
		if b, err = z.DecodeAll(b, make([]byte, 0, min(f.raw, 1<<20+64*uint64(len(b))))); err != nil {
			return nil, fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	if uint64(len(b)) != f.raw {
		return nil, fmt.Errorf("%w: %w", errDamaged, errHead)
	}
	return b, nil
}

// decodeRecords reads the records behind the bodies in the data of a frame.
func decodeRecords(f *frame, data []byte) ([]xds.Record, error) {
	rest, seq := data[f.bodyBytes():], f.prev
	out := make([]xds.Record, 0, min(f.count, 1024))
	for len(rest) > 0 {
		n, k := binary.Uvarint(rest)
		if k <= 0 || n > uint64(len(rest)-k) {
			return nil, fmt.Errorf("%w: %w", errDamaged, errHead)
		}
		r, err := getRecord(rest[k : k+int(n)])
		if err != nil {
			return nil, fmt.Errorf("%w: reading a record: %w", errDamaged, err)
		}
		if r.Kind != xds.KindBase {
			seq++
		}
		r.Seq, rest = seq, rest[k+int(n):]
		out = append(out, r)
	}
	if uint64(len(out)) != f.count || seq != f.last() {
		return nil, fmt.Errorf("%w: %w", errDamaged, errHead)
	}
	return out, nil
}

func newDecoder() (*zstd.Decoder, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRaw), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("setting up zstd: %w", err)
	}
	return z, nil
}
