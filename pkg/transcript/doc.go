// Package transcript reads and writes the interchange format of recorded
// sessions: JSON Lines, plain, gzip or zstd. docs/format.md describes it.
//
// Read makes a transcript a source of history, just as a store is one; Write
// exports any source. Sightings gives the lines one by one, for importing.
package transcript
