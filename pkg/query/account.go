package query

import (
	"context"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Account says what the pushes of one sidecar brought, and how many of them
// brought nothing.
type Account struct {
	Sidecar     xds.Sidecar
	First, Last time.Time      // of the pushes that are counted; zero without any
	Types       []*TypeAccount // in order of their first push
	Flaps       []xds.Event    // traffic that went to and fro
}

// TypeAccount is the part of one type.
type TypeAccount struct {
	Type string // canonical
	Tally
	Fields    []FieldChurn    // by Changes, the most first
	Resources []ResourceChurn // ditto, those that changed more than once

	fields    map[string]*fieldChurn
	resources map[string]*resourceChurn
}

// Tally counts pushes. Heartbeats are no pushes, and those of debug types are left
// out. A push that was rejected and sent again, over and over, counts each time.
type Tally struct {
	Pushes int
	Bytes  int // on the wire
	// NoOp are the pushes after which the sidecar was offered what it had been
	// offered before; NoOpBytes is their size.
	NoOp, NoOpBytes int
	// Reconnect are the NoOp that came first of their type on a stream: the client
	// had asked, and the control plane does not know what it has.
	Reconnect int
	// IdleBytes is NoOpBytes and, of the other pushes, the resources that came as
	// they were.
	IdleBytes int
	// NoShift are the pushes that changed resources in a group of pushes after
	// which all traffic goes where it went. Which endpoints a cluster has, as long
	// as it has any, moves no traffic in this sense.
	NoShift int
	// Added, Changed and Removed count resources over all pushes.
	Added, Changed, Removed int
	// Reencoded counts resources that came in other bytes with the same content.
	Reencoded int
	Rejected  int // pushes, those that were Repeated included
	Repeated  int // pushes that were sent and rejected again, equal in all
	// Unknown are the pushes that cannot be compared: what they held was not recorded.
	Unknown    int
	Heartbeats int // not among Pushes
}

// FieldChurn is a field that differed.
type FieldChurn struct {
	// Path is the field; [...] stands for keys that are not always the same.
	Path      string
	Changes   int // changed resources that it differed in, over all pushes
	Resources int // so many different ones
}

// ResourceChurn is a resource that changed again and again.
type ResourceChurn struct {
	Name    string
	Changes int
	// Moves is how often in a row it went between the same two contents (or being
	// there and not); 0 where that is less often than a flap takes.
	Moves int
}

// Total is the sum over the types.
func (a *Account) Total() Tally {
	var sum Tally
	for _, t := range a.Types {
		sum.add(t.Tally)
	}
	return sum
}

func (t *Tally) add(o Tally) {
	t.Pushes += o.Pushes
	t.Bytes += o.Bytes
	t.NoOp += o.NoOp
	t.NoOpBytes += o.NoOpBytes
	t.Reconnect += o.Reconnect
	t.IdleBytes += o.IdleBytes
	t.NoShift += o.NoShift
	t.Added += o.Added
	t.Changed += o.Changed
	t.Removed += o.Removed
	t.Reencoded += o.Reencoded
	t.Rejected += o.Rejected
	t.Repeated += o.Repeated
	t.Unknown += o.Unknown
	t.Heartbeats += o.Heartbeats
}

// Account walks and counts what wants lets through by its time (nil: all). What
// could be read before an error is counted.
func (r *Reader) Account(ctx context.Context, o WalkOptions, wants func(time.Time) bool) ([]*Account, error) {
	k := r.NewAccountant(wants)
	o.OnRecord = k.Record
	for e, err := range r.Walk(ctx, o) {
		if err != nil {
			return k.Accounts(), err
		}
		k.Entry(e)
	}
	return k.Accounts(), nil
}
