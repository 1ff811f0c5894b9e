package replay

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	xdsv3 "github.com/cncf/xds/go/xds/type/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// typesOf is the message type in an Any, and the one inside it where it only carries
// another (TypedStruct).
func typesOf(a *anypb.Any) []string {
	if a == nil || a.GetTypeUrl() == "" {
		return nil
	}
	name := func(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }
	out := []string{name(a.GetTypeUrl())}
	if strings.HasSuffix(out[0], ".TypedStruct") {
		ts := new(xdsv3.TypedStruct) // udpa.type.v1.TypedStruct has the same fields
		if a := (&anypb.Any{TypeUrl: "type.googleapis.com/xds.type.v3.TypedStruct", Value: a.GetValue()}); a.UnmarshalTo(ts) == nil {
			return []string{name(ts.GetTypeUrl())}
		}
	}
	return out
}

var notThere = regexp.MustCompile(`Didn't find a registered( \S+)? implementation for '([^']*)'(?: with type URL: '([^']*)')?`)

// lackedBy reads from the words of a rejection which extensions the client lacks
// (source/common/config/utility.h).
func lackedBy(message string) []string {
	var out []string
	for _, m := range notThere.FindAllStringSubmatch(message, -1) {
		n := m[2]
		if n == "" {
			n = m[3]
		}
		if n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// can is what a client says it has.
type can struct{ names, types map[string]bool }

// canDo reads the list that Envoy sends with its node; nil where there is none.
func canDo(n *corev3.Node) *can {
	if len(n.GetExtensions()) == 0 {
		return nil
	}
	c := &can{names: map[string]bool{}, types: map[string]bool{}}
	for _, x := range n.GetExtensions() {
		c.names[x.GetName()] = true
		for _, t := range x.GetTypeUrls() {
			c.types[t] = true
		}
	}
	return c
}

// lacks lists the filters in a resource that the client does not have: neither their
// type nor, where that says nothing, their name.
func (c *can) lacks(m protoreflect.Message) []string {
	var out []string
	walk(m, func(x protoreflect.Message) {
		if !filter(x) {
			return
		}
		name := x.Get(x.Descriptor().Fields().ByName("name")).String()
		a, _ := x.Get(x.Descriptor().Fields().ByName("typed_config")).Message().Interface().(*anypb.Any)
		if !c.has(name, a) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	})
	return out
}

func (c *can) has(name string, a *anypb.Any) bool {
	if c.names[name] {
		return true
	}
	for _, t := range typesOf(a) {
		if c.types[t] || c.types[decode.TypeName(t)] {
			return true
		}
	}
	return len(typesOf(a)) == 0 // by discovery, or by a form that this list does not tell
}

// filter reports whether a message configures a filter by name and type.
func filter(m protoreflect.Message) bool {
	switch m.Descriptor().FullName() {
	case "envoy.config.listener.v3.Filter", "envoy.config.listener.v3.ListenerFilter", "envoy.config.cluster.v3.Filter",
		"envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter", "envoy.config.accesslog.v3.AccessLog":
		return true
	}
	return false
}

// walk visits a message and all inside it, messages in messages opened.
func walk(m protoreflect.Message, visit func(protoreflect.Message)) {
	if a, ok := m.Interface().(*anypb.Any); ok {
		if x, err := decode.Any(a); err == nil && a.GetTypeUrl() != "" {
			walk(x.ProtoReflect(), visit)
		}
		return
	}
	visit(m)
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap() && fd.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, x protoreflect.Value) bool { walk(x.Message(), visit); return true })
		case fd.IsMap():
		case fd.IsList() && fd.Message() != nil:
			for i := range v.List().Len() {
				walk(v.List().Get(i).Message(), visit)
			}
		case fd.IsList():
		case fd.Message() != nil:
			walk(v.Message(), visit)
		}
		return true
	})
}

// lacked lists the filters that the range needs and a client does not have, sorted.
func (p *Plan) lacked(c *can, b *Bodies) []string {
	found := map[string]bool{}
	p.each(func(d xds.Digest) {
		if m := b.recorded(d); m != nil {
			for _, n := range c.lacks(m.ProtoReflect()) {
				found[n] = true
			}
		}
	})
	return slices.Sorted(maps.Keys(found))
}

// each visits every body of the range once.
func (p *Plan) each(visit func(xds.Digest)) {
	seen := map[xds.Digest]bool{{}: true, xds.Bodyless: true}
	once := func(d xds.Digest) {
		if !seen[d] {
			seen[d] = true
			visit(d)
		}
	}
	for _, typ := range p.Base.Types() {
		for _, d := range p.Base.snapshot(typ).All(typ) {
			once(d)
		}
	}
	for _, s := range p.Steps {
		for _, e := range s.Push.Resources {
			once(e.Digest)
		}
	}
}
