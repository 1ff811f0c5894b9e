package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Config says how to write a store.
type Config struct {
	// Dir is made (0700) where it is missing.
	Dir string
	// SegmentBytes is the size from which on a new segment is begun. Default 64 MiB.
	SegmentBytes int64
	// SyncEvery is the least time between two calls of fsync. Default 1 s.
	SyncEvery time.Duration
	// Bases gives one base per live sidecar, as of the last record that Append
	// took. It is called from within Append, on the same goroutine, when a segment
	// begins. Default: none.
	Bases func() []xds.Record
	// Now gives the creation times of segments. Default time.Now.
	Now func() time.Time
}

func (c *Config) defaults() error {
	if c.Dir == "" {
		return errors.New("opening a store: no directory given")
	}
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = 64 << 20
	}
	if c.SyncEvery <= 0 {
		c.SyncEvery = time.Second
	}
	if c.Bases == nil {
		c.Bases = func() []xds.Record { return nil }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

// Writer appends to a store. All methods may be called concurrently.
type Writer struct {
	cfg       Config
	lock      *os.File
	key       []byte
	recovered []*DamageError
	sync      syncer

	mu     sync.Mutex // guards the rest
	index  *index
	zstd   *zstd.Encoder
	cur    *open    // the segment that is written, nil before the first Append
	id     [16]byte // of this writer, stands in its segments
	seq    uint64
	closed bool
}

// open is the segment that is being written.
type open struct {
	seg   *segment
	file  *os.File
	start int64 // size of what a segment begins with
	had   map[xds.Digest]bool
	named map[uint64]bool
}

// OpenWriter opens or makes a store for writing. Errors: ErrLocked while another
// writer has it, *NewerVersionError, and what the file system says.
func OpenWriter(cfg Config) (*Writer, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, dirMode); err != nil {
		return nil, fmt.Errorf("making the directory of a store: %w", err)
	}
	l, err := lock(cfg.Dir)
	if err != nil {
		return nil, err
	}
	w := &Writer{cfg: cfg, lock: l}
	w.newID()
	if err := w.open(); err != nil {
		_ = l.Close() // nothing was written
		return nil, err
	}
	w.sync.start(cfg.Dir, cfg.SyncEvery)
	return w, nil
}

func (w *Writer) open() (err error) {
	if w.key, err = loadKey(w.cfg.Dir); err != nil {
		return err
	}
	w.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(chunkRaw), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return fmt.Errorf("setting up zstd: %w", err)
	}
	if w.index, err = newIndex(w.cfg.Dir, 8*chunkRaw); err != nil {
		return err
	}
	w.index.lean = true
	if err = w.index.refresh(func() bool { return false }); err == nil {
		err = w.recover()
	}
	if err != nil {
		w.index.close()
		return err
	}
	w.seq = w.index.last()
	return nil
}

// recover cuts what the previous writer did not finish.
func (w *Writer) recover() error {
	x := w.index
	if len(x.segs) == 0 {
		return nil
	}
	s := x.segs[len(x.segs)-1]
	s.final = true
	if s.tail == nil || !s.tail.Torn {
		return nil
	}
	w.recovered = append(w.recovered, s.tail)
	path := filepath.Join(x.dir, s.name)
	var err error
	if s.good <= headerSize {
		err = os.Remove(path)
		x.segs = x.segs[:len(x.segs)-1]
		err = errors.Join(err, s.file.Close())
	} else {
		err = os.Truncate(path, s.good)
	}
	if err != nil {
		return fmt.Errorf("cutting the torn end of %s: %w", s.name, err)
	}
	s.tail = nil
	return nil
}

// Recovered names what a previous writer had not finished and OpenWriter has cut.
func (w *Writer) Recovered() []*DamageError { return w.recovered }

// Key is the store's random secret of 32 bytes, for redaction. It never leaves
// the machine.
func (w *Writer) Key() []byte { return w.key }

// Last gives the numbers of the newest record and of the highest stream, 0 where
// there is none: numbering goes on behind them.
func (w *Writer) Last() (seq, stream uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seq, w.index.stream
}

// LastPushes gives the highest push number of each sidecar.
func (w *Writer) LastPushes() (map[xds.Sidecar]uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.index.lastPushes()
}

// Has reports whether the store holds a body. Such a body need not be given to
// Append again. It never waits for the disk.
func (w *Writer) Has(d xds.Digest) bool {
	_, ok := w.index.bodies.find(d)
	return ok
}

// Sync returns when everything appended so far is on the disk.
func (w *Writer) Sync() error { return w.sync.now() }

// Close syncs and gives the store free. Append fails from then on.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	err := w.sync.stop()
	w.index.close()
	return errors.Join(err, w.zstd.Close(), w.lock.Close())
}
