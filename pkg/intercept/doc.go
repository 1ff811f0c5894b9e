// Package intercept is the byte-for-byte relay between Envoy and its control
// plane, with a passive observer that reads along: HTTP/2 frames, gRPC messages,
// the fields of discovery requests and responses. Bytes are forwarded first and
// looked at second; nothing the observer does, fails at or waits for can delay,
// change or end a connection.
//
// Start with Relay (sockets) and Tap (who wants to know). Observer is the part
// without sockets; Queue is the bounded hand-over to a recorder.
//
// One observer belongs to one connection and has one parser per direction, run by
// the goroutine that copies that direction. The two share a table of streams and
// nothing else: order is exact within a direction and unknown across.
package intercept
