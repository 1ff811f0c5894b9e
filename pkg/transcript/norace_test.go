//go:build !race

package transcript_test

const slow = false
