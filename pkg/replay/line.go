package replay

import (
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Reply is how a push was answered.
type Reply string

// The replies.
const (
	ACK  Reply = "ack"
	NACK Reply = "nack"
	// None: it was sent, and no answer came.
	None Reply = "none"
	// Unasked: the client asked for nothing that is in it, so it was not sent.
	Unasked Reply = "unasked"
)

// Line is one thing worth telling while a range is replayed.
type Line struct {
	Kind LineKind
	// Step is the push that it is about, nil for what no push brought.
	Step *Step
	// Type, Resources and Removed tell what was sent.
	Type               string
	Resources, Removed int
	// Reply is the client's answer and Recorded the sidecar's; Message is the reason
	// of a rejection, the client's or, for Vanished, the sidecar's.
	Reply, Recorded Reply
	Message         string
	Latency         time.Duration
	// Altered: what was sent is not what was recorded: extensions were left out.
	Altered bool
	// Differences are those of Compared; none: equal.
	Differences []Difference
	// Names are extensions (Lacks, Drops) or resources (Waits, Missing).
	Names []string
	// Err is why a comparison could not be made.
	Err error
}

// LineKind says what a Line tells.
type LineKind string

// The kinds of line.
const (
	Pushed   LineKind = "push"     // a push was sent and answered
	Base     LineKind = "base"     // what the sidecar held before the range was sent and answered
	Rejects  LineKind = "nack"     // a rejection that was not recorded
	Vanished LineKind = "vanished" // a recorded rejection that did not happen again
	Silent   LineKind = "silent"   // no answer came where one was recorded
	Compared LineKind = "compare"  // what the client holds was compared
	Lacks    LineKind = "lacks"    // the client has no such extensions
	Drops    LineKind = "drops"    // extensions are left out from now on
	Waits    LineKind = "waits"    // the client waits for what was not recorded
	Stops    LineKind = "stop"     // the replay stands before a push
	Again    LineKind = "again"    // a loop begins once more
)

// Different reports whether a line tells of a difference to the recording.
func (l Line) Different() bool {
	switch l.Kind {
	case Rejects, Vanished, Silent:
		return true
	case Compared:
		return len(l.Differences) > 0 || l.Err != nil
	}
	return false
}

// Difference is a resource in which the client is not where the sidecar was.
type Difference struct {
	Type, Name string
	Op         string // missing, extra, different
	Fields     []string
}

// Break chooses the events before which a replay stops.
type Break func(xds.Event) bool
