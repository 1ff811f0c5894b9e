// Package traffic answers what Envoy does with a connection: it compiles a
// snapshot (lazily, one object per digest) and resolves a destination and what
// the client says first to a verdict, with the path to it. It also compares two
// snapshots.
//
// Start with Engine and View.Resolve; then View.Classes and Engine.Compare.
//
// An answer is what Envoy does, or "unknown" with a reason: whatever is not
// evaluated ends as unknown, never as a guess. The package is a function of
// values: no clock, no I/O, no goroutine.
package traffic
