package intercept

import (
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// maxLabel bounds a name or type URL that is kept of a resource without a body.
const maxLabel = 16 << 10

// maxWrapped bounds how deep a resource is looked for inside others. Servers send
// one wrapper; what has more is opaque, so that no message makes the stack grow.
const maxWrapped = 8

// shape is what a message is read as.
type shape uint8

const (
	shapeAny      shape = iota // google.protobuf.Any: type_url 1, value 2
	shapeResource              // envoy.service.discovery.v3.Resource: version 1, resource 2, name 3
	shapeValue                 // a resource: its name is field 1 in every type of Envoy's
)

// labeler reads name and type URL out of a resource entry while it streams by.
// It keeps these two and nothing else. An entry it cannot read has no labels:
// the entry is opaque to everybody but the recorder.
type labeler struct {
	shape shape
	depth int
	tok   tokenizer
	sub   *labeler
	field []byte // the string being collected
	skip  bool
	bad   bool
	typ   string
	name  string
}

func newLabeler(s shape, size uint64) *labeler {
	l := &labeler{shape: s}
	l.tok.reset(size)
	return l
}

// inside reads a message inside l's.
func (l *labeler) inside(s shape, size uint64) bool {
	if l.depth == maxWrapped {
		return false
	}
	l.sub = newLabeler(s, size)
	l.sub.depth = l.depth + 1
	return true
}

func (l *labeler) feed(b []byte) {
	for len(b) > 0 && !l.bad {
		tok, n, err := l.tok.next(b)
		if err != nil {
			l.bad = true
			return
		}
		b = b[n:]
		l.token(tok)
	}
}

func (l *labeler) token(tok token) {
	switch {
	case tok.nested:
	case tok.kind == tokBegin:
		l.field, l.sub, l.skip = l.field[:0], nil, false
		if !l.wants(tok) {
			l.skip = true
		}
	case tok.kind == tokData && l.sub != nil:
		l.sub.feed(tok.raw)
		if tok.last {
			l.take(l.sub)
		}
	case tok.kind == tokData && !l.skip:
		if len(l.field)+len(tok.raw) <= maxLabel {
			l.field = append(l.field, tok.raw...)
		}
		if tok.last {
			l.set(tok.num, string(l.field))
		}
	}
}

// wants reports whether the field's content matters, and prepares to read it.
func (l *labeler) wants(tok token) bool {
	switch {
	case l.shape == shapeAny && tok.num == 1, l.shape == shapeResource && tok.num == 3, l.shape == shapeValue && tok.num == 1:
		return true
	case l.shape == shapeResource && tok.num == 2:
		return l.inside(shapeAny, tok.size)
	case l.shape == shapeAny && tok.num == 2:
		inner := shapeValue
		if wrapper(l.typ) {
			inner = shapeResource
		}
		return l.inside(inner, tok.size)
	}
	return false
}

func (l *labeler) set(num int, s string) {
	if l.shape == shapeAny && num == 1 {
		l.typ = s
		return
	}
	l.name = s
}

// take adopts what the inner message told. The name around a resource wins over
// the one inside.
func (l *labeler) take(sub *labeler) {
	switch {
	case l.shape == shapeResource:
		l.typ = sub.typ
		if l.name == "" {
			l.name = sub.name
		}
	case sub.shape == shapeResource:
		l.name, l.typ = sub.name, sub.typ
	case named(l.typ):
		l.name = sub.name
	}
}

// labels returns what was seen so far.
func (l *labeler) labels() (name, typ string) {
	if l.sub != nil {
		_, _ = l.sub.labels()
		l.take(l.sub)
	}
	return l.name, l.typ
}

// labelsOf reads an entry that is at hand.
func labelsOf(s shape, b []byte) (name, typ string) {
	l := labeler{shape: s}
	l.tok.reset(uint64(len(b)))
	l.feed(b)
	return l.labels()
}

// guessShape tells an Any from a discovery Resource when the protocol variant is
// not known: an Any begins with a type URL.
func guessShape(b []byte) shape {
	first := false
	_ = eachField(b, func(num int, c []byte) {
		if num == 1 && strings.HasPrefix(string(c), xds.TypePrefix) {
			first = true
		}
	})
	if first {
		return shapeAny
	}
	return shapeResource
}

func wrapper(typ string) bool { return typ == xds.ResourceWrapper || typ == xds.ResourceWrapper2 }

// named reports whether field 1 of the type is the resource's name.
func named(typ string) bool {
	switch xds.Canonical(typ) {
	case xds.ListenerType, xds.ClusterType, xds.RouteType, xds.EndpointType, xds.SecretType, xds.ScopedRouteType,
		xds.VirtualHostType, xds.ExtensionType, xds.RuntimeType:
		return true
	}
	return false
}
