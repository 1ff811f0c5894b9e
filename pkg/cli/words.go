package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// verdictText is a verdict in a few words: kind (why) cluster.
func verdictText(v xds.Verdict) string {
	s := string(v.Kind)
	var notes []string
	for _, n := range []string{v.Reason, v.Target, v.Transport} {
		if n != "" {
			notes = append(notes, n)
		}
	}
	if v.Inspection != "" && v.Inspection != "none" {
		notes = append(notes, v.Inspection)
	}
	if v.Status > 0 {
		notes = append(notes, fmt.Sprintf("status %d", v.Status))
	}
	if v.PortOverride > 0 {
		notes = append(notes, fmt.Sprintf("port %d", v.PortOverride))
	}
	if len(notes) > 0 {
		s += " (" + strings.Join(notes, ", ") + ")"
	}
	return strings.TrimSpace(s + " " + clustersText(v))
}

func clustersText(v xds.Verdict) string {
	if len(v.Clusters) == 0 {
		return v.Cluster
	}
	var legs []string
	for _, c := range v.Clusters {
		legs = append(legs, fmt.Sprintf("%s %d", c.Name, c.Weight))
	}
	return strings.Join(legs, ", ")
}

// classText is a class of signals in a few words; "any" for all.
func classText(c *xds.Class) string {
	if c == nil || c.Kind == "" {
		return "any"
	}
	s := string(c.Kind)
	for _, part := range []struct {
		word string
		list []string
	}{
		{" to ", c.SNI}, {" not to ", c.SNINot}, {" to ", c.Hosts}, {" not to ", c.HostsNot},
		{" alpn ", c.ALPN}, {" alpn not ", c.ALPNNot},
	} {
		if len(part.list) > 0 {
			s += part.word + shortList(part.list, 3)
		}
	}
	if c.Guard != "" {
		s += " if " + c.Guard
	}
	return s
}

// shortList joins the first n of a list and counts the rest.
func shortList(list []string, n int) string {
	if len(list) <= n {
		return strings.Join(list, ",")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:n], ","), len(list)-n)
}

// latency rounds a duration for display: 14ms, 1.2s.
func latency(d time.Duration) string {
	switch {
	case d < 0:
		return "0ms"
	case d < time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// age is a duration as people say it: 12s, 5m, 3h, 2d.
func age(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
