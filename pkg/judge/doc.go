// Package judge turns what one group of pushes did (shifts, changes) and what
// the protocol showed (nacks, silence, gaps) into events: which kind, how bad,
// whose object, and how to get out.
//
// Its rules are data: the tables in kinds.go, severity.go, sentences.go and
// remedies.go. It is a function of values: no clock, no I/O. Start with Input
// and Judge; Next and Due carry what has to be remembered between two groups.
// What is wrong with a state, whatever led to it, is told by CheckState, whose
// rules are the table in state.go.
package judge
