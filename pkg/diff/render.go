package diff

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
)

// maxValue is the length at which a value is cut.
const maxValue = 160

// short puts a value on one line of bounded length.
func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= maxValue {
		return s
	}
	cut := maxValue
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}

func hexOf(b []byte) string {
	const most = 32
	return hex.EncodeToString(b[:min(len(b), most)])
}

// render is a message on one line: {name: x, cluster: y}. It writes no more
// than it shows.
func render(m protoreflect.Message) string {
	var r renderer
	r.message(m)
	return short(r.b.String())
}

func renderField(m protoreflect.Message, f protoreflect.FieldDescriptor) string {
	if !m.Has(f) {
		return ""
	}
	return renderElem(f, m.Get(f))
}

func renderElem(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	if f.Message() != nil {
		return render(v.Message())
	}
	return short(scalar(f, v))
}

func renderValue(v *structpb.Value) string {
	if v == nil {
		return ""
	}
	b, err := protojson.Marshal(v)
	if err != nil {
		return "(value)"
	}
	return short(string(b))
}

// scalar is a value that is no message, as people write it.
func scalar(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch f.Kind() {
	case protoreflect.EnumKind:
		if e := f.Enum().Values().ByNumber(v.Enum()); e != nil {
			return string(e.Name())
		}
		return strconv.Itoa(int(v.Enum()))
	case protoreflect.BytesKind:
		return hexOf(v.Bytes())
	}
	return v.String()
}

// renderer writes a message until it is longer than what is shown.
type renderer struct {
	b    strings.Builder
	deep int // how many Any are open
}

func (r *renderer) full() bool { return r.b.Len() > maxValue }

func (r *renderer) message(m protoreflect.Message) {
	switch x := m.Interface().(type) {
	case *anypb.Any:
		r.any(x)
		return
	case *structpb.Struct:
		r.b.WriteString(renderValue(structpb.NewStructValue(x)))
		return
	case *structpb.Value:
		r.b.WriteString(renderValue(x))
		return
	}
	if leaf(m.Descriptor()) {
		r.wellKnown(m)
		return
	}
	r.b.WriteByte('{')
	r.fields(m)
	r.b.WriteByte('}')
}

// wellKnown writes durations and wrapped scalars as their JSON does.
func (r *renderer) wellKnown(m protoreflect.Message) {
	if b, err := protojson.Marshal(m.Interface()); err == nil {
		r.b.WriteString(strings.Trim(string(b), `"`))
	}
}

func (r *renderer) fields(m protoreflect.Message) {
	fields, first := m.Descriptor().Fields(), true
	for i := range fields.Len() {
		f := fields.Get(i)
		if !m.Has(f) || r.full() {
			continue
		}
		if !first {
			r.b.WriteString(", ")
		}
		first = false
		r.b.WriteString(string(f.Name()) + ": ")
		r.value(f, m.Get(f))
	}
}

func (r *renderer) value(f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch {
	case f.IsMap():
		r.maps(f, v.Map())
	case f.IsList():
		r.list(f, v.List())
	default:
		r.elem(f, v)
	}
}

func (r *renderer) elem(f protoreflect.FieldDescriptor, v protoreflect.Value) {
	if f.Message() != nil {
		r.message(v.Message())
		return
	}
	r.b.WriteString(scalar(f, v))
}

func (r *renderer) list(f protoreflect.FieldDescriptor, l protoreflect.List) {
	r.b.WriteByte('[')
	for i := range l.Len() {
		if r.full() {
			break
		}
		if i > 0 {
			r.b.WriteString(", ")
		}
		r.elem(f, l.Get(i))
	}
	r.b.WriteByte(']')
}

func (r *renderer) maps(f protoreflect.FieldDescriptor, m protoreflect.Map) {
	var keys []protoreflect.MapKey
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k)
		return true
	})
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int { return strings.Compare(a.String(), b.String()) })
	r.b.WriteByte('{')
	for i, k := range keys {
		if r.full() {
			break
		}
		if i > 0 {
			r.b.WriteString(", ")
		}
		r.b.WriteString(k.String() + ": ")
		r.elem(f.MapValue(), m.Get(k))
	}
	r.b.WriteByte('}')
}

func (r *renderer) any(a *anypb.Any) {
	m, err := decode.Any(a)
	if err != nil || r.deep >= maxDeep {
		r.b.WriteString("(" + a.GetTypeUrl() + ", " + size(a.GetValue()) + ")")
		return
	}
	r.deep++
	r.message(m.ProtoReflect())
	r.deep--
}
