package query

import (
	"github.com/xdsproxy/xdsproxy/pkg/filter"
)

// Chosen reports whether a filter chooses the line of a sidecar that is displayed
// so: by what the push is and changed, together with one of its events.
func (l *Line) Chosen(f filter.Filter, display string) bool {
	if f.Empty() {
		return true
	}
	push := l.facts(display)
	if len(l.Events) == 0 {
		return f.Match(push)
	}
	for _, e := range l.Events {
		if f.Match(push.And(filter.OfEvent(e))) {
			return true
		}
	}
	return false
}

// facts is what the push itself tells.
func (l *Line) facts(display string) filter.Facts {
	var f filter.Facts
	f.Sidecar(display)
	if l.IsPush() {
		f.Types = append(f.Types, l.Push.Type)
	}
	for _, c := range l.Changes {
		f.Resource(c.Type, c.Name)
	}
	return f
}
