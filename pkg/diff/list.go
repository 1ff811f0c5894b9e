package diff

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// keying says how the elements of a list are told apart, and whether Envoy
// looks at their order.
type keying struct {
	// key names an element; nil: its value (scalars), or its place.
	key func(protoreflect.Message) string
	// set: the order of elements means nothing to Envoy.
	set bool
}

// table is the keying of lists by the full name of their field.
type table map[protoreflect.FullName]keying

// list compares two lists. Scalars are compared as a whole, as sets where
// order means nothing; messages by key, or by place where no key is known.
func (w *walker) list(path string, f protoreflect.FieldDescriptor, a, b protoreflect.List) {
	k := w.keys[f.FullName()]
	if f.Message() == nil {
		w.scalars(path, f, k.set, a, b)
		return
	}
	if k.key == nil && !k.set {
		w.places(path, f, a, b)
		return
	}
	w.keyed(path, f, k, a, b)
}

func (w *walker) scalars(path string, f protoreflect.FieldDescriptor, set bool, a, b protoreflect.List) {
	x, y := texts(f, a), texts(f, b)
	if set {
		slices.Sort(x)
		slices.Sort(y)
	}
	if !slices.Equal(x, y) {
		w.add(path, short(strings.Join(x, ", ")), short(strings.Join(y, ", ")))
	}
}

func texts(f protoreflect.FieldDescriptor, l protoreflect.List) []string {
	out := make([]string, l.Len())
	for i := range l.Len() {
		out[i] = scalar(f, l.Get(i))
	}
	return out
}

func (w *walker) places(path string, f protoreflect.FieldDescriptor, a, b protoreflect.List) {
	for i := range max(a.Len(), b.Len()) {
		at := path + "[" + strconv.Itoa(i) + "]"
		switch {
		case i >= a.Len():
			w.add(at, "", renderElem(f, b.Get(i)))
		case i >= b.Len():
			w.add(at, renderElem(f, a.Get(i)), "")
		default:
			w.elem(at, f, a.Get(i), b.Get(i))
		}
	}
}

// keyed pairs the elements of two lists by key.
func (w *walker) keyed(path string, f protoreflect.FieldDescriptor, k keying, a, b protoreflect.List) {
	ka, kb := keysOf(k, a), keysOf(k, b)
	in := make(map[string]int, len(kb))
	for i, key := range kb {
		in[key] = i
	}
	var commonA []string
	had := make(map[string]bool, len(ka))
	for i, key := range ka {
		had[key] = true
		j, ok := in[key]
		if !ok {
			w.add(path+"["+key+"]", renderElem(f, a.Get(i)), "")
			continue
		}
		commonA = append(commonA, key)
		w.elem(path+"["+key+"]", f, a.Get(i), b.Get(j))
	}
	var commonB []string
	for j, key := range kb {
		if had[key] {
			commonB = append(commonB, key)
			continue
		}
		w.add(path+"["+key+"]", "", renderElem(f, b.Get(j)))
	}
	if !k.set && !slices.Equal(commonA, commonB) {
		w.add(path+"(order)", short(strings.Join(commonA, ", ")), short(strings.Join(commonB, ", ")))
	}
}

// keysOf names the elements of a list; equal names are numbered, so that each
// stays one element.
func keysOf(k keying, l protoreflect.List) []string {
	out := make([]string, l.Len())
	n := map[string]int{}
	for i := range l.Len() {
		key := ""
		if k.key != nil {
			key = k.key(l.Get(i).Message())
		}
		if key == "" {
			key = strconv.Itoa(i)
			if k.set {
				key = render(l.Get(i).Message())
			}
		}
		n[key]++
		if n[key] > 1 {
			key = fmt.Sprintf("%s#%d", key, n[key])
		}
		out[i] = key
	}
	return out
}
