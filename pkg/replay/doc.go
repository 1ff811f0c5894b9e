// Package replay serves a recorded range of one sidecar's history again, push by
// push, to an Envoy or any other xDS client, and compares what that client answers,
// and what it then holds, with what was recorded.
//
// Start with Load (a range becomes a Plan), Player (serves it) and Envoy (a real one
// to serve it to). Resources are served as the bytes that were recorded; nonces are
// this server's own. What cannot be served as it was, because a secret was never
// stored or this Envoy lacks a filter, is replaced by Bodies and told.
package replay
