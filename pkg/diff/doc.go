// Package diff says what differs between two snapshots, in the terms of each
// resource type: which listener, which chain of it, which field.
//
// Bytes that differ are compared decoded: the same content written in another
// order ("re-encoded, equal") is no change. Fields of messages are compared by
// reflection; what a type's lists are keyed by, and where Envoy ignores order,
// stands in one table per resource type (listener.go, route.go, cluster.go,
// endpoint.go). Start with New and Changes.
package diff
