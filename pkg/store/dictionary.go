package store

// dictionary is what zstd knows before it reads a frame.
var dictionary []byte
