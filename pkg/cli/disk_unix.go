//go:build linux || darwin || freebsd

package cli

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// diskFree is what the file system of dir has left for this user, and its size, in
// bytes.
func diskFree(dir string) (free, total uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("asking for the free space of %s: %w", dir, err)
	}
	size := uint64(st.Bsize)                                       //nolint:unconvert // signed on some systems
	return uint64(st.Bavail) * size, uint64(st.Blocks) * size, nil //nolint:unconvert // ditto
}
