package transcript

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// line is one line with the fields that have a meaning; which of them count
// depends on Event.
type line struct {
	t      time.Time
	event  string
	raw    []byte
	hasRaw bool
	small  fields
	extra  []byte
	types  []byte // gap: a list; base: an object whose order counts
}

// fields are those that encoding/json reads.
type fields struct {
	Stream    uint64              `json:"stream,omitempty"`
	Seq       uint64              `json:"seq,omitempty"`
	Push      uint64              `json:"push,omitempty"`
	Took      float64             `json:"took,omitempty"`
	Kind      string              `json:"kind,omitempty"`
	Repeat    uint64              `json:"repeat,omitempty"`
	Size      int                 `json:"size,omitempty"`
	Omitted   string              `json:"omitted,omitempty"`
	Missing   []missing           `json:"missing,omitempty"`
	Method    string              `json:"method,omitempty"`
	Metadata  map[string][]string `json:"metadata,omitempty"`
	Peer      string              `json:"peer,omitempty"`
	Conn      uint64              `json:"conn,omitempty"`
	By        string              `json:"by,omitempty"`
	Code      string              `json:"code,omitempty"`
	Message   string              `json:"message,omitempty"`
	Trailer   map[string][]string `json:"trailer,omitempty"`
	Sent      uint64              `json:"sent,omitempty"`
	Received  uint64              `json:"received,omitempty"`
	Reason    string              `json:"reason,omitempty"`
	Lost      uint64              `json:"lost,omitempty"`
	Sidecar   string              `json:"sidecar,omitempty"`
	ID        *identity           `json:"id,omitempty"`
	Node      []byte              `json:"node,omitempty"`
	Streams   []baseStream        `json:"streams,omitempty"`
	Pending   []basePush          `json:"pending,omitempty"`
	Uncertain map[string]string   `json:"uncertain,omitempty"`
}

// missing is a resource of a response whose bytes are not there.
type missing struct {
	At     int    `json:"at"`
	State  string `json:"state"` // bodyless or too-large
	Name   string `json:"name,omitempty"`
	Size   int    `json:"size,omitempty"`
	Digest string `json:"digest,omitempty"`
}

// known lists the members that each event gives a meaning to; all others are
// kept as they are.
var known = map[string][]string{
	"open":     {"method", "metadata", "peer", "conn"},
	"request":  {"raw", "push", "kind", "repeat", "size", "omitted"},
	"response": {"raw", "push", "size", "omitted", "missing"},
	"close":    {"by", "code", "message", "trailer", "sent", "received"},
	"gap":      {"reason", "types", "lost"},
	"base":     {"sidecar", "push", "types", "id", "node", "streams", "pending", "uncertain"},
}

var common = []string{"t", "stream", "event", "seq", "took"}

// parseLine reads one line. The result does not alias b.
func parseLine(b []byte) (*line, error) {
	ms, err := members(b)
	if err != nil {
		return nil, err
	}
	l := &line{}
	var when string
	for _, m := range ms {
		switch m.key {
		case "event":
			l.event, err = text(m.value)
		case "t":
			when, err = text(m.value)
		}
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", m.key, err)
		}
	}
	if l.event == "" {
		return nil, fmt.Errorf("the line has no event")
	}
	if l.t, err = time.Parse(time.RFC3339Nano, when); err != nil {
		return nil, fmt.Errorf("reading the time: %w", err)
	}
	l.t = l.t.UTC()
	return l, l.fill(ms)
}

// fill gives every member its place.
func (l *line) fill(ms []member) error {
	ours := known[l.event]
	var small, extra bytes.Buffer
	for _, m := range ms {
		switch {
		case m.key == "t" || m.key == "event":
		case !slices.Contains(common, m.key) && !slices.Contains(ours, m.key):
			appendMember(&extra, m)
		case m.key == "raw":
			var err error
			if l.raw, err = decodeBase64(m.value); err != nil {
				return fmt.Errorf("reading raw: %w", err)
			}
			l.hasRaw = true
		case m.key == "types":
			l.types = bytes.Clone(m.value)
		default:
			appendMember(&small, m)
		}
	}
	if extra.Len() > 0 {
		extra.WriteByte('}')
		if !json.Valid(extra.Bytes()) {
			return errJSON
		}
		l.extra = extra.Bytes()
	}
	if small.Len() == 0 {
		return nil
	}
	small.WriteByte('}')
	if err := json.Unmarshal(small.Bytes(), &l.small); err != nil {
		return fmt.Errorf("reading the line: %w", err)
	}
	return nil
}

func appendMember(w *bytes.Buffer, m member) {
	if w.Len() == 0 {
		w.WriteByte('{')
	} else {
		w.WriteByte(',')
	}
	key, _ := json.Marshal(m.key) // of a string: cannot fail
	w.Write(key)
	w.WriteByte(':')
	w.Write(m.value)
}

func decodeBase64(v []byte) ([]byte, error) {
	b, ok := plain(v)
	if !ok {
		s, err := text(v)
		if err != nil {
			return nil, err
		}
		b = []byte(s)
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(b)))
	n, err := base64.StdEncoding.Decode(out, b)
	if err != nil {
		return nil, fmt.Errorf("decoding base64: %w", err)
	}
	return out[:n], nil
}

// sighting turns the line into what an observer would have handed over; ok is
// false for an event that nobody here knows.
func (l *line) sighting(seed uint64) (s xds.Sighting, ok bool, err error) {
	f := &l.small
	s = xds.Sighting{Time: l.t, Took: time.Duration(math.Round(f.Took * 1e9)), Stream: f.Stream, Push: f.Push, Extra: l.extra}
	if l.event != "gap" && l.event != "base" && known[l.event] != nil && f.Stream == 0 {
		return s, false, fmt.Errorf("a line of event %q needs a stream", l.event)
	}
	switch l.event {
	case "open":
		s.Kind, s.Conn = xds.SawOpen, f.Conn
		s.Open = &xds.Open{Method: f.Method, Metadata: f.Metadata, Peer: f.Peer, Conn: f.Conn}
	case "request":
		s.Kind, s.Count = xds.SawRequest, f.Repeat
		s.As = map[string]xds.Kind{"request": xds.KindRequest, "answer": xds.KindAnswer}[f.Kind]
		s.Msg = &xds.Message{Size: l.size(), Envelope: l.raw, Omitted: f.Omitted}
	case "response":
		s.Kind = xds.SawResponse
		s.Msg, err = l.response(seed)
	case "close":
		s.Kind = xds.SawClose
		s.Close = &xds.Close{By: f.By, Code: f.Code, Message: f.Message, Trailer: f.Trailer, Sent: f.Sent, Received: f.Received}
	case "gap":
		s.Kind, s.Reason = xds.SawGap, f.Reason
		s.Gap, err = l.gap()
	case "base":
		s.Kind = xds.SawBase
		s.Base, err = l.base()
	default:
		return s, false, nil
	}
	return s, err == nil, err
}

func (l *line) size() int {
	if l.small.Size > 0 {
		return l.small.Size
	}
	return len(l.raw)
}

func (l *line) gap() (*xds.Gap, error) {
	g := &xds.Gap{Reason: l.small.Reason, Lost: l.small.Lost}
	if l.types == nil {
		return g, nil
	}
	if err := json.Unmarshal(l.types, &g.Types); err != nil {
		return nil, fmt.Errorf("reading the types of a gap: %w", err)
	}
	return g, nil
}

// response splits the message as an observer does. What cannot be split is handed
// on whole: the recorder makes a gap of it.
func (l *line) response(seed uint64) (*xds.Message, error) {
	m, err := record.Split(l.raw)
	if err == nil {
		for i, c := range m.Chunks {
			m.Chunks[i].Key = xds.Key(xxh3.Hash128Seed(c.Raw, seed).Bytes())
		}
	}
	m.Size, m.Omitted = l.size(), l.small.Omitted
	for _, x := range l.small.Missing {
		c := xds.Chunk{State: xds.ChunkBodyless, Name: x.Name, Size: x.Size}
		if x.State == "too-large" {
			c.State = xds.ChunkTooLarge
			if c.Sum, err = xds.ParseDigest(x.Digest); err != nil {
				return nil, fmt.Errorf("reading missing resource %d: %w", x.At, err)
			}
		}
		if x.At < 0 || x.At > len(m.Chunks) {
			return nil, fmt.Errorf("missing resource %d has no place among %d", x.At, len(m.Chunks))
		}
		m.Chunks = slices.Insert(m.Chunks, x.At, c)
	}
	return m, nil
}
