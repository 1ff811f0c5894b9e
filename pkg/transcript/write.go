package transcript

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// History is what Write exports. A Source of this package is one.
type History interface {
	Sidecars() ([]xds.Sidecar, error)
	Base(id xds.Sidecar, at uint64) (xds.Record, bool, error)
	Records(id xds.Sidecar, from uint64) iter.Seq2[xds.Record, error]
	Body(d xds.Digest) ([]byte, bool, error)
}

// Options say what part of a history Write takes.
type Options struct {
	// From and To bound the records by number, both included. Default: all. Where
	// the history is cut, it starts at a base at or before From.
	From, To uint64
	// Sidecars: default all, streams of nobody included.
	Sidecars []xds.Sidecar
}

// Write exports a history as JSON Lines, not compressed. Messages are put
// together again: envelope fields in number order, resource bytes exact.
func Write(w io.Writer, src History, o Options) error {
	out := &writer{w: bufio.NewWriterSize(w, 1<<16), src: src}
	ids, err := o.ids(src)
	if err != nil {
		return err
	}
	tracks, err := out.open(ids, o)
	defer func() {
		for _, t := range tracks {
			t.stop()
		}
	}()
	if err != nil {
		return err
	}
	if err := out.bases(tracks, o); err != nil {
		return err
	}
	if err := out.records(tracks, o); err != nil {
		return err
	}
	if err := out.w.Flush(); err != nil {
		return fmt.Errorf("writing the transcript: %w", err)
	}
	return nil
}

func (o Options) ids(src History) ([]xds.Sidecar, error) {
	if len(o.Sidecars) > 0 {
		return o.Sidecars, nil
	}
	ids, err := src.Sidecars()
	if err != nil {
		return nil, fmt.Errorf("listing sidecars: %w", err)
	}
	if !slices.Contains(ids, xds.Sidecar{}) {
		ids = append(slices.Clip(ids), xds.Sidecar{}) // gaps that concern everyone
	}
	return ids, nil
}

// track is the records of one sidecar, one ahead.
type track struct {
	id   xds.Sidecar
	rec  xds.Record
	ok   bool
	err  error
	pull func() (xds.Record, error, bool)
	stop func()
}

func newTrack(src History, id xds.Sidecar, from uint64) *track {
	t := &track{id: id}
	t.pull, t.stop = iter.Pull2(src.Records(id, from))
	t.advance()
	return t
}

func (t *track) advance() {
	t.rec, t.err, t.ok = t.pull()
	if t.err != nil {
		t.err = fmt.Errorf("reading the records of %s: %w", t.id.Name(), t.err)
	}
}

type writer struct {
	w   *bufio.Writer
	src History
	buf []byte
}

func (w *writer) open(ids []xds.Sidecar, o Options) ([]*track, error) {
	var tracks []*track
	for _, id := range ids {
		t := newTrack(w.src, id, o.From)
		tracks = append(tracks, t)
		if t.err != nil {
			return tracks, t.err
		}
	}
	return tracks, nil
}

// bases writes a base for every sidecar whose history does not start with the
// first record, and lets its records start there.
func (w *writer) bases(tracks []*track, o Options) error {
	first := o.From
	for _, t := range tracks {
		if t.ok && (first == 0 || t.rec.Seq < first) && o.From == 0 {
			first = t.rec.Seq
		}
	}
	if first <= 1 {
		return w.empty(tracks)
	}
	for _, t := range tracks {
		base, ok, err := w.src.Base(t.id, first-1)
		if err != nil {
			return fmt.Errorf("reading the base of %s: %w", t.id.Name(), err)
		}
		if !ok && o.From > 0 && !t.id.IsZero() { // nothing to start from but the beginning
			t.stop()
			*t = *newTrack(w.src, t.id, 0)
		}
		if !ok {
			continue
		}
		if err := w.base(base); err != nil {
			return err
		}
		if base.Seq+1 < first { // what came between the base and the cut
			t.stop()
			*t = *newTrack(w.src, t.id, base.Seq+1)
		}
	}
	return nil
}

// empty writes the bases of a history that starts with its first record: there
// are some only where it was cut before it came here.
func (w *writer) empty(tracks []*track) error {
	for _, t := range tracks {
		base, ok, err := w.src.Base(t.id, 0)
		if err != nil {
			return fmt.Errorf("reading the base of %s: %w", t.id.Name(), err)
		}
		if !ok {
			continue
		}
		if err := w.base(base); err != nil {
			return err
		}
	}
	return nil
}

// records merges the tracks by number. A gap that concerns everyone stands in
// each of them and is written once.
func (w *writer) records(tracks []*track, o Options) error {
	last := uint64(0)
	for {
		var next *track
		for _, t := range tracks {
			if t.err != nil {
				return t.err
			}
			if t.ok && (next == nil || t.rec.Seq < next.rec.Seq) {
				next = t
			}
		}
		if next == nil || o.To > 0 && next.rec.Seq > o.To {
			return nil
		}
		if next.rec.Seq != last {
			last = next.rec.Seq
			if err := w.record(next.rec); err != nil {
				return err
			}
		}
		next.advance()
	}
}

var events = map[xds.Kind]string{xds.KindOpen: "open", xds.KindRequest: "request", xds.KindPush: "response",
	xds.KindAnswer: "request", xds.KindClose: "close", xds.KindGap: "gap", xds.KindBase: "base"}

func (w *writer) record(r xds.Record) error {
	f := fields{Seq: r.Seq}
	raw, err := w.message(r, &f)
	if err != nil {
		return fmt.Errorf("exporting record %d: %w", r.Seq, err)
	}
	switch r.Kind {
	case xds.KindOpen:
		f.Method, f.Metadata, f.Peer, f.Conn = r.Open.Method, r.Open.Metadata, r.Open.Peer, r.Open.Conn
	case xds.KindClose:
		c := r.Close
		f.By, f.Code, f.Message, f.Trailer, f.Sent, f.Received = c.By, c.Code, c.Message, c.Trailer, c.Sent, c.Received
	case xds.KindGap:
		f.Reason, f.Lost = r.Gap.Reason, r.Gap.Lost
	}
	hasRaw := r.Kind == xds.KindRequest || r.Kind == xds.KindAnswer || r.Kind == xds.KindPush
	return w.line(r, f, raw, hasRaw, w.gapTypes(r))
}

// message puts the message of a request, an answer or a push together.
func (w *writer) message(r xds.Record, f *fields) ([]byte, error) {
	switch r.Kind {
	case xds.KindRequest:
		if r.Request.Nonce != "" || r.Request.Error != nil {
			f.Kind = "request" // else a reader might take it for an answer
		}
		return w.request(r.Request, f)
	case xds.KindAnswer:
		f.Push, f.Repeat = r.Answer.Push, r.Answer.Repeat
		if f.Push == 0 {
			f.Kind = "answer"
		}
		return w.request(&r.Answer.Request, f)
	case xds.KindPush:
		return w.push(r.Push, f)
	}
	return nil, nil
}

func (w *writer) gapTypes(r xds.Record) []byte {
	if r.Kind != xds.KindGap || len(r.Gap.Types) == 0 {
		return nil
	}
	b, _ := json.Marshal(r.Gap.Types) // of strings: cannot fail
	return b
}

func (w *writer) request(q *xds.Request, f *fields) ([]byte, error) {
	var node []byte
	var has bool
	if !q.Node.IsZero() {
		var err error
		if node, has, err = w.src.Body(q.Node); err != nil {
			return nil, fmt.Errorf("reading the node: %w", err)
		}
	}
	raw := record.EncodeRequest(q, node, has)
	if q.Size != len(raw) {
		f.Size = q.Size
	}
	return raw, nil
}

func (w *writer) push(p *xds.Push, f *fields) ([]byte, error) {
	var failed error
	raw, gone := record.EncodePush(p, func(d xds.Digest) ([]byte, bool) {
		b, ok, err := w.src.Body(d)
		if err != nil {
			failed = fmt.Errorf("reading body %s: %w", d, err)
		}
		return b, ok
	})
	f.Push, f.Omitted = p.Number, p.Omitted
	if p.Size != len(raw) {
		f.Size = p.Size
	}
	for _, i := range gone {
		e := p.Resources[i]
		m := missing{At: i, State: "bodyless", Name: e.Name, Size: e.Size}
		if e.State == xds.EntryTooLarge {
			m.State, m.Digest = "too-large", e.Digest.Hex()
		}
		f.Missing = append(f.Missing, m)
	}
	return raw, failed
}

// line writes one line: what a reader looks for first stands first.
func (w *writer) line(r xds.Record, f fields, raw []byte, hasRaw bool, types []byte) error {
	b := append(w.buf[:0], `{"t":"`...)
	b = r.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	if r.Stream != 0 {
		b = fmt.Appendf(b, `,"stream":%d`, r.Stream)
	}
	b = append(b, `,"event":"`+events[r.Kind]+`"`...)
	f.Took = r.Took.Seconds()
	small, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("exporting record %d: %w", r.Seq, err)
	}
	b = inside(b, small)
	if hasRaw {
		b = append(b, `,"raw":"`...)
		b = base64.StdEncoding.AppendEncode(b, raw)
		b = append(b, '"')
	}
	if types != nil {
		b = append(append(b, `,"types":`...), types...)
	}
	b = append(inside(b, r.Extra), "}\n"...)
	w.buf = b
	if _, err := w.w.Write(b); err != nil {
		return fmt.Errorf("writing the transcript: %w", err)
	}
	return nil
}

// inside appends the members of an object.
func inside(b, object []byte) []byte {
	if len(object) <= 2 {
		return b
	}
	return append(append(b, ','), object[1:len(object)-1]...)
}
