// Package state folds records into what each sidecar holds: immutable snapshots
// of name -> digest, as offered (pushed), accepted (acknowledged) and active
// (accepted, with warming applied: what takes traffic). It decodes nothing; what
// a resource needs before it takes traffic it asks of a Deps function.
//
// Start with Fold and its View; Snapshot and Differences are what the rest of the
// program compares.
package state
