package diff

import (
	"encoding/json"
	"iter"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Place is where a value of a resource stands, step by step, as in the paths of
// Field. It is valid until the next value.
type Place struct{ steps []string }

// String is the path: filter_chains[match=all].filters[tcp_proxy].cluster.
func (p Place) String() string { return JoinSteps(p.steps) }

// Steps is the path in its steps: names of fields, and keys of lists and maps in
// [ ]. It stays as it is.
func (p Place) Steps() []string { return slices.Clone(p.steps) }

// JoinSteps writes the steps of a path as one.
func JoinSteps(steps []string) string {
	var b strings.Builder
	for i, s := range steps {
		if i > 0 && s[0] != '[' {
			b.WriteByte('.')
		}
		b.WriteString(s)
	}
	return b.String()
}

// Field is the name of the last field of the path, without the keys behind it.
func (p Place) Field() string {
	for i := len(p.steps) - 1; i >= 0; i-- {
		if p.steps[i][0] != '[' {
			return p.steps[i]
		}
	}
	return ""
}

// Leaves goes through every value of a resource, in the order of its fields, what
// Any and Struct hold included. Values are whole, lists of scalars one value. Errors
// are those of decode.Cache.Message.
func (d *Differ) Leaves(typ string, dg xds.Digest) (iter.Seq2[Place, string], error) {
	m, err := d.message(dg)
	if err != nil {
		return nil, err
	}
	return func(yield func(Place, string) bool) {
		l := lister{keys: tables[xds.Canonical(typ)], yield: yield}
		l.message(m.ProtoReflect())
	}, nil
}

// lister walks one message. Its methods return false when nobody wants more.
type lister struct {
	keys  table
	yield func(Place, string) bool
	steps []string
	deep  int // how many Any are open
}

func (l *lister) value(text string) bool { return l.yield(Place{l.steps}, text) }

// at does something one step deeper.
func (l *lister) at(step string, do func() bool) bool {
	l.steps = append(l.steps, step)
	more := do()
	l.steps = l.steps[:len(l.steps)-1]
	return more
}

func (l *lister) message(m protoreflect.Message) bool {
	if leaf(m.Descriptor()) {
		return l.leaf(m)
	}
	fields, empty := m.Descriptor().Fields(), true
	for i := range fields.Len() {
		f := fields.Get(i)
		if !m.Has(f) {
			continue
		}
		empty = false
		if !l.field(f, m) {
			return false
		}
	}
	if u := m.GetUnknown(); len(u) > 0 {
		return l.at("(unknown fields)", func() bool { return l.value(size(u)) })
	}
	return !empty || l.value("{}")
}

func (l *lister) field(f protoreflect.FieldDescriptor, m protoreflect.Message) bool {
	v := m.Get(f)
	if a, ok := anyIn(f, v); ok {
		return l.any(string(f.Name()), a)
	}
	return l.at(string(f.Name()), func() bool {
		switch {
		case f.IsMap():
			return l.maps(f, v.Map())
		case f.IsList():
			return l.list(f, v.List())
		}
		return l.elem(f, v)
	})
}

func anyIn(f protoreflect.FieldDescriptor, v protoreflect.Value) (*anypb.Any, bool) {
	if f.Message() == nil || f.IsList() || f.IsMap() {
		return nil, false
	}
	a, ok := v.Message().Interface().(*anypb.Any)
	return a, ok
}

// any lists the type under its field, and what is inside as fields of the message
// that holds the Any: an Any that opens is no step of a path.
func (l *lister) any(step string, a *anypb.Any) bool {
	if !l.at(step, func() bool { return l.value(a.GetTypeUrl()) }) {
		return false
	}
	m, err := decode.Any(a)
	if err != nil || l.deep >= maxDeep {
		return l.at(step, func() bool { return l.value(size(a.GetValue())) })
	}
	if len(a.GetValue()) == 0 {
		return true
	}
	l.deep++
	defer func() { l.deep-- }()
	return l.message(m.ProtoReflect())
}

func (l *lister) elem(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
	if f.Message() != nil {
		return l.message(v.Message())
	}
	return l.value(scalar(f, v))
}

func (l *lister) leaf(m protoreflect.Message) bool {
	switch x := m.Interface().(type) {
	case *anypb.Any:
		return l.any("[type]", x)
	case *structpb.Struct:
		return l.structs(x)
	case *structpb.Value:
		return l.structValue(x)
	}
	b, err := protojson.Marshal(m.Interface())
	if err != nil {
		return l.value("(not readable)")
	}
	return l.value(strings.Trim(string(b), `"`))
}

func (l *lister) structs(s *structpb.Struct) bool {
	for _, k := range union(s.GetFields(), nil) {
		if !l.at("["+k+"]", func() bool { return l.structValue(s.GetFields()[k]) }) {
			return false
		}
	}
	return true
}

func (l *lister) structValue(v *structpb.Value) bool {
	switch x := v.GetKind().(type) {
	case *structpb.Value_StructValue:
		return l.structs(x.StructValue)
	case *structpb.Value_StringValue:
		return l.value(x.StringValue)
	}
	b, err := json.Marshal(v.AsInterface())
	if err != nil {
		return l.value("(not readable)")
	}
	return l.value(string(b))
}

func (l *lister) list(f protoreflect.FieldDescriptor, list protoreflect.List) bool {
	if f.Message() == nil {
		return l.value(strings.Join(texts(f, list), ", "))
	}
	k := l.keys[f.FullName()]
	var keys []string
	if k.key != nil || k.set {
		keys = keysOf(k, list)
	}
	for i := range list.Len() {
		step := "[" + strconv.Itoa(i) + "]"
		if keys != nil {
			step = "[" + keys[i] + "]"
		}
		if !l.at(step, func() bool { return l.message(list.Get(i).Message()) }) {
			return false
		}
	}
	return true
}

func (l *lister) maps(f protoreflect.FieldDescriptor, m protoreflect.Map) bool {
	keys := map[string]protoreflect.MapKey{}
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys[k.String()] = k
		return true
	})
	for _, name := range union(keys, nil) {
		if !l.at("["+name+"]", func() bool { return l.elem(f.MapValue(), m.Get(keys[name])) }) {
			return false
		}
	}
	return true
}
