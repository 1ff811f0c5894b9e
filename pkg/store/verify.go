package store

import (
	"fmt"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Report is what Verify found.
type Report struct {
	Segments int   `json:"segments"`
	Records  int   `json:"records"`
	Bodies   int   `json:"bodies"`
	Bytes    int64 `json:"bytes"`
	// Problems is what is damaged or missing.
	Problems []Problem `json:"problems"`
	// Torn is a write at the end that never finished, because its process was
	// killed. Nobody was told that it is there; the next writer cuts it.
	Torn []Problem `json:"torn"`
}

// OK reports that nothing is damaged or missing.
func (r Report) OK() bool { return len(r.Problems) == 0 }

// Problem is one thing that is wrong, and what is lost by it.
type Problem struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length,omitempty"`
	What   string `json:"what"`
}

func (p Problem) String() string { return fmt.Sprintf("%s, offset %d: %s", p.File, p.Offset, p.What) }

// Verify checks all of a store: every checksum, that every body is what its
// digest says, that every segment holds the bodies that its records and bases
// name, each once, and that no record is missing. It changes nothing and may run
// beside a writer.
func Verify(dir string) (Report, error) {
	r, err := OpenReaderWith(dir, ReaderConfig{CacheBytes: 4 * chunkRaw})
	if err != nil {
		return Report{}, err
	}
	defer r.Close() //nolint:errcheck // only read
	v := &verifier{Report: Report{Problems: []Problem{}, Torn: []Problem{}}, x: r.x}
	for _, d := range r.x.problems() {
		v.damage(d)
	}
	for _, s := range r.x.segs {
		if err := v.segment(s); err != nil {
			return v.Report, err
		}
	}
	return v.Report, nil
}

type verifier struct {
	Report
	x    *index
	next uint64 // number of the next record, 0 before the first
	seg  *segment
	had  map[xds.Digest]bool // bodies of this segment
	// absent: named in this segment, and its writer said that it had no body for
	// them: because of its size, or lost before it came here.
	absent map[xds.Digest]bool
}

func (v *verifier) damage(d *DamageError) {
	p := Problem{d.File, d.Offset, d.Length, d.Why}
	if d.Torn {
		v.Torn = append(v.Torn, p)
	} else {
		v.Problems = append(v.Problems, p)
	}
}

func (v *verifier) bad(f *frame, format string, args ...any) {
	v.Problems = append(v.Problems, Problem{v.seg.name, f.off, f.end() - f.off, fmt.Sprintf(format, args...)})
}

func (v *verifier) segment(s *segment) error {
	v.seg, v.had = s, map[xds.Digest]bool{}
	v.absent = map[xds.Digest]bool{}
	v.Segments++
	v.Bytes += s.good
	for _, f := range s.frames {
		data, err := v.x.data(s, f)
		if err != nil {
			v.bad(f, "%v", err)
			continue
		}
		v.bodies(f, data)
		for _, d := range f.absent {
			v.absent[d] = true
		}
		recs, err := decodeRecords(f, data)
		if err != nil {
			v.bad(f, "%v", err)
			continue
		}
		v.order(f)
		for i := range recs {
			v.record(f, &recs[i])
		}
	}
	return nil
}

func (v *verifier) bodies(f *frame, data []byte) {
	v.seg.locate(f, func(d xds.Digest, at bodyLoc) {
		if v.had[d] {
			v.bad(f, "body %s is twice in one segment", d.Hex())
		}
		if xds.DigestOf(data[at.start:at.start+at.size]) != d {
			v.bad(f, "body %s has other bytes than its digest says", d.Hex())
			return
		}
		v.had[d] = true
		v.Bodies++
	})
}

func (v *verifier) order(f *frame) {
	if v.next != 0 && f.prev+1 != v.next {
		v.bad(f, "records %d to %d are missing before this", v.next, f.prev)
	}
	v.next = f.last() + 1
}

func (v *verifier) record(f *frame, r *xds.Record) {
	v.Records++
	missing := 0
	var one xds.Digest
	refs(r, func(d xds.Digest) {
		if !v.had[d] && !v.absent[d] {
			missing, one = missing+1, d
		}
	})
	if missing > 0 {
		v.bad(f, "%s at record %d: %d bodies are not in this segment, one of them %s", r.Kind, r.Seq, missing, one.Hex())
	}
}
