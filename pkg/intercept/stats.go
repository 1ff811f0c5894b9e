package intercept

import "sync/atomic"

// GapReason says why something was not observed.
type GapReason uint8

// The reasons of gaps, each counted on its own.
const (
	GapProtobuf    GapReason = iota // a message is no valid protobuf: that message is lost
	GapFraming                      // gRPC framing is broken: the stream is lost
	GapHTTP2                        // HTTP/2 framing is broken: the connection is lost
	GapHPACK                        // header compression is broken: the connection is lost
	GapCompression                  // a compressed message could not be inflated: that message is lost
	GapMemory                       // the observer's memory budget is used up: that message is lost
	GapQueue                        // the queue was full: messages of a stream are lost
	GapPanic                        // the observer failed: the connection is lost
	gapReasons
)

var gapNames = [gapReasons]string{"protobuf", "framing", "http2", "hpack", "compression", "memory", "queue", "panic"}

func (r GapReason) String() string {
	if r < gapReasons {
		return gapNames[r]
	}
	return "unknown"
}

// GapReasons lists all of them.
func GapReasons() []GapReason {
	all := make([]GapReason, gapReasons)
	for i := range all {
		all[i] = GapReason(i)
	}
	return all
}

// Stats counts what passed. Every field is safe to read at any time.
type Stats struct {
	Connections       atomic.Uint64 // accepted
	Active            atomic.Int64  // connections open now
	DialFailures      atomic.Uint64 // upstream not reachable; downstream was reset
	Abandoned         atomic.Uint64 // clients that left while upstream was dialled
	HandshakeFailures atomic.Uint64 // clients that TLS did not let in
	AcceptFailures    atomic.Uint64 // out of file descriptors and the like
	BytesUp           atomic.Uint64 // written towards the control plane
	BytesDown         atomic.Uint64 // written towards Envoy
	Streams           atomic.Uint64 // gRPC streams opened
	Requests          atomic.Uint64 // discovery requests seen whole
	Responses         atomic.Uint64 // discovery responses seen whole
	Unobserved        atomic.Uint64 // connections that do not speak HTTP/2 with prior knowledge
	Detached          atomic.Uint64 // connections whose observer gave up
	SightingsLost     atomic.Uint64 // not handed over because the queue was full
	BodiesDropped     atomic.Uint64 // resources handed over without their bytes
	QueueBytes        atomic.Int64  // waiting for the recorder now
	DialedAt          atomic.Int64  // unix nanoseconds of the last dial that worked, 0 = none
	DialFailedAt      atomic.Int64  // unix nanoseconds of the last dial that failed, 0 = none
	gaps              [gapReasons]atomic.Uint64
	assembly          atomic.Int64 // bytes held for messages that are not complete
	assemblyHighest   atomic.Int64
}

// Gaps is how often something was lost for one reason.
func (s *Stats) Gaps(r GapReason) uint64 {
	if r >= gapReasons {
		return 0
	}
	return s.gaps[r].Load()
}

// AssemblyBytes is what the observers hold for messages that are not complete.
func (s *Stats) AssemblyBytes() int64 { return s.assembly.Load() }
