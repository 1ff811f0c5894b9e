package cli

import (
	"iter"

	"github.com/xdsproxy/xdsproxy/pkg/timeline"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// eventTeller prints the events that are wanted, until enough were.
type eventTeller struct {
	print  *eventPrinter
	wants  func(xds.Event) bool
	span   span
	memory *memory
	failOn xds.Severity

	told   int
	last   []xds.Event // --last: the newest ones, printed by finish
	failed bool        // --fail-on met one
}

func (t *eventTeller) tell(entries iter.Seq2[timeline.Entry, error]) error {
	for e, err := range entries {
		if err != nil {
			return err
		}
		for _, ev := range e.Events {
			if more, err := t.event(ev); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

// event handles one; false when no more are wanted.
func (t *eventTeller) event(e xds.Event) (bool, error) {
	if !t.wants(e) || !t.span.holds(e.Time) || t.memory.knows(e) {
		return true, nil
	}
	if t.failOn != "" && e.Severity.Rank() >= t.failOn.Rank() {
		t.failed = true
	}
	if t.span.last > 0 {
		t.last = append(t.last, e)
		t.last = t.last[max(0, len(t.last)-t.span.last):]
		return true, nil
	}
	if err := t.print.print(e); err != nil {
		return false, err
	}
	t.told++
	return t.span.first == 0 || t.told < t.span.first, t.memory.told(e)
}

func (t *eventTeller) finish() error {
	for _, e := range t.last {
		if err := t.print.print(e); err != nil {
			return err
		}
	}
	return t.print.close()
}
