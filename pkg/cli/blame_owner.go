package cli

import (
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// blameOwners says whose object brought the fields of a resource with each push:
// that of the clusters that these fields name, or that the route configurations lead
// to which they name, else of the resource's own cluster.
type blameOwners struct {
	byPush map[uint64]*xds.Owner
	own    *xds.Owner
}

func (o blameOwners) of(b query.Blamed) *xds.Owner {
	if x, ok := o.byPush[b.By.First]; ok {
		return x
	}
	return o.own
}

// ownersOf looks at what the sidecar was offered right after each of the pushes.
func (s *source) ownersOf(id xds.Sidecar, values []query.Blamed) (blameOwners, error) {
	out := blameOwners{byPush: map[uint64]*xds.Owner{}}
	var revs []query.Revision
	for _, b := range values {
		if r := query.AtPush(b.By.First); b.By.First > 0 && !slices.Contains(revs, r) {
			revs = append(revs, r)
		}
	}
	points, err := s.read.AtMany(id, revs)
	if err := s.partial(err); err != nil {
		return out, err
	}
	for i, p := range points {
		if p.Err != nil {
			continue
		}
		// The cluster may come later in the same group: the last view knows it.
		view := s.read.View(p.Point, query.Offered)
		if i == 0 {
			out.own = ownOwner(view, values[0].By)
		}
		o := namedOwner(view, values, p.Push)
		if o == nil {
			o = s.routedOwner(p.Point, view, values, p.Push)
		}
		if o != nil {
			out.byPush[p.Push] = o
		}
	}
	return out, nil
}

// routedOwner is the one owner of all clusters in the route configurations that the
// push's values name, nil where there are several.
func (s *source) routedOwner(p query.Point, view *traffic.View, values []query.Blamed, push uint64) *xds.Owner {
	var one *xds.Owner
	for _, b := range values {
		if b.By.First != push || b.Steps[len(b.Steps)-1] != "route_config_name" {
			continue
		}
		d, _ := p.View.Offered.Lookup(xds.RouteType, b.Value)
		for _, ref := range s.read.Engine().Refs(xds.RouteType, d) {
			o := view.Owner(xds.Verdict{Cluster: ref.Name})
			if o != nil && one != nil && *o != *one {
				return nil
			}
			if o != nil {
				one = o
			}
		}
	}
	return one
}

// ownOwner is the owner of a cluster or of an assignment, which have a cluster's
// name.
func ownOwner(view *traffic.View, v query.Version) *xds.Owner {
	if v.Type != xds.ClusterType && v.Type != xds.EndpointType {
		return nil
	}
	return view.Owner(xds.Verdict{Cluster: v.Name})
}

// namedOwner is the owner of the first cluster that a value of the push names, nil
// where none has one.
func namedOwner(view *traffic.View, values []query.Blamed, push uint64) *xds.Owner {
	for _, b := range values {
		if b.By.First != push || !namesCluster(b) {
			continue
		}
		if o := view.Owner(xds.Verdict{Cluster: b.Value}); o != nil {
			return o
		}
	}
	return nil
}

// namesCluster reports whether a value is the name of a cluster that traffic goes
// to: tcp_proxy, routes and weighted clusters call the field so.
func namesCluster(b query.Blamed) bool {
	last := b.Steps[len(b.Steps)-1]
	return last == "cluster" || last == "name" && slices.Contains(b.Steps, "clusters")
}
