package store

import (
	"errors"
	"fmt"
	"io"
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
	// SegmentAge is the age from which on a new segment is begun. Default: an
	// eighth of RetainAge; without that, none.
	SegmentAge time.Duration
	// RetainAge and RetainBytes bound the history: segments whose newest record is
	// older are deleted, and the oldest while all are larger. The one that is being
	// written stays whatever its size. Default 0: no bound.
	RetainAge   time.Duration
	RetainBytes int64
	// MinFree is how many bytes must be free on the disk for Append to write
	// (ErrLowSpace); where a twentieth of the disk is less, that. Default 0: Append
	// tries until the disk is full.
	MinFree int64
	// SyncEvery is the least time between two calls of fsync. Default 1 s.
	SyncEvery time.Duration
	// Bases gives one base per live sidecar, as of the last record that Append
	// took. It is called from within Append, on the same goroutine, when a segment
	// begins. Default: none.
	Bases func() []xds.Record
	// Settled reports that no change is under way, so that bases made now cut none
	// in two. A segment that has its size waits for that, until it is half as large
	// again. It is called like Bases. Default: always.
	Settled func() bool
	// Now gives the creation times of segments. Default time.Now.
	Now func() time.Time

	disk fileSystem
}

func (c *Config) defaults() error {
	if c.Dir == "" {
		return errors.New("opening a store: no directory given")
	}
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = 64 << 20
		if c.RetainBytes > 0 {
			c.SegmentBytes = max(1<<20, min(c.SegmentBytes, c.RetainBytes/8))
		}
	}
	if c.SegmentAge <= 0 {
		c.SegmentAge = c.RetainAge / 8
	}
	if c.Settled == nil {
		c.Settled = func() bool { return true }
	}
	if c.disk == nil {
		c.disk = osFiles{}
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
	disk      fileSystem
	lock      io.Closer
	key       []byte
	recovered []*DamageError
	sync      syncer

	mu     sync.Mutex // guards the rest
	index  *index
	zstd   *zstd.Encoder
	cur    *open    // the segment that is written, nil before the first Append
	id     [16]byte // of this writer, stands in its segments
	seq    uint64
	space  space
	closed bool
}

// open is the segment that is being written.
type open struct {
	seg         *segment
	file        file
	start       int64 // size of what a segment begins with
	startBodies int   // bodies in that, and in its first records
	named       map[uint64]bool
	past        *past
}

// writerCache is for what bodies are compared with and copied from.
const writerCache = 6 << 20

// OpenWriter opens or makes a store for writing. Errors: ErrLocked while another
// writer has it, *NewerVersionError, and what the file system says.
func OpenWriter(cfg Config) (*Writer, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	if err := cfg.disk.Mkdir(cfg.Dir); err != nil {
		return nil, fmt.Errorf("making the directory of a store: %w", err)
	}
	l, err := cfg.disk.Lock(filepath.Join(cfg.Dir, lockFile))
	if err != nil {
		return nil, err
	}
	w := &Writer{cfg: cfg, disk: cfg.disk, lock: l, space: space{min: cfg.MinFree, written: spaceStep}}
	w.newID()
	if err := w.open(); err != nil {
		_ = l.Close() // nothing was written
		return nil, err
	}
	w.sync.start(cfg.disk, cfg.Dir, cfg.SyncEvery)
	w.resync()
	return w, nil
}

func (w *Writer) open() (err error) {
	if w.key, err = loadKey(w.disk, w.cfg.Dir); err != nil {
		return err
	}
	w.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return fmt.Errorf("setting up zstd: %w", err)
	}
	if w.index, err = newIndex(w.disk, w.cfg.Dir, writerCache); err != nil {
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

// recover cuts what the previous writer did not finish. Where a power cut took all
// of the newest segment, the one before it may be unfinished too.
func (w *Writer) recover() error {
	for x := w.index; len(x.segs()) > 0; {
		s := x.segs()[len(x.segs())-1]
		s.final = true
		if s.tail == nil || !s.headed && s.tail.Length >= headerSize {
			return nil
		}
		s.tail.Torn = true
		w.recovered = append(w.recovered, s.tail)
		if s.good > headerSize {
			s.tail = nil
			err := w.disk.Truncate(filepath.Join(x.dir, s.name), s.good)
			if err == nil { // else the end could be back after a power cut, in the middle of the history
				err = s.file.Sync()
			}
			return cutFailure(s, err)
		}
		x.known.segs = x.known.segs[:len(x.segs())-1]
		err := errors.Join(w.disk.Remove(filepath.Join(x.dir, s.name)), s.file.Close(), w.disk.SyncDir(x.dir))
		if err != nil {
			return cutFailure(s, err)
		}
	}
	return nil
}

func cutFailure(s *segment, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cutting the torn end of %s: %w", s.name, err)
}

// resync brings to the disk what a writer that was killed may have left in memory.
func (w *Writer) resync() {
	segs := w.index.segs()
	for _, s := range segs[max(0, len(segs)-2):] {
		w.sync.dirty(s.file)
	}
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

// Has reports whether one of the last two segments holds a body. Such a body need
// not be given to Append again. It never waits for the disk.
func (w *Writer) Has(d xds.Digest) bool {
	return w.index.known.has(d)
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
