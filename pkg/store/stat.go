package store

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Stats says what a store holds.
type Stats struct {
	Segments int `json:"segments"`
	// Writers counts the starts of a writer whose segments are there.
	Writers int `json:"writers"`
	// Writing: a writer has the store right now.
	Writing   bool              `json:"writing"`
	Sidecars  int               `json:"sidecars"`
	Records   map[string]uint64 `json:"records"` // by kind
	FirstSeq  uint64            `json:"firstSeq"`
	LastSeq   uint64            `json:"lastSeq"`
	Bodies    int               `json:"bodies"` // different ones
	RawBytes  int64             `json:"rawBytes"`
	DiskBytes int64             `json:"diskBytes"`
	PushBytes int64             `json:"pushBytes"` // what the pushes had on the wire
	First     time.Time         `json:"first,omitzero"`
	Last      time.Time         `json:"last,omitzero"`
	Damaged   int               `json:"damaged"` // places; Verify names them

	writer [16]byte // of the segment before
}

// Stat reads all of a store and counts.
func Stat(dir string) (Stats, error) {
	r, err := OpenReaderWith(dir, ReaderConfig{CacheBytes: 4 * chunkRaw})
	if err != nil {
		return Stats{}, err
	}
	defer r.Close() //nolint:errcheck // only read
	st := Stats{Records: map[string]uint64{}, Writing: Writing(dir), Bodies: r.x.different()}
	ids, err := r.Sidecars()
	if err != nil {
		return st, err
	}
	for _, id := range ids {
		if !id.IsZero() {
			st.Sidecars++
		}
	}
	for _, s := range r.x.segs() {
		if err := st.segment(r, s); err != nil {
			return st, err
		}
	}
	st.Damaged = len(r.Problems())
	return st, nil
}

func (st *Stats) segment(r *Reader, s *segment) error {
	st.Segments++
	if info, err := os.Stat(filepath.Join(r.dir, s.name)); err == nil {
		st.DiskBytes += info.Size()
	}
	if s.headed && (st.Writers == 0 || s.header.Writer != st.writer) {
		st.Writers, st.writer = st.Writers+1, s.header.Writer
	}
	for _, f := range slices.Clone(s.frames) {
		recs, err := r.records(place{s, f})
		if err != nil {
			return err
		}
		if c, err := r.x.content(s, f); err == nil {
			st.RawBytes += int64(c.head.raw)
		}
		for i := range recs {
			st.record(&recs[i])
		}
	}
	return nil
}

func (st *Stats) record(r *xds.Record) {
	st.Records[r.Kind.String()]++
	if r.Push != nil {
		st.PushBytes += int64(r.Push.Size)
	}
	if r.Kind == xds.KindBase {
		return
	}
	if st.FirstSeq == 0 {
		st.FirstSeq = r.Seq
	}
	st.LastSeq = r.Seq
	if st.First.IsZero() || r.Time.Before(st.First) {
		st.First = r.Time
	}
	if r.Time.After(st.Last) {
		st.Last = r.Time
	}
}

// different counts the bodies, each once.
func (x *index) different() int {
	all := map[xds.Digest]bool{}
	for _, s := range x.segs() {
		for _, d := range s.bodies.digests {
			if !d.IsZero() {
				all[d] = true
			}
		}
	}
	return len(all)
}
