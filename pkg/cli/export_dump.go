package cli

import (
	"errors"
	"io"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/configdump"
	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// exportDump writes what one sidecar held at a revision as Envoy's config_dump.
func exportDump(app *App, src *source, o exportOptions, args []string) error {
	rev, err := query.ParseRevision(o.at)
	if err != nil {
		return revisionFailure(err)
	}
	id, err := src.sidecar(args)
	if err != nil {
		return err
	}
	p, err := src.at(id, rev)
	if err != nil {
		return err
	}
	for _, u := range p.Uncertain() {
		app.Warn("uncertain: %s", u)
	}
	c, err := src.content(p)
	if err != nil {
		return err
	}
	b, err := configdump.Write(c, anyResolver{})
	if err != nil {
		return err
	}
	return writeOutput(app, o.out, func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	})
}

// content collects what the dump tells.
func (s *source) content(p query.Point) (configdump.Content, error) {
	stamps, err := s.read.Stamps(p)
	if err := s.partial(err); err != nil {
		return configdump.Content{}, err
	}
	c := configdump.Content{Node: s.read.Node(p.View.Node), Static: s.env.Static, Versions: stamps.Types}
	for _, typ := range p.View.Active.Types() {
		for name, d := range p.View.Active.All(typ) {
			if r, ok := s.dumped(stamps, typ, name, d); ok {
				c.Active = append(c.Active, r)
			}
		}
	}
	for _, w := range p.View.Warming {
		d, _ := p.View.Accepted.Lookup(w.Type, w.Name)
		if r, ok := s.dumped(stamps, xds.Canonical(w.Type), w.Name, d); ok {
			c.Warming = append(c.Warming, r)
		}
	}
	for _, r := range p.View.Rejected {
		c.Rejected = append(c.Rejected, configdump.Refused{Type: r.Type, Name: r.Name, Message: r.Message, Time: r.Since})
	}
	return c, nil
}

// dumped is one resource with its bytes; what was not recorded is told and left out.
func (s *source) dumped(stamps query.Stamps, typ, name string, d xds.Digest) (configdump.Resource, bool) {
	b, ok, err := s.Body(d)
	body := new(anypb.Any)
	if err == nil && ok {
		err = proto.Unmarshal(b, body)
	}
	if err != nil || !ok {
		s.app.Warn("%s %s: %v", xds.ShortType(typ), name, errors.Join(err, notRecorded(ok)))
		return configdump.Resource{}, false
	}
	st := stamps.Resources[state.Ref{Type: typ, Name: name}]
	return configdump.Resource{Type: typ, Name: name, Version: st.Version, Updated: st.Time, Body: body}, true
}

func notRecorded(ok bool) error {
	if ok {
		return nil
	}
	return errors.New("body not recorded")
}
