package cli

import (
	"fmt"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// wideColumns adds SINCE (the push that brought the resource as it is) and OWNER
// to the columns of -o wide.
type wideColumns struct {
	on    bool
	since map[string]uint64 // resource name -> push
	owner func(resource, []string) string
}

func widener(src *source, p query.Point, k getKind, o getOptions) wideColumns {
	if o.output != FormatWide {
		return wideColumns{}
	}
	since, err := src.read.Since(p, o.which.which(), k.typ)
	src.broke(err)
	view := src.read.View(p, query.Offered) // a cluster that is warming tells its owner too
	return wideColumns{on: true, since: since, owner: func(r resource, row []string) string {
		name := r.name
		if _, ok := r.msg.(*listenerv3.Listener); ok {
			name = clusterIn(row)
		}
		return ownerText(view.Owner(xds.Verdict{Cluster: name}))
	}}
}

// clusterIn finds the cluster in the destination column of a listener's row.
func clusterIn(row []string) string {
	dest := row[len(row)-1]
	if name, ok := strings.CutPrefix(dest, "Cluster: "); ok {
		return name
	}
	return ""
}

func (w wideColumns) header(h []string) []string {
	if !w.on {
		return h
	}
	return append(h, "SINCE", "OWNER")
}

func (w wideColumns) row(r resource, row []string) []string {
	if !w.on {
		return row
	}
	since := "-"
	if n, ok := w.since[r.name]; ok && !r.digest.IsZero() {
		since = fmt.Sprintf("#%d", n)
	}
	return append(row, since, dash(w.owner(r, row)))
}
