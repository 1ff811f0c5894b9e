package xds

import "time"

// Kind is the kind of a Record.
type Kind uint8

// The kinds of Record. Their numbers stand in stores: never renumber.
const (
	KindOpen    Kind = 1
	KindRequest Kind = 2
	KindPush    Kind = 3
	KindAnswer  Kind = 4
	KindClose   Kind = 5
	KindGap     Kind = 6
	KindBase    Kind = 7
)

var kindNames = [...]string{"", "open", "request", "push", "answer", "close", "gap", "base"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Record is one entry of the history. Exactly the field that Kind names is set.
// Records are ordered by Seq, never by Time (clocks jump). They are values: who
// holds one does not change it.
type Record struct {
	Seq     uint64        // 1, 2, ... through one history, given by the Log
	Time    time.Time     // of the last byte
	Took    time.Duration // from first to last byte
	Kind    Kind
	Stream  uint64  // unique through one history; 0 = none
	Sidecar Sidecar // zero while the stream belongs to nobody
	Extra   []byte  // unknown fields of the transcript line it came from

	Open    *Open
	Request *Request
	Push    *Push
	Answer  *Answer
	Close   *Close
	Gap     *Gap
	Base    *Base
}

// Request is one discovery request that answers nothing: a subscription. The
// fields together hold the message: what is not parsed stands in Rest.
type Request struct {
	Type    string // type URL as sent
	Version string
	Nonce   string
	Node    Digest // of the redacted node, zero when the request carried none
	// Names is resource_names (state of the world) or
	// resource_names_subscribe (Delta); none means everything (wildcard) for
	// the first LDS/CDS request.
	Names       []string
	Unsubscribe []string          // Delta
	Initial     map[string]string // Delta: initial_resource_versions, exactly what the client holds
	Error       *Status
	Delta       bool
	Rest        []byte // other fields, in number order
	Size        int    // bytes on the wire
}

// Status is a google.rpc.Status: why a push was rejected.
type Status struct {
	Code    int32
	Message string
	Rest    []byte
}

// Answer is a request that acknowledges (Error nil) or rejects a push.
type Answer struct {
	Request
	Push   uint64 // number of the push it answers; 0 = orphan (its push is not there)
	Repeat uint64 // so many further equal (push, answer) pairs are not kept one by one
}

// NACK reports whether the answer rejects its push.
func (a *Answer) NACK() bool { return a.Error != nil }

// Push is one discovery response.
type Push struct {
	Number    uint64 // per sidecar, across its streams and incarnations: 1, 2, ...
	Type      string // type URL as sent
	Version   string
	Nonce     string
	Delta     bool
	Resources []Entry  // in wire order
	Removed   []string // Delta
	Rest      []byte   // other envelope fields, in number order
	Size      int      // bytes on the wire
	Omitted   string   // why the content was not kept, else ""
}

// EntryState says what an Entry holds.
type EntryState uint8

// The states of an Entry. Their numbers stand in stores: never renumber.
const (
	EntryBody     EntryState = 0 // Digest names its body
	EntryEmpty    EntryState = 1 // a wrapper without a body: heartbeat, or "does not exist"
	EntryBodyless EntryState = 2 // it had a body that was not recorded; Digest is zero
	EntryTooLarge EntryState = 3 // ditto because of its size; Digest is that of the bytes seen
)

// Entry is one resource of a push. The body is the google.protobuf.Any, type
// URL included; the fields of a discovery Resource around it stand beside it, so
// that the same resource has the same Digest in both protocol variants.
type Entry struct {
	Name    string
	State   EntryState
	Digest  Digest
	Size    int
	Wrapped bool   // state of the world: the Any was itself a discovery Resource (TTL)
	Version string // Delta, or wrapped
	Aliases []string
	TTL     time.Duration // 0 = none
	Rest    []byte        // other wrapper fields, in number order
}

// Gap is a stretch of history that is known to be missing.
type Gap struct {
	Reason string
	Types  []string // the types it makes uncertain; none = all
	Lost   uint64   // sightings lost, 0 = unknown
}

// Base is all that one sidecar holds at a point, so that reading can start there.
// The Record that carries it names the sidecar.
type Base struct {
	Push    uint64 // number of the newest push before it
	Node    Digest
	Streams []BaseStream // live streams
	Types   []BaseType
	Pending []BasePush // pushes not answered yet
}

// BaseStream is a stream that was open when the base was made.
type BaseStream struct {
	Stream uint64
	Open   Open
}

// BaseType is what the sidecar holds of one type.
type BaseType struct {
	Type      string // as sent
	Uncertain string // why this list may be wrong, else ""
	Resources []BaseEntry
}

// Held says in which snapshots an entry stands; a bit set.
type Held uint8

// The bits of Held. "both" in a transcript is offered and accepted.
const (
	HeldOffered  Held = 1
	HeldAccepted Held = 2
	HeldActive   Held = 4
)

// BaseEntry is one resource of a base. A name stands twice when the offered
// version differs from the accepted one.
type BaseEntry struct {
	Name   string
	Digest Digest // zero: name known, body not recorded
	Held   Held
	Stream uint64 // whose it is; 0 = not known: the next stream of the type takes it over
}

// BasePush is a push whose answer had not come yet.
type BasePush struct {
	Number  uint64
	Stream  uint64
	Type    string
	Nonce   string
	Names   []string // of its resources
	Removed []string
	Full    bool // state of the world LDS/CDS: what it does not name goes
}
