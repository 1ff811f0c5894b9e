package xds

import "time"

// SightingKind says what an observer saw.
type SightingKind uint8

// The kinds of Sighting.
const (
	SawOpen SightingKind = iota + 1
	SawRequest
	SawResponse
	SawClose
	SawGap
	SawBase // only from a transcript
)

// Sighting is what an observer hands over: one thing that happened on one gRPC
// stream. Within a direction sightings are in order; across directions they are
// not (an answer may be seen before its push).
type Sighting struct {
	Kind   SightingKind
	Time   time.Time     // of the last byte
	Took   time.Duration // from first to last byte
	Conn   uint64        // connection, unique per observer
	Stream uint64        // stream, unique per observer; 0 where the whole connection is meant
	Open   *Open
	Msg    *Message // SawRequest, SawResponse
	Close  *Close
	Reason string // SawGap

	// Only from a file:
	Base  *BaseLine // SawBase
	Push  uint64    // the push number that the file gives, 0 = count
	Count uint64    // "repeat": so many equal pairs stand for one, 0 = 1
	// As is what the file says a request is: KindRequest, or KindAnswer (with Push
	// 0: the push it answers is not there); 0 = to be worked out.
	As    Kind
	Gap   *Gap   // SawGap: more than the reason
	Extra []byte // unknown fields of the line, a JSON object, kept on a round trip
}

// Bytes is what a sighting costs while it waits in a queue: its payload plus a
// fixed overhead.
func (s Sighting) Bytes() int {
	n := 256
	if s.Msg != nil {
		n += len(s.Msg.Envelope)
		for _, c := range s.Msg.Chunks {
			n += 64 + len(c.Raw)
		}
	}
	return n
}

// Open is the start of a stream.
type Open struct {
	Method   string              `json:"method"`
	Metadata map[string][]string `json:"metadata,omitempty"` // allow-listed; others by name without value
	Peer     string              `json:"peer,omitempty"`
	Conn     uint64              `json:"conn,omitempty"`
}

// Close is the end of a stream.
type Close struct {
	By      string              `json:"by"`             // client or server
	Code    string              `json:"code,omitempty"` // gRPC status code by name
	Message string              `json:"message,omitempty"`
	Trailer map[string][]string `json:"trailer,omitempty"`
	// Sent and Received count messages of a stream that is not discovery and
	// whose messages are therefore not kept.
	Sent, Received uint64 `json:"-"`
}

// Message is one gRPC message. Of a response the resource entries are taken out
// into Chunks; a request is all Envelope.
type Message struct {
	Size     int     // bytes of the protobuf message
	Envelope []byte  // the message without its chunks, nil if it was not kept
	Chunks   []Chunk // in wire order
	Omitted  string  // why content was not kept ("too large", "not discovery"), else ""
	Digest   Digest  // of an omitted message
}

// ChunkState says how much of a Chunk there is.
type ChunkState uint8

// The states of a Chunk.
const (
	ChunkRaw      ChunkState = iota // Raw holds its bytes
	ChunkKnown                      // the same Key was handed over and accepted before
	ChunkBodyless                   // the bytes were dropped (queue full)
	ChunkTooLarge                   // over the size limit: Sum, Size and Name only
)

// Chunk is one resource entry of a response as it stood on the wire: the
// contents of field 2, an Any (state of the world) or a discovery Resource (Delta).
type Chunk struct {
	State ChunkState
	Key   Key
	Size  int
	Raw   []byte
	Name  string // ChunkTooLarge, ChunkBodyless: the resource name as far as it was seen
	Type  string // ditto: the Any's type URL
	Sum   Digest // ChunkTooLarge: SHA-256 of the bytes seen
}

// BaseLine is a base as it stands in a transcript: with bodies.
type BaseLine struct {
	Sidecar Sidecar // whose it is
	Base    Base
	Bodies  []Body
}
