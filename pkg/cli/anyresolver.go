package cli

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
)

// anyResolver finds the types inside Any for printing: v2 names print as their
// v3 types, and types that are not linked as empty messages under their own name,
// so that one unknown filter does not hide a listener.
type anyResolver struct{}

func (anyResolver) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	if t, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(decode.TypeName(url))); err == nil {
		return t, nil
	}
	return (&emptypb.Empty{}).ProtoReflect().Type(), nil
}

func (anyResolver) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	t, err := protoregistry.GlobalTypes.FindMessageByName(name)
	if err != nil {
		return nil, fmt.Errorf("finding message %s: %w", name, err)
	}
	return t, nil
}

func (anyResolver) FindExtensionByName(f protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return protoregistry.GlobalTypes.FindExtensionByName(f)
}

func (anyResolver) FindExtensionByNumber(m protoreflect.FullName, f protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return protoregistry.GlobalTypes.FindExtensionByNumber(m, f)
}
