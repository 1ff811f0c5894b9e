package replay

import (
	"fmt"
	"os"
	"strings"

	"github.com/cncf/xds/go/udpa/annotations"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// edit changes a resource in place: extensions that are to be dropped, redacted
// values that must parse, types of an older version of the protocol.
type edit struct {
	old, secret bool
	mask        bool // hide what Envoy hides in its config_dump
	secrets     *secrets
	drop        map[string]bool
	dropped     map[string]bool
	files       bool   // replace files that are not here
	made        bool   // a file was replaced
	field       string // the data source that is walked now belongs to it
}

func (e *edit) message(m protoreflect.Message) error {
	if a, ok := m.Interface().(*anypb.Any); ok {
		return e.any(a)
	}
	if e.old {
		m.SetUnknown(nil) // what this version of the protocol no longer has
	}
	var failed error
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		failed = e.value(m, fd, v)
		return failed == nil
	})
	return failed
}

func (e *edit) value(m protoreflect.Message, fd protoreflect.FieldDescriptor, v protoreflect.Value) error {
	if e.mask && sensitive(fd) {
		hide(m, fd, v)
		return nil
	}
	switch {
	case fd.IsMap():
		return e.entries(fd, v.Map())
	case fd.IsList() && fd.Message() != nil:
		return e.list(m, fd, v.List())
	case fd.IsList():
		return nil
	case fd.Message() != nil:
		e.source(fd, v.Message())
		return e.message(v.Message())
	case fd.Kind() == protoreflect.BytesKind && e.secret:
		m.Set(fd, protoreflect.ValueOfBytes(e.secrets.instead(e.field, v.Bytes())))
	case fd.Kind() == protoreflect.StringKind && e.secret && strings.HasPrefix(string(fd.Name()), "inline_"):
		m.Set(fd, protoreflect.ValueOfString(string(e.secrets.instead(e.field, []byte(v.String())))))
	}
	return nil
}

// source notes what a data source is for, and replaces one that is a file which is
// not on this machine.
func (e *edit) source(fd protoreflect.FieldDescriptor, m protoreflect.Message) {
	d, ok := m.Interface().(*corev3.DataSource)
	if !ok {
		return
	}
	e.field = string(fd.Name())
	if name := d.GetFilename(); name != "" && e.files {
		if _, err := os.Stat(name); err != nil {
			d.Specifier = &corev3.DataSource_InlineBytes{InlineBytes: e.secrets.instead(e.field, redacted)}
			e.made = true
		}
	}
}

// list edits the elements of a list and leaves out extensions that are to be dropped.
func (e *edit) list(m protoreflect.Message, fd protoreflect.FieldDescriptor, l protoreflect.List) error {
	kept := m.NewField(fd).List()
	for i := range l.Len() {
		x := l.Get(i)
		if err := e.typed(x.Message()); err != nil {
			return err
		}
		if e.drops(x.Message()) {
			continue
		}
		e.source(fd, x.Message())
		if err := e.message(x.Message()); err != nil {
			return err
		}
		kept.Append(x)
	}
	if kept.Len() < l.Len() {
		m.Set(fd, protoreflect.ValueOfList(kept))
	}
	return nil
}

// listenerFilters are the types behind the names of listener filters that had nothing
// to configure (source/extensions/filters/listener/well_known_names.h in Envoy up to 1.17).
var listenerFilters = map[string]string{
	"envoy.listener.original_dst":   xds.TypePrefix + "envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
	"envoy.listener.tls_inspector":  xds.TypePrefix + "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
	"envoy.listener.http_inspector": xds.TypePrefix + "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector",
}

// typed gives a filter of an older version of the protocol, which only has a name and
// maybe a Struct, the typed configuration that it stands for. One that is not known
// stays as it is.
func (e *edit) typed(m protoreflect.Message) error {
	fd := m.Descriptor().Fields().ByName("typed_config")
	if !e.old || !filter(m) || fd == nil || m.Has(fd) {
		return nil
	}
	name := m.Get(m.Descriptor().Fields().ByName("name")).String()
	a := &anypb.Any{TypeUrl: listenerFilters[name]}
	if a.TypeUrl == "" {
		x, err := traffic.TypedFilter(name, m.Interface())
		if err != nil {
			return nil
		}
		if a, err = anypb.New(x); err != nil {
			return fmt.Errorf("writing a filter: %w", err)
		}
	}
	m.Set(fd, protoreflect.ValueOfMessage(a.ProtoReflect()))
	m.SetUnknown(nil)
	return nil
}

// entries does the same with a map whose keys are names of extensions.
func (e *edit) entries(fd protoreflect.FieldDescriptor, m protoreflect.Map) error {
	if fd.MapValue().Message() == nil {
		return nil
	}
	var failed error
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		if a, ok := v.Message().Interface().(*anypb.Any); ok && e.match(k.String(), a) {
			m.Clear(k)
			return true
		}
		failed = e.message(v.Message())
		return failed == nil
	})
	return failed
}

// drops reports whether a message is an extension that is to be dropped: a name and
// a typed configuration (envoy/config/core/v3/extension.proto, and the filters that
// are older than it).
func (e *edit) drops(m protoreflect.Message) bool {
	if len(e.drop) == 0 {
		return false
	}
	name, typed := m.Descriptor().Fields().ByName("name"), m.Descriptor().Fields().ByName("typed_config")
	if name == nil || typed == nil || typed.Message() == nil {
		return false
	}
	a, _ := m.Get(typed).Message().Interface().(*anypb.Any)
	return e.match(m.Get(name).String(), a)
}

func (e *edit) match(name string, a *anypb.Any) bool {
	for _, n := range append(typesOf(a), name) {
		if n != "" && e.drop[n] {
			if e.dropped == nil {
				e.dropped = map[string]bool{}
			}
			e.dropped[name] = true
			return true
		}
	}
	return false
}

// any opens a message inside the message, edits it and closes it again. One of a type
// that is not linked stays as it is.
func (e *edit) any(a *anypb.Any) error {
	if a.GetTypeUrl() == "" {
		return nil
	}
	m, err := decode.Any(a)
	if err != nil {
		return nil
	}
	if err := e.message(m.ProtoReflect()); err != nil {
		return err
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return fmt.Errorf("writing %s: %w", a.GetTypeUrl(), err)
	}
	a.Value = b
	if e.old {
		a.TypeUrl = a.TypeUrl[:strings.LastIndexByte(a.TypeUrl, '/')+1] + decode.TypeName(a.TypeUrl)
	}
	return nil
}

// sensitive reports whether Envoy hides a field (udpa/annotations/sensitive.proto).
func sensitive(fd protoreflect.FieldDescriptor) bool {
	is, _ := proto.GetExtension(fd.Options(), annotations.E_Sensitive).(bool)
	return is
}

const hidden = "[redacted]"

// hide does what Envoy does to a sensitive field before it shows it
// (source/common/protobuf/utility.cc, redact).
func hide(m protoreflect.Message, fd protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch {
	case fd.IsMap() || fd.IsList():
		m.Clear(fd)
	case fd.Kind() == protoreflect.StringKind:
		m.Set(fd, protoreflect.ValueOfString(hidden))
	case fd.Kind() == protoreflect.BytesKind:
		m.Set(fd, protoreflect.ValueOfBytes([]byte(hidden)))
	case fd.Message() != nil:
		x := v.Message()
		x.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool { hide(x, fd, v); return true })
	default:
		m.Clear(fd)
	}
}
