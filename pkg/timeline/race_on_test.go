//go:build race

package timeline_test

// raced: the race detector makes everything ten times slower; tests of pure
// functions on much data take a sample then.
const raced = true
