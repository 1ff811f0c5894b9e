// Package filter is the language in which people choose pushes, events and stored
// versions: kind:capture port:3306 not sidecar:test-*.
//
// Start with Parse, which gives a Filter or an error that says what to write
// instead, and Facts, what there is to know of one thing that is filtered. Keys
// are rows of a table (keys.go): what a value may be, and which facts it meets.
package filter
