package diff

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
)

// walker compares two messages field by field and collects what differs.
type walker struct {
	keys table
	out  []Field
	deep int // how many Any are open
}

// maxDeep is how many Any inside each other are opened. Real resources nest
// four or five; what nests deeper is compared as bytes.
const maxDeep = 32

func (w *walker) add(path, from, to string) { w.out = append(w.out, Field{path, from, to}) }

// message compares two messages of one type.
func (w *walker) message(path string, a, b protoreflect.Message) {
	if leaf(a.Descriptor()) {
		w.leaf(path, a, b)
		return
	}
	if a.Descriptor().FullName() != b.Descriptor().FullName() {
		w.add(path, string(a.Descriptor().FullName()), string(b.Descriptor().FullName()))
		return
	}
	fields := a.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if a.Has(f) || b.Has(f) {
			w.field(path, f, a, b)
		}
	}
	if !bytes.Equal(a.GetUnknown(), b.GetUnknown()) {
		w.add(join(path, "(unknown fields)"), size(a.GetUnknown()), size(b.GetUnknown()))
	}
}

// leaf: messages that are one value to a reader.
func leaf(d protoreflect.MessageDescriptor) bool {
	switch d.FullName() {
	case "google.protobuf.Any", "google.protobuf.Struct", "google.protobuf.Value":
		return true
	}
	return d.ParentFile().Package() == "google.protobuf"
}

func (w *walker) leaf(path string, a, b protoreflect.Message) {
	switch x := a.Interface().(type) {
	case *anypb.Any:
		if y, ok := b.Interface().(*anypb.Any); ok {
			w.any(path, path, x, y)
			return
		}
	case *structpb.Struct:
		if y, ok := b.Interface().(*structpb.Struct); ok {
			w.structs(path, x, y)
			return
		}
	case *structpb.Value:
		if y, ok := b.Interface().(*structpb.Value); ok {
			w.value(path, x, y)
			return
		}
	}
	if !proto.Equal(a.Interface(), b.Interface()) {
		w.add(path, render(a), render(b))
	}
}

func (w *walker) field(path string, f protoreflect.FieldDescriptor, a, b protoreflect.Message) {
	at := join(path, string(f.Name()))
	switch {
	case f.IsMap():
		w.maps(at, f, a.Get(f).Map(), b.Get(f).Map())
	case f.IsList():
		w.list(at, f, a.Get(f).List(), b.Get(f).List())
	case a.Has(f) != b.Has(f):
		w.add(at, renderField(a, f), renderField(b, f))
	case f.Message() == nil:
		if !a.Get(f).Equal(b.Get(f)) {
			w.add(at, renderField(a, f), renderField(b, f))
		}
	default:
		w.nested(path, at, a.Get(f).Message(), b.Get(f).Message())
	}
}

// nested compares a message field. An Any that opens is no step of the path:
// filters[tcp_proxy].cluster, not filters[tcp_proxy].typed_config.cluster.
func (w *walker) nested(parent, at string, a, b protoreflect.Message) {
	x, ok := a.Interface().(*anypb.Any)
	y, ok2 := b.Interface().(*anypb.Any)
	if ok && ok2 {
		w.any(parent, at, x, y)
		return
	}
	w.message(at, a, b)
}

// any compares what two Any hold: decoded under the path open, or as bytes
// under the path shut, which then ends at the type URL.
func (w *walker) any(open, shut string, a, b *anypb.Any) {
	sameType := decode.TypeName(a.GetTypeUrl()) == decode.TypeName(b.GetTypeUrl())
	if sameType && bytes.Equal(a.GetValue(), b.GetValue()) {
		return
	}
	if !sameType {
		w.add(shut, a.GetTypeUrl(), b.GetTypeUrl())
		return
	}
	x, errX := decode.Any(a)
	y, errY := decode.Any(b)
	if errX != nil || errY != nil || w.deep >= maxDeep {
		w.add(shut+"["+a.GetTypeUrl()+"]", size(a.GetValue()), size(b.GetValue()))
		return
	}
	w.deep++
	w.message(open, x.ProtoReflect(), y.ProtoReflect())
	w.deep--
}

func (w *walker) structs(path string, a, b *structpb.Struct) {
	for _, k := range union(a.GetFields(), b.GetFields()) {
		w.value(path+"["+k+"]", a.GetFields()[k], b.GetFields()[k])
	}
}

func (w *walker) value(path string, a, b *structpb.Value) {
	if x, y := a.GetStructValue(), b.GetStructValue(); x != nil && y != nil {
		w.structs(path, x, y)
		return
	}
	if !proto.Equal(a, b) {
		w.add(path, renderValue(a), renderValue(b))
	}
}

func union[V any](a, b map[string]V) []string {
	var out []string
	for k := range a {
		out = append(out, k)
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

func (w *walker) maps(path string, f protoreflect.FieldDescriptor, a, b protoreflect.Map) {
	keys := map[string]protoreflect.MapKey{}
	for _, m := range []protoreflect.Map{a, b} {
		m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
			keys[k.String()] = k
			return true
		})
	}
	for _, name := range union(keys, nil) {
		k, at := keys[name], path+"["+name+"]"
		switch {
		case !a.Has(k):
			w.add(at, "", renderElem(f.MapValue(), b.Get(k)))
		case !b.Has(k):
			w.add(at, renderElem(f.MapValue(), a.Get(k)), "")
		default:
			w.elem(at, f.MapValue(), a.Get(k), b.Get(k))
		}
	}
}

// elem compares two values of one map key or list place.
func (w *walker) elem(at string, f protoreflect.FieldDescriptor, a, b protoreflect.Value) {
	if f.Message() != nil {
		w.nested(at, at, a.Message(), b.Message())
		return
	}
	if !a.Equal(b) {
		w.add(at, renderElem(f, a), renderElem(f, b))
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func size(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return strconv.Itoa(len(b)) + " bytes " + fmt.Sprintf("%.12s", hexOf(b))
}
