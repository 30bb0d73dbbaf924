// Package agreement reads, checks, signs and explains agreements: the texts
// that say who may tell whom what, until when. An agreement is a signed note
// that a lawyer can read and a machine can obey (docs/spec/agreement.md):
//
//	karaula agreement v1
//	id b01-al-me
//	version 1
//	title "Police cooperation across the border"
//	basis "Illustrative, not a legal text"
//	valid-from 2026-01-01T00:00:00Z
//	valid-until 2027-01-01T00:00:00Z
//	winding-down 30d
//	party al "Invented authority of AL" root=al+8bd57c22+AQ… next=sha256:6f…
//	party me "Invented authority of ME" root=me+0bc1f1a7+AY… next=sha256:91…
//	min-algs sign=ed25519 seal=age-hybrid
//	max-size 256KiB
//	quota 1GiB
//	withdraw notice=90d
//	continues-without 0
//	exercise no
//	channel b01-al-me mode=actual types=open
//	say al,me vehicle,hit personal=yes handling<=H2 retain<=5y article="Art. 5"
//	---
//	Free text, signed too, ignored by machines.
//
// [Lint] says everything that is wrong with a text at once; [Open] takes a
// signed file and says who has signed it; [Sign] adds a signature line.
// Every party of a channel reads everything that is said on it: a say line
// names who may say what, never to whom.
//
// The package must never look at a clock, a disk or a network, never decide
// from anything but the text, and never change a text that somebody signed.
package agreement

import (
	"slices"
	"time"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// MaxText is the longest agreement text, and MaxFile the longest file with its
// signature lines, in bytes. A file must fit into a statement's body, so that an
// amendment can travel on the channel that it is about (docs/spec/limits.md).
const (
	MaxText = 48 << 10
	MaxFile = MaxText + 12<<10
)

// Agreement is the machine part of an agreement's text.
type Agreement struct {
	// ID names the agreement for ever; it is never used for another one.
	ID string
	// Version counts from 1; a higher one supersedes a lower one.
	Version uint64
	// Supersedes is the digest of the version before; zero in version 1.
	Supersedes [32]byte
	// First is the digest of version 1, which ledger ids are made from; in
	// version 1 it equals Digest.
	First [32]byte
	// Title is the agreement's name for people.
	Title string
	// Basis lists the legal bases, for people.
	Basis []string
	// ValidFrom is the first moment in force.
	ValidFrom time.Time
	// ValidUntil is the first moment no longer in force.
	ValidUntil time.Time
	// WindingDown is how long after ValidUntil receipts, backlog, corrections
	// and erasures still travel.
	WindingDown time.Duration
	// Parties are the authorities that signed, in the order of the text; at least 2.
	Parties []Party
	// Auditors read everything too, and say nothing.
	Auditors []Auditor
	// MinSign and MinSeal name the weakest algorithms allowed: "ed25519", "age-hybrid".
	MinSign, MinSeal string
	// MaxSize is the largest envelope, in bytes.
	MaxSize int64
	// Quota is what each party keeps of each other party's envelopes, in bytes.
	Quota int64
	// WithdrawNotice is how long before its effect a withdrawal must be announced.
	WithdrawNotice time.Duration
	// ContinuesWithout is how many parties must remain after a withdrawal for
	// the agreement to go on among them; 0: it ends with the first withdrawal.
	ContinuesWithout int
	// Exercise says whether exercises may be held under the agreement.
	Exercise bool
	// Channels are the message spaces, in the order of the text; at least 1.
	Channels []Channel
	// Text is the exact signed text, with its last newline.
	Text []byte
	// Digest is SHA-256 of Text.
	Digest [32]byte
}

// Party is one line "party": an authority and the keys that speak for it.
type Party struct {
	// Code is the party code ("al").
	Code string
	// Name is the authority's name, for people.
	Name string
	// Root is the verifier key of the party's root, as signed notes write it.
	Root string
	// Next is SHA-256 of the next root's verifier key, announced in advance.
	Next [32]byte
	// Line is the line in the text, from 1.
	Line int
}

// Auditor is one line "auditor": a reader that the agreement names.
type Auditor struct {
	// Code is the auditor's code ("dpa"), different from all party codes.
	Code string
	// Name is the auditor's name, for people.
	Name string
	// Root is the verifier key of the auditor's root.
	Root string
	// Line is the line in the text, from 1.
	Line int
}

// Channel is one message space: all parties of the agreement read all of it.
type Channel struct {
	// ID names the channel; unique over all agreements of a node.
	ID string
	// Mode is actual, exercise or test.
	Mode karaulav1.Mode
	// SealedTypes hides alert types inside the sealed part.
	SealedTypes bool
	// Says are the clauses: who may say what.
	Says []Say
	// Line is the line in the text, from 1.
	Line int
}

// Say is one clause: these parties may say these types, within these limits.
type Say struct {
	// Clause numbers the say lines of the whole agreement, from 1.
	Clause int
	// Parties may say it.
	Parties []string
	// Types may be said.
	Types []karaulav1.AlertType
	// Personal says whether personal data may be in it.
	Personal bool
	// Handling is the highest handling code allowed.
	Handling karaulav1.Handling
	// Retain is the longest time that content may be kept, from when it was said.
	Retain time.Duration
	// Article names the article of the legal basis; may be empty.
	Article string
	// Line is the line in the text, from 1.
	Line int
}

// Phase is where an agreement stands at some time.
type Phase int

// The phases, in order.
const (
	NotYet      Phase = iota // before valid-from: nothing travels
	InForce                  // everything that a clause allows travels
	WindingDown              // no new alerts; receipts, backlog, corrections and erasures travel
	Closed                   // nothing travels
)

// String gives the phase's words.
func (p Phase) String() string {
	switch p {
	case NotYet:
		return "not yet in force"
	case InForce:
		return "in force"
	case WindingDown:
		return "winding down"
	default:
		return "closed"
	}
}

// PhaseAt says where the text alone puts the agreement at t: in force in
// [ValidFrom, ValidUntil), winding down until [Agreement.ClosesAt].
// Suspensions, withdrawals and later versions are the register's to know.
func (a *Agreement) PhaseAt(t time.Time) Phase {
	switch {
	case t.Before(a.ValidFrom):
		return NotYet
	case t.Before(a.ValidUntil):
		return InForce
	case t.Before(a.ClosesAt()):
		return WindingDown
	default:
		return Closed
	}
}

// ClosesAt is the first moment at which nothing travels any more.
func (a *Agreement) ClosesAt() time.Time { return a.ValidUntil.Add(a.WindingDown) }

// Codes lists the party codes in the order of the text.
func (a *Agreement) Codes() []string {
	out := make([]string, len(a.Parties))
	for i, p := range a.Parties {
		out[i] = p.Code
	}
	return out
}

// Party finds a party by its code.
func (a *Agreement) Party(code string) (*Party, bool) {
	i := slices.IndexFunc(a.Parties, func(p Party) bool { return p.Code == code })
	if i < 0 {
		return nil, false
	}
	return &a.Parties[i], true
}

// Auditor finds an auditor by its code.
func (a *Agreement) Auditor(code string) (*Auditor, bool) {
	i := slices.IndexFunc(a.Auditors, func(d Auditor) bool { return d.Code == code })
	if i < 0 {
		return nil, false
	}
	return &a.Auditors[i], true
}

// Channel finds a channel by its id.
func (a *Agreement) Channel(id string) (*Channel, bool) {
	i := slices.IndexFunc(a.Channels, func(c Channel) bool { return c.ID == id })
	if i < 0 {
		return nil, false
	}
	return &a.Channels[i], true
}
