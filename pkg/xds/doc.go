// Package xds holds the nouns that every other package speaks: what an observer
// saw on the wire (Sighting), what history keeps of it (Record, Base), and what
// the pure core says about it (Verdict, Shift, Change, Event).
//
// It holds values only: no I/O, no protocol code, standard library only. Start
// with Sighting and Record; the word list of the project stands in ARCHITECTURE.md.
package xds
