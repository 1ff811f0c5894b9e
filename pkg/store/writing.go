package store

import "path/filepath"

// Writing reports whether a writer has the store in dir right now.
func Writing(dir string) bool { return locked(filepath.Join(dir, lockFile)) }
