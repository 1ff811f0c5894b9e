// Package store keeps a history on disk: a log of segments that one process
// writes and any number read at the same time.
//
// A segment is self-contained: it starts with one base per live sidecar and
// holds every body that its records name, so the oldest segments can be deleted
// and the rest stays readable. Damage is detected by checksums and never served;
// what it took away shows as a gap record. There is no memory mapping and no
// panic for what stands in a file. docs/format.md describes the files byte by byte.
//
// Use OpenWriter to write (a Writer is the recorder's Log), OpenReader to read
// and follow, Verify and Stat to look at a directory as a whole.
package store
