package traffic

import "google.golang.org/protobuf/proto"

// TypedFilter is the typed configuration that a filter of xDS v2 stands for: by its
// name, with the Struct it may carry. The error says that the name is not known, or
// what is wrong with the Struct.
func TypedFilter(name string, filter proto.Message) (proto.Message, error) {
	m, _, err := legacyFilter(name, filter)
	return m, err
}
