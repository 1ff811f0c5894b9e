//go:build !race

package timeline_test

const raced = false
