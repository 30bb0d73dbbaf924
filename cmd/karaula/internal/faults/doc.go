// Package faults breaks real nodes on purpose and looks at what is left: it
// builds the real command, makes nodes, runs them as processes of their own,
// kills them, cuts their links with a TCP proxy in between, takes their files
// away, and then walks the stores of all sides and compares them with what the
// senders were told.
//
// Its tests are the short form; `make faults` runs them at length. Whoever
// needs another fault adds a test here: [World], [Node], [Proxy], [Load] and
// [Walk] are the parts.
//
// It must never be imported by the program, never believe a node about itself
// where the stored bytes can be read, and never write into a folder that it
// walks: it reads a copy.
package faults
