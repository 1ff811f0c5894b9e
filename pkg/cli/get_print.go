package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// resource is one object that a sidecar holds.
type resource struct {
	name   string
	digest xds.Digest // zero: of the bootstrap, or inline
	msg    proto.Message
}

// GetList is what `get -o json` and `-o yaml` print.
type GetList struct {
	APIVersion string            `json:"apiVersion"`
	Sidecar    string            `json:"sidecar"`
	At         string            `json:"at"`
	Kind       string            `json:"kind"`
	Items      []json.RawMessage `json:"items"`
}

// resources decodes what a sidecar holds of a type, and adds what no push
// brings: the bootstrap's clusters and listeners, routes inside listeners.
func (s *source) resources(p query.Point, w query.Which, typ string) []resource {
	var out []resource
	for name, d := range p.Snapshot(w).All(typ) {
		m, err := s.read.Cache().Message(d)
		switch {
		case errors.Is(err, decode.ErrNoBody):
			s.app.Warn("%s %s: body not recorded", xds.ShortType(typ), name)
		case err != nil:
			s.app.Warn("%s %s: %v", xds.ShortType(typ), name, err)
		default:
			out = append(out, resource{name, d, m})
		}
	}
	for _, m := range s.env.Static {
		if n, ok := staticOf(m, typ); ok {
			out = append(out, resource{name: n, msg: m})
		}
	}
	if typ == xds.EndpointType {
		for name, m := range s.env.Resolved {
			out = append(out, resource{name: name, msg: m})
		}
	}
	if typ == xds.RouteType {
		for _, l := range s.resources(p, w, xds.ListenerType) {
			out = append(out, inlineRoutes(l.msg)...)
		}
	}
	return out
}

func staticOf(m proto.Message, typ string) (string, bool) {
	switch m := m.(type) {
	case *clusterv3.Cluster:
		return m.GetName(), typ == xds.ClusterType
	case *listenerv3.Listener:
		return m.GetName(), typ == xds.ListenerType
	}
	return "", false
}

func inlineRoutes(m proto.Message) []resource {
	l, ok := m.(*listenerv3.Listener)
	if !ok {
		return nil
	}
	var out []resource
	for _, fc := range chains(l) {
		for _, f := range fc.GetFilters() {
			if hcm, ok := filterConfig(f).(*hcmv3.HttpConnectionManager); ok && hcm.GetRouteConfig() != nil {
				out = append(out, resource{name: hcm.GetRouteConfig().GetName(), msg: hcm.GetRouteConfig()})
			}
		}
	}
	return slices.DeleteFunc(out, func(r resource) bool { return len(r.msg.(*routev3.RouteConfiguration).GetVirtualHosts()) == 0 })
}

func printGet(app *App, src *source, p query.Point, k getKind, o getOptions, found []resource, view kindView) error {
	if machine(o.output) {
		return printGetList(app, src, p, k, o.output, found)
	}
	if o.output == FormatShort {
		for _, r := range found {
			if _, err := fmt.Fprintln(app.Stdout, r.name); err != nil {
				return err
			}
		}
		return nil
	}
	t := &Table{Width: app.Width(), Gap: 1}
	wide := widener(src, p, k, o)
	t.Row(wide.header(view.header())...)
	for _, r := range found {
		for _, row := range view.rows(r.msg) {
			t.Row(wide.row(r, row)...)
		}
	}
	_, err := t.WriteTo(app.Stdout)
	return err
}

func printGetList(app *App, src *source, p query.Point, k getKind, f Format, found []resource) error {
	list := GetList{APIVersion: xds.APIVersion, Sidecar: src.label(p.Sidecar), At: p.Revision.String(), Kind: k.noun, Items: []json.RawMessage{}}
	for _, r := range found {
		b, err := messageJSON(r.msg)
		if err != nil {
			return fmt.Errorf("printing %s %s: %w", k.noun, r.name, err)
		}
		list.Items = append(list.Items, b)
	}
	return Emit(app.Stdout, f, list)
}

// messageJSON is a message as Envoy's own documentation writes it. protojson
// varies its spaces on purpose; the result does not.
func messageJSON(m proto.Message) (json.RawMessage, error) {
	b, err := protojson.MarshalOptions{UseProtoNames: true, Resolver: anyResolver{}}.Marshal(m)
	if err != nil {
		return nil, err
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}
