package judge

import (
	"fmt"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// armedNACKs finds rejections that still stand: what runs is not what the control
// plane believes, and a restart brings that to light.
func armedNACKs(c *stateCheck) []Finding {
	var out []Finding
	for _, r := range c.Rejected {
		f := Finding{Resource: &xds.Resource{Type: r.Type, Name: r.Name}, Message: r.Message}
		f.Severity = nackSeverity(Fact{Resource: *f.Resource})
		f.Owner = c.rejectedOwner(r)
		what := fmt.Sprintf("%s %s of push #%d", xds.ShortType(r.Type), r.Name, r.Push)
		if r.Name == "" {
			what = fmt.Sprintf("%s push #%d", xds.ShortType(r.Type), r.Push)
		}
		if r.Push == 0 {
			what = xds.ShortType(r.Type) + " " + r.Name
		}
		f.Summary = fmt.Sprintf("%s is rejected (%s): %s", what, firstLine(r.Message), c.meanwhile(r))
		f.Remedies = c.nackRemedies(f, r)
		out = append(out, f)
	}
	return out
}

// meanwhile says what runs instead.
func (c *stateCheck) meanwhile(r state.Rejection) string {
	if r.Name == "" {
		return "what it brought is not in force"
	}
	if _, ok := c.Accepted.Lookup(xds.Canonical(r.Type), r.Name); ok {
		return "an older version is in force, and a restart ends that"
	}
	return "it is not in force at all"
}

func (c *stateCheck) rejectedOwner(r state.Rejection) *xds.Owner {
	if xds.Canonical(r.Type) != xds.ClusterType {
		return nil
	}
	return ask(c.View, xds.Verdict{Cluster: r.Name})
}

func (c *stateCheck) nackRemedies(f Finding, r state.Rejection) []xds.Remedy {
	e := xds.Event{Kind: xds.EvNACK, Sidecar: c.in.name(), Push: push(r.Push), Resource: f.Resource, Message: f.Message}
	return c.in.remedies(e, xds.Shift{}, declared)
}
