// Package evidence verifies history again: what was said, in which order, under
// which text, by which key, and what its recipients have signed about it.
//
// [Replay] reads the statements of any number of ledgers in their order, finds
// every place again by the border check, judges each statement as a witness who
// opens nothing, and holds what parties have signed about each other's ledgers
// against what is there. It tells a story of [Said] and gives a [Report] with
// every [Finding]. [Bundle] is a slice of history in one file that verifies by
// itself; [Proof] is one fact about a ledger in a small text: an inclusion, a
// consistency, a complete range, or a fork.
//
// Only root keys are believed. The package needs no node, no broker and no
// private key. It must never trust where bytes came from, never change or drop
// what it reads, and never put content into a finding. Formats are in
// docs/spec/evidence.md.
package evidence
