//go:build race

package cli

// slow: the race detector is on, and everything takes ten times as long.
const slow = true
