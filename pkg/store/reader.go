package store

import (
	"iter"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// ReaderConfig says how to read a store. The zero value is fine.
type ReaderConfig struct {
	// CacheBytes bounds the decoded data that is kept. Default 32 MiB.
	CacheBytes int64
	// Poll is how often Follow looks for news. Default 100 ms.
	Poll time.Duration

	disk fileSystem
}

// Reader reads a store, also one that another process is writing. It shows what
// was there when it was opened, refreshed or last polled by Follow. All methods
// may be called concurrently.
type Reader struct {
	dir  string
	poll time.Duration
	mu   sync.RWMutex // guards index
	x    *index
}

// OpenReader opens the store in dir and checks all of it. Damage is no error: see
// Problems. A store of a newer format is (*NewerVersionError).
func OpenReader(dir string) (*Reader, error) { return OpenReaderWith(dir, ReaderConfig{}) }

// OpenReaderWith is OpenReader with settings.
func OpenReaderWith(dir string, cfg ReaderConfig) (*Reader, error) {
	if cfg.CacheBytes <= 0 {
		cfg.CacheBytes = 32 << 20
	}
	if cfg.Poll <= 0 {
		cfg.Poll = 100 * time.Millisecond
	}
	if cfg.disk == nil {
		cfg.disk = osFiles{}
	}
	x, err := newIndex(cfg.disk, dir, cfg.CacheBytes)
	if err != nil {
		return nil, err
	}
	r := &Reader{dir: dir, poll: cfg.Poll, x: x}
	if err := r.Refresh(); err != nil {
		x.close()
		return nil, err
	}
	return r, nil
}

// Close gives the files free.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.x.close()
	return nil
}

// Refresh takes in what was written, and deleted, since.
func (r *Reader) Refresh() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.x.refresh(func() bool { return r.x.disk.Locked(filepath.Join(r.dir, lockFile)) })
}

// Problems names everything that is damaged or torn, in the order of the history.
// Where records are missing, Records has a gap at their place.
func (r *Reader) Problems() []*DamageError {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.x.problems()
}

// Last is the number of the newest record, 0 without one.
func (r *Reader) Last() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.x.last()
}

// LastPushes gives the highest push number of each sidecar.
func (r *Reader) LastPushes() (map[xds.Sidecar]uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.x.lastPushes()
}

// Sidecars lists the sidecars in order of appearance; the zero Sidecar stands last
// if there are streams that belong to nobody.
func (r *Reader) Sidecars() ([]xds.Sidecar, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []xds.Sidecar
	there := map[uint64]bool{tagOf(xds.Sidecar{}): false}
	for _, s := range r.x.segs() {
		for _, tag := range s.crowd.tags {
			if there[tag] {
				continue
			}
			id, ok, err := r.x.id(tag)
			if err != nil {
				return nil, err
			}
			if there[tag] = true; ok && !id.IsZero() {
				out = append(out, id)
			}
		}
	}
	if there[tagOf(xds.Sidecar{})] {
		out = append(out, xds.Sidecar{})
	}
	return out, nil
}

// Base returns the newest base of a sidecar that is valid at or before record at.
func (r *Reader) Base(id xds.Sidecar, at uint64) (xds.Record, bool, error) {
	r.mu.RLock()
	places := r.x.bases(tagOf(id), at)
	r.mu.RUnlock()
	for _, p := range slices.Backward(places) {
		recs, err := r.records(p)
		if err != nil {
			return xds.Record{}, false, err
		}
		for _, rec := range slices.Backward(recs) {
			if rec.Kind == xds.KindBase && rec.Sidecar == id && rec.Seq <= at {
				return rec, true, nil
			}
		}
	}
	return xds.Record{}, false, nil
}

// bases lists the frames with bases for tag that are valid at or before at.
func (x *index) bases(tag, at uint64) (out []place) {
	for _, s := range x.segs() {
		for _, b := range s.bases {
			if i, ok := s.frameAt(b.off); ok && b.tag == tag && b.seq <= at {
				out = append(out, place{s, s.frames[i]})
			}
		}
	}
	return out
}

// Body returns a body. One that the store does not have is no error. Where the
// newest copy is damaged an older one stands in.
func (r *Reader) Body(d xds.Digest) ([]byte, bool, error) {
	for {
		b, s, n, err := r.body(d)
		if s == nil || err == nil {
			return b, s != nil, nil
		}
		if !lost(err) {
			return nil, false, err
		}
		r.mu.Lock()
		r.x.hide(s, n, err)
		r.mu.Unlock()
	}
}

func (r *Reader) body(d xds.Digest) ([]byte, *segment, uint32, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s, n, ok := r.x.find(d)
	if !ok {
		return nil, nil, 0, nil
	}
	b, err := r.x.body(s, n)
	return b, s, n, err
}

// records reads a frame; of one that is lost there are none.
func (r *Reader) records(p place) ([]xds.Record, error) {
	r.mu.RLock()
	recs, err := r.x.records(p.seg, p.frame)
	r.mu.RUnlock()
	if err == nil || !lost(err) {
		return recs, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.x.drop(err)
	return nil, nil
}

// Records gives the records of one sidecar from number from on, without bases;
// the zero Sidecar stands for the streams that belong to nobody. A gap that
// concerns everyone is in every sequence. Where records are lost, because of
// damage or because segments were deleted while reading, there is such a gap, with
// the number of the last lost one.
func (r *Reader) Records(id xds.Sidecar, from uint64) iter.Seq2[xds.Record, error] {
	return func(yield func(xds.Record, error) bool) {
		c := r.cursor(id, from, false)
		c.drain(yield)
	}
}
