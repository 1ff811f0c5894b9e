// Package query answers questions about a recorded history: which sidecar,
// which revision, what did it hold then, what was pushed, what happened.
//
// Start with Source (what a history must offer), Reader (questions about one)
// and ParseRevision. A store that is being written, a transcript and a config_dump
// are read by the same code.
package query
