package record

import (
	"cmp"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// staged is a key that becomes known once the Log has taken the body.
type staged struct {
	key   xds.Key
	delta bool
	entry xds.Entry
}

// entry turns one chunk into an Entry, and adds the body and the key to it.
func (r *Recorder) entry(c xds.Chunk, delta bool, it *item) (xds.Entry, error) {
	switch c.State {
	case xds.ChunkBodyless:
		return xds.Entry{Name: c.Name, State: xds.EntryBodyless, Size: c.Size}, nil
	case xds.ChunkTooLarge:
		return xds.Entry{Name: c.Name, State: xds.EntryTooLarge, Digest: c.Sum, Size: c.Size}, nil
	}
	known, ok := r.known.get(c.Key, delta)
	if ok && r.cfg.Log.Has(known.Digest) {
		return known, nil
	}
	if c.State == xds.ChunkKnown { // evicted since the observer asked; known may still have its name
		return xds.Entry{Name: cmp.Or(c.Name, known.Name), State: xds.EntryBodyless, Size: c.Size}, nil
	}
	e, body, err := r.parseEntry(c.Raw, delta)
	if err != nil || e.State != xds.EntryBody {
		return e, err
	}
	b := xds.NewBody(body)
	e.Digest, e.Size = b.Digest, len(body)
	if !r.cfg.Log.Has(b.Digest) {
		it.bodies = append(it.bodies, b)
	}
	if c.Key != (xds.Key{}) {
		it.keys = append(it.keys, staged{key: c.Key, delta: delta, entry: e})
	}
	return e, nil
}

func (r *Recorder) parseEntry(raw []byte, delta bool) (xds.Entry, []byte, error) {
	if delta {
		return r.wrapper(raw)
	}
	typ, value, err := parseAny(raw)
	if err != nil {
		return xds.Entry{}, nil, err
	}
	if typ == xds.ResourceWrapper || typ == xds.ResourceWrapper2 {
		e, body, err := r.wrapper(value)
		e.Wrapped = true
		return e, body, err
	}
	body := r.red.any(raw)
	if _, value, err = parseAny(body); err != nil {
		return xds.Entry{}, nil, err
	}
	// Of what is kept: a resource that was replaced as a whole, because it could not
	// be searched, has no name when it is read again.
	return xds.Entry{Name: innerName(typ, value)}, body, nil
}

// wrapper reads a discovery Resource.
func (r *Recorder) wrapper(raw []byte) (xds.Entry, []byte, error) {
	e := xds.Entry{State: xds.EntryEmpty}
	var rest ordered
	var body []byte
	var other string
	err := each(raw, func(f field) error {
		switch {
		case !f.bytes():
			rest.raw(f)
		case f.num == wrapVersion:
			e.Version = string(f.val)
		case f.num == wrapResource:
			body, e.State = f.val, xds.EntryBody
		case f.num == wrapName:
			e.Name = string(f.val)
		case f.num == wrapAliases:
			e.Aliases = append(e.Aliases, string(f.val))
		case f.num == wrapTTL:
			if d, ok := duration(f.val); ok {
				e.TTL = d
			} else {
				rest.raw(f)
			}
		default:
			if f.num == wrapResourceName {
				other = firstString(f.val)
			}
			rest.raw(f)
		}
		return nil
	})
	if err != nil {
		return e, nil, err
	}
	e.Rest = r.red.message("envoy.service.discovery.v3.Resource", rest.encode())
	if e.Name == "" {
		e.Name = other
	}
	if e.State == xds.EntryEmpty {
		return e, nil, nil
	}
	typ, value, err := parseAny(body)
	if e.Name == "" && err == nil {
		e.Name = innerName(typ, value)
	}
	return e, r.red.any(body), err
}

func parseAny(b []byte) (typ string, value []byte, err error) {
	err = each(b, func(f field) error {
		switch {
		case f.num == anyType && f.bytes():
			typ = string(f.val)
		case f.num == anyValue && f.bytes():
			value = f.val
		}
		return nil
	})
	return typ, value, err
}

// innerName reads the name that a resource carries itself. In every type that has
// one it is field 1 (cluster_name in ClusterLoadAssignment).
func innerName(typ string, value []byte) string {
	switch xds.Canonical(typ) {
	case xds.ListenerType, xds.ClusterType, xds.RouteType, xds.ScopedRouteType, xds.VirtualHostType,
		xds.EndpointType, xds.SecretType, xds.ExtensionType, xds.RuntimeType:
		return firstString(value)
	}
	return ""
}

func firstString(b []byte) string {
	name, found := "", false
	_ = each(b, func(f field) error {
		if f.num == 1 && f.bytes() && !found {
			name, found = strings.ToValidUTF8(string(f.val), "\uFFFD"), true
		}
		return nil
	})
	return name
}
