// Package timeline is the one walk through history: records in, entries out. An
// entry is one group of pushes, that is one change of the control plane as one
// sidecar received it, with the snapshots around it, what changed, whose traffic
// shifted, and the events that are worth telling.
//
// It is a fold over record times and has no clock: the same records give the same
// entries, live and from a file. Start with New and Walk.Record; Walk.Advance
// closes what time alone closes, Walk.Finish what is open at the end of a file.
package timeline
