package timeline

import (
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Rule says why a group was closed.
type Rule string

// The rules, in the order in which they are tried.
const (
	// Complete: all is answered, nothing that the group named is missing, and
	// every type carried the group's version.
	Complete Rule = "complete"
	// Endpoints: only endpoints under the version that was there before, all
	// answered.
	Endpoints Rule = "endpoints"
	// Quiet: all is answered, and for a second nothing came.
	Quiet Rule = "quiet"
	// Limit: ten seconds have passed. What it says may be half of a change.
	Limit Rule = "limit"
	// Ended: the history ends, or the sidecar began a new life.
	Ended Rule = "ended"
)

// Entry is one group of pushes of one sidecar, or, where Pushes is empty, protocol
// facts that became known between groups. It is a value.
type Entry struct {
	ID          xds.Sidecar
	Incarnation int
	First, Last uint64    // pushes; of an entry without pushes the last one before it
	Pushes      []uint64  // all of the group, rising
	Time        time.Time // of the first push, or of the fact
	Closed      time.Time // when the group was settled, in record time
	Rule        Rule      // empty without pushes
	Settled     bool      // false: closed by its time limit or by the end
	// Baseline marks the first settled state of a life: nothing is compared, so
	// there are no changes and no shifts; Before is what the former life ended with.
	Baseline bool

	Before, After *state.Snapshot // active
	Changes       []xds.Change
	Shifts        []xds.Shift
	Drained       []string // listeners whose open connections will be closed
	Events        []xds.Event
	Uncertain     []string // why this may be computed on wrong state

	fork *state.Fold // the state before the group
	recs []xds.Record
}

// PushState is what takes traffic after one push of a group, with its answer
// applied right at it. A group that a late answer opened begins with the push
// that it answers, without Type.
type PushState struct {
	Number uint64
	Time   time.Time
	Type   string // as sent
	Active *state.Snapshot
}

// Steps folds the group once more, push by push. The first state that differs
// from Before is the one that an event of the group happened at.
func (e Entry) Steps() []PushState {
	if e.fork == nil {
		return nil
	}
	var out []PushState
	f := e.fork.Fork(e.ID)
	for _, r := range state.Reorder(e.recs) {
		switch {
		case r.Kind == xds.KindPush && r.Push != nil:
			out = append(out, PushState{Number: r.Push.Number, Time: r.Time, Type: r.Push.Type})
		case len(out) == 0: // a late answer: it belongs to a push before the group
			out = append(out, PushState{Number: e.First, Time: e.Time})
		}
		f.Apply(r)
		out[len(out)-1].Active = f.Active(e.ID)
	}
	return out
}
