//go:build race

package transcript_test

// slow: the race detector makes the large recordings take minutes.
const slow = true
