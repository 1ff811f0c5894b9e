//go:build !linux && !darwin && !freebsd

package cli

import "errors"

// diskFree is not known on this system.
func diskFree(string) (free, total uint64, err error) {
	return 0, 0, errors.New("free space is not known on this system")
}
