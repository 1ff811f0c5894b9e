package judge

import (
	"fmt"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// factRule makes an event of one kind of fact: how bad it is and how it reads.
type factRule struct {
	severity func(Fact) xds.Severity
	sentence func(Fact) string
}

// facts is the table of protocol facts. Standing has its own way (standing.go).
var facts = map[xds.EventKind]factRule{
	xds.EvNACK:        {nackSeverity, nackSentence},
	xds.EvNACKCleared: {flat(xds.Info), clearedSentence},
	xds.EvUnanswered:  {flat(xds.Medium), unansweredSentence},
	xds.EvDetached:    {flat(xds.Medium), detachedSentence},
	xds.EvGap:         {flat(xds.Low), gapSentence},
}

func flat(s xds.Severity) func(Fact) xds.Severity { return func(Fact) xds.Severity { return s } }

// nackSeverity: a listener or a cluster that Envoy holds in an older version
// than was offered decides over traffic, now or at its next start.
func nackSeverity(f Fact) xds.Severity {
	switch xds.Canonical(f.Resource.Type) {
	case xds.ListenerType, xds.ClusterType:
		return xds.High
	}
	return xds.Medium
}

func (in Input) factEvents() []xds.Event {
	var out []xds.Event
	var standing []Fact
	for _, f := range in.Facts {
		if f.Kind == xds.EvStanding && f.Shift != nil {
			standing = append(standing, f)
		} else if r, ok := facts[f.Kind]; ok {
			out = append(out, in.factEvent(f, r))
		}
	}
	return append(out, in.standingEvents(standing)...)
}

func (in Input) factEvent(f Fact, r factRule) xds.Event {
	e := in.event(f.Kind, f.Push)
	e.Severity, e.Summary, e.Message, e.Count = r.severity(f), r.sentence(f), f.Message, f.Count
	if f.Resource != (xds.Resource{}) {
		res := f.Resource
		e.Resource = &res
	}
	in.stamp(&e, f.Resource.Type, f.Resource.Name, f.Message, e.Push)
	e.Group = hash16(strings.Join([]string{string(f.Kind), f.Resource.Type, f.Resource.Name, f.Message}, "\x00"))
	e.Remedies = in.remedies(e, xds.Shift{}, declared)
	return e
}

func nackSentence(f Fact) string {
	return fmt.Sprintf("%s rejected%s and not in force: %s", what(f), times(f.Count), firstLine(f.Message))
}

func clearedSentence(f Fact) string {
	return fmt.Sprintf("%s accepted again%s", what(f), after(f))
}

func unansweredSentence(f Fact) string {
	return fmt.Sprintf("%s push %s has had no answer for %s: the sidecar may be warming it, or stuck", xds.ShortType(f.Resource.Type), push(f.Push.Number), f.For)
}

func detachedSentence(f Fact) string {
	s := fmt.Sprintf("no stream to the control plane for %s: the sidecar keeps what push %s left it with", f.For, push(f.Push.Number))
	if f.Message != "" {
		s += " (" + firstLine(f.Message) + ")"
	}
	return s
}

func gapSentence(f Fact) string {
	s := "history is missing here: " + firstLine(f.Message)
	if f.Count > 0 {
		s += fmt.Sprintf(" (%d messages)", f.Count)
	}
	return s
}

// what names a rejected resource, or the whole response.
func what(f Fact) string {
	t := xds.ShortType(f.Resource.Type)
	if f.Resource.Name == "" {
		return fmt.Sprintf("%s push %s", t, push(f.Push.Number))
	}
	return fmt.Sprintf("%s %s of push %s", t, f.Resource.Name, push(f.Push.Number))
}

func times(n uint64) string {
	if n < 2 {
		return ""
	}
	return fmt.Sprintf(" (%d times)", n)
}

// after tells of the rejections and not of the time: what is said of a history
// must not depend on how fast its parts arrived.
func after(f Fact) string {
	if f.Count > 1 {
		return fmt.Sprintf(" after %d rejections", f.Count)
	}
	return ""
}

// firstLine keeps a sentence on one line and of readable length.
func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	s = strings.Join(strings.Fields(s), " ")
	const most = 200
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	if s == "" {
		return "no reason given"
	}
	return s
}
