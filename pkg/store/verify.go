package store

import (
	"cmp"
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

// Verify checks all of a store: every checksum, that every body can be put
// together and is what its digest says, that every segment holds the bodies that
// its records and bases name, each once, and that no record is missing. It says
// which pushes and resources are lost. It changes nothing and may run beside a
// writer.
func Verify(dir string) (Report, error) { return verify(osFiles{}, dir) }

func verify(disk fileSystem, dir string) (Report, error) {
	r, err := OpenReaderWith(dir, ReaderConfig{CacheBytes: 8 << 20, disk: disk})
	if err != nil {
		return Report{}, err
	}
	defer r.Close() //nolint:errcheck // only read
	v := &verifier{Report: Report{Problems: []Problem{}, Torn: []Problem{}}, x: r.x, pushes: map[xds.Sidecar]counted{}}
	for _, d := range r.x.problems() {
		v.damage(d)
	}
	for _, s := range r.x.segs() {
		if err := v.segment(s); err != nil {
			return v.Report, err
		}
	}
	return v.Report, nil
}

type verifier struct {
	Report
	x      *index
	next   uint64 // number of the next record, 0 before the first
	holes  int    // places where records are missing, so far
	pushes map[xds.Sidecar]counted
	seg    *segment
	had    map[xds.Digest]bool // bodies of this segment
	// absent: named in this segment, and its writer said that it had no body for
	// them: because of its size, or lost before it came here.
	absent map[xds.Digest]bool
}

// counted is the newest push of a sidecar, and how many holes there were before it.
type counted struct {
	number uint64
	holes  int
}

func (v *verifier) damage(d *DamageError) {
	p := Problem{d.File, d.Offset, d.Length, d.Why}
	if d.Torn {
		v.Torn = append(v.Torn, p)
	} else {
		v.Problems = append(v.Problems, p)
	}
}

func (v *verifier) bad(f frame, format string, args ...any) {
	v.Problems = append(v.Problems, Problem{v.seg.name, f.off, int64(f.size), fmt.Sprintf(format, args...)})
}

func (v *verifier) segment(s *segment) error {
	v.seg, v.had = s, map[xds.Digest]bool{}
	v.absent = map[xds.Digest]bool{}
	v.Segments++
	v.Bytes += s.good
	for _, f := range s.frames {
		c, err := v.x.content(s, f)
		if err != nil {
			v.bad(f, "%v", err)
			continue
		}
		v.bodies(f, c)
		for _, d := range c.absent {
			v.absent[d] = true
		}
		var unnamed []string
		recs, err := c.records(&origin{x: v.x, seg: s, missed: func(name string) { unnamed = append(unnamed, name) }})
		if err != nil {
			v.bad(f, "%v", err)
			continue
		}
		v.order(f)
		for i := range recs {
			v.record(f, &recs[i])
		}
		v.lost(f, unnamed)
	}
	return nil
}

// lost tells of resources whose bodies, and what they were called, are gone.
func (v *verifier) lost(f frame, names []string) {
	if len(names) > 0 {
		v.bad(f, "%d resources have lost their bodies, one of them %s", len(names), names[0])
	}
}

func (v *verifier) bodies(f frame, c *content) {
	for i, d := range c.bodies {
		if v.had[d] {
			v.bad(f, "body %s is twice in one segment", d.Hex())
		}
		if _, err := v.x.body(v.seg, f.firstBody+uint32(i)); err != nil {
			v.bad(f, "body %s: %v", d.Hex(), err)
			continue
		}
		v.had[d] = true
		v.Bodies++
	}
}

func (v *verifier) order(f frame) {
	if v.next != 0 && f.prev+1 != v.next {
		v.bad(f, "records %d to %d are missing before this", v.next, f.prev)
		v.holes++
	}
	v.next = f.last() + 1
}

func (v *verifier) record(f frame, r *xds.Record) {
	v.Records++
	v.numbers(f, r)
	if r.Kind == xds.KindGap && r.Gap.Lost == 1 && v.isLost(f, r) {
		v.bad(f, "record %d, %s: %s", r.Seq, r.Sidecar.Name(), r.Gap.Reason)
	}
	missing, one := 0, ""
	names(r, func(d xds.Digest, name string) {
		if !v.had[d] && !v.absent[d] {
			missing, one = missing+1, cmp.Or(name, d.Hex())
		}
	})
	if missing > 0 {
		v.bad(f, "%s at record %d: %d bodies are not in this segment, one of them %s", r.Kind, r.Seq, missing, one)
	}
}

// isLost tells a gap that stands for a record from one that was written.
func (v *verifier) isLost(f frame, r *xds.Record) bool {
	b, err := v.x.record(v.seg, r.Seq)
	return err == nil && kindOf(b) != xds.KindGap
}

// numbers tells which pushes of a sidecar are missing before r.
func (v *verifier) numbers(f frame, r *xds.Record) {
	n := newest(r)
	if n == 0 {
		return
	}
	before, known := v.pushes[r.Sidecar]
	first := n
	if r.Base != nil {
		first = n + 1
	}
	if known && first > before.number+1 && before.holes < v.holes {
		v.bad(f, "pushes %d to %d of %s are missing before this", before.number+1, first-1, r.Sidecar.Name())
	}
	v.pushes[r.Sidecar] = counted{max(n, before.number), v.holes}
}

// names is refs with the names of resources, where there are any.
func names(r *xds.Record, f func(d xds.Digest, name string)) {
	if r.Push == nil {
		refs(r, func(d xds.Digest) { f(d, "") })
		return
	}
	for i := range r.Push.Resources {
		if e := &r.Push.Resources[i]; e.State == xds.EntryBody && !e.Digest.IsZero() && e.Digest != xds.Bodyless {
			f(e.Digest, e.Name)
		}
	}
}
