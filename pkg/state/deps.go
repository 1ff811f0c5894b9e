package state

import "github.com/xdsproxy/xdsproxy/pkg/xds"

// Ref names a resource that another one needs.
type Ref struct{ Type, Name string }

// Deps tells what must be present before this version of a resource takes
// traffic (warming): the routes and secrets of a listener, the endpoints and
// secrets of a cluster. A nil Deps means that nothing ever warms.
type Deps func(typeURL string, d xds.Digest) []Ref
