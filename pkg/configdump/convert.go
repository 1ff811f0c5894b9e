package configdump

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
)

// converter turns the JSON of one resource into bytes. An Any of a type that is
// not linked keeps its type URL and loses its content, so that a reader can name
// what it does not understand; protojson alone would refuse the whole resource.
type converter struct {
	*protoregistry.Types
	opaque  protoreflect.MessageType // a message without fields: what JSON says is discarded
	unknown map[string]bool          // type URLs met that are not linked
}

func newConverter() (*converter, error) {
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name:        proto.String("xdsproxy/configdump/opaque.proto"),
		Package:     proto.String("xdsproxy.configdump"),
		Syntax:      proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Opaque")}},
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("describing a message without fields: %w", err)
	}
	opaque := dynamicpb.NewMessageType(file.Messages().Get(0))
	return &converter{Types: protoregistry.GlobalTypes, opaque: opaque, unknown: map[string]bool{}}, nil
}

// FindMessageByURL implements the resolver that protojson asks for each @type.
func (c *converter) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	mt, err := c.FindMessageByName(protoreflect.FullName(decode.TypeName(url)))
	if errors.Is(err, protoregistry.NotFound) {
		c.unknown[url] = true
		return c.opaque, nil
	}
	return mt, err
}

// packed gives the bytes of the Any that a push would have carried. typ holds
// where the JSON has no @type of its own.
func (c *converter) packed(typ string, body json.RawMessage) ([]byte, error) {
	a := new(anypb.Any)
	if err := c.into(a, typed(typ, body)); err != nil {
		return nil, err
	}
	return proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(a)
}

// resource reads body, a resource of type typ, into m.
func (c *converter) resource(typ string, body json.RawMessage, m proto.Message) error {
	a := new(anypb.Any)
	if err := c.into(a, typed(typ, body)); err != nil {
		return err
	}
	return proto.UnmarshalOptions{AllowPartial: true}.Unmarshal(a.GetValue(), m)
}

// typed adds the @type that dumps before Envoy 1.13 do not have.
func typed(typ string, body json.RawMessage) json.RawMessage {
	if head, ok := bytes.CutPrefix(body, []byte("{")); ok && bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte(`"@type"`)) {
		return body
	}
	var f map[string]json.RawMessage
	if json.Unmarshal(body, &f) != nil || f["@type"] != nil {
		return body
	}
	f["@type"] = json.RawMessage(strconv.Quote(typ))
	out, err := json.Marshal(f)
	if err != nil {
		return body
	}
	return out
}

func (c *converter) into(m proto.Message, body json.RawMessage) error {
	return protojson.UnmarshalOptions{DiscardUnknown: true, AllowPartial: true, Resolver: c}.Unmarshal(body, m)
}
