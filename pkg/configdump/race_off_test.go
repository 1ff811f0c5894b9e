//go:build !race

package configdump_test

const raced = false
