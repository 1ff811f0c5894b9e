// Package bench holds the figures that are promised of large meshes, as one table:
// see docs/performance.md for what they are and for the command that prints it.
package bench
