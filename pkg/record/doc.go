// Package record turns what an observer saw on the wire (xds.Sighting) into the
// history that is kept (xds.Record). It reads the envelopes of both protocol
// variants, v2 and v3, at wire level, pairs answers with pushes, collapses NACK
// storms, takes secrets out of the bytes, and says what is missing (gaps).
//
// Start with New and Recorder.Sight; a Recorder writes to a Log. Memory is a Log
// that can be read back. Split and the Encode functions are the way from a whole
// message to a Sighting's parts and from a Record back to a message.
//
// Resources are never unmarshalled here: names and secrets are found by walking
// protobuf fields, everything else stays the bytes it was.
package record
