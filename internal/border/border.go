// Package border is the border check: it says what received bytes are, and
// whether an officer may see them.
//
// It works in two stages. [Checker.Place] finds the place of bytes in their
// origin's ledger: the next number, one that is known, one ahead of a gap, a
// contradiction, or no place at all. [Checker.Judge] then judges a statement
// that has its place: accepted, refused for good, held until something arrives,
// erased or expired. Between the two the caller stores the bytes and calls
// [Ledger.Advance].
//
// Both are pure functions of the bytes, the [Ledger] so far, a register view,
// the party's own keys and the clock. Replaying the same statements gives the
// same places and the same verdicts. docs/spec/border-check.md states the order
// of checks and every code for a second implementation.
//
// The package must never read or write anything, never store, never answer,
// and never put content or personal data into a detail: details travel in
// signed refusals and logs.
package border

import (
	"time"

	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/notice"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Rules is the version of the rules in this package. It stands in every
// verdict, and grows when a change could judge the same statement otherwise.
const Rules = 2

// Opener opens the sealed parts that are addressed to this party.
type Opener interface {
	// Open unwraps stanza i of n of a sealed part with the private key that rec
	// names, and gives the frame. A key that is locked or gone is a problem of
	// kind Locked; any other error means that the part does not open.
	Open(rec *karaulav1.Recipient, sealed []byte, i, n int) (frame []byte, err error)
}

// History is what the caller remembers of the ledger that is being checked.
type History interface {
	// LeafAt gives the leaf of a statement that has its place.
	LeafAt(epoch, seq uint64) (leaf [32]byte, ok bool)
	// RootAt gives the Merkle root over the first size statements of an epoch, as
	// far as this party can know it.
	RootAt(epoch, size uint64) (root [32]byte, ok bool)
	// Accepted gives the place at which this version of this alert was accepted.
	Accepted(alert [16]byte, version uint32) (at Position, ok bool)
	// Before gives the highest version of this alert below version that was
	// accepted; false if none was, or none is known any more.
	Before(alert [16]byte, version uint32) (Earlier, bool)
}

// Checker checks for one party.
type Checker struct {
	// Self is the code of the party that checks; empty for a witness.
	Self string
	// Skew is how far a clock of the origin may be ahead of ours.
	Skew time.Duration
	// Opener opens sealed parts.
	Opener Opener
	// Roots vouch for any party whose alert is passed on, besides what the register
	// knows; empty but where somebody verifies with root keys alone.
	Roots []string
}

// Position is a place in a ledger.
type Position struct {
	Epoch, Seq uint64
}

// Covers reports whether a ledger that ends here goes as far as b.
func (a Position) Covers(b Position) bool { return !a.before(b) }

// Kind is what received bytes are.
type Kind int

// The kinds of [Placement]. Only Next takes a place in the ledger.
const (
	// Quarantine: no valid signature of the origin makes these bytes a place of
	// this ledger. Keep them in the quarantine ring, skip them, never judge them.
	Quarantine Kind = iota
	// Next: the origin's next statement. Store, advance, judge.
	Next
	// Known: the same statement has its place already. Drop.
	Known
	// Ahead: a statement of the origin, but numbers before it are missing. Keep
	// it aside, ask for the missing ones, place it again.
	Ahead
	// Fork: the origin contradicts itself. Keep the bytes as evidence, show the
	// ledger as contested; see [Ledger.Contest].
	Fork
	// NeedCard: signed under a card that is not known here. Ask the link service
	// for Want and place again; if it can't be had, treat it as Quarantine.
	NeedCard
	// NeedEdge: the ledger begins here for this party, behind statements that it
	// never had. Get the right edge that [Placement.Behind] describes from anybody,
	// put it into [Ledger.Edge] and place again; NeedEdge again means that it was
	// not the right one.
	NeedEdge
	// Before: said before this party came in. Drop; it is neither kept nor counted.
	Before
)

// String gives the kind's word, for logs and metrics.
func (k Kind) String() string {
	return [...]string{"quarantine", "next", "known", "ahead", "fork", "need-card", "need-edge", "before"}[k]
}

// Wanted names a card that has to be fetched.
type Wanted struct {
	Digest [32]byte // of the card's text
	Serial uint64
}

// Placement is the place of received bytes.
type Placement struct {
	Kind Kind
	// Code says why it is not simply Next: the reason of a Quarantine, Fork,
	// Ahead or NeedCard. In a Next it is the refusal that the verdict will be.
	Code karaulav1.Code
	// Detail says it in words, without content.
	Detail string
	// Position is where it stands or claims to stand; zero if that is unknown.
	Position Position
	// Leaf is SHA-256(0x00 || statement); zero if there is no statement.
	Leaf [32]byte
	// Parsed is set in a Next that is well-formed.
	Parsed *envelope.Parsed
	// Card is the origin's card under which a Next was verified.
	Card *card.Card
	// Want is set in a NeedCard.
	Want Wanted
	// Contest is set in a Fork: what was seen before and what is said now.
	Contest *karaulav1.Contest

	opens         bool              // first statement of a new epoch
	enters        bool              // from here on this party is in
	root          [32]byte          // in a NeedEdge: its prev_root
	behind        *ledger.Tree      // of a ledger that begins here for this party: what was said before
	backwards     bool              // said before its predecessor
	nextCard      *card.Card        // rules from the next number on
	nextAgreement *agreement.Signed // rules from the next number on
	rootChange    *notice.Notice    // what is signed by the new root counts from here on
}

// CardNext gives the card that a well-formed CARD statement brings, nil
// otherwise. The caller takes it into the register.
func (p *Placement) CardNext() *card.Card { return p.nextCard }

// AgreementNext gives the signed text that a well-formed AGREEMENT statement
// brings, nil otherwise. The caller takes it into the register before judging.
func (p *Placement) AgreementNext() *agreement.Signed { return p.nextAgreement }

// RootChangeNext gives the change of its root that a NOTICE statement of the
// origin brings, nil otherwise. Who has signed it is not checked. The caller
// takes it into the register before the next statement, which may bring a card by
// the new root.
func (p *Placement) RootChangeNext() *notice.Notice { return p.rootChange }

// OpensEpoch reports whether the statement begins a new epoch: numbers of the
// epoch before it beyond the head that it names are void.
func (p *Placement) OpensEpoch() bool { return p.opens }

// Behind gives size and root of what was said before a statement with which a
// ledger begins for a party that came in later: both from that statement.
func (p *Placement) Behind() (size uint64, root [32]byte) {
	return p.Position.Seq - 1, p.root
}

// Begins gives the right edge behind which the ledger begins with a statement
// that is Next; nil if it goes on from what is here.
func (p *Placement) Begins() *ledger.Tree { return p.behind }

// Verdict is the answer to one statement.
type Verdict struct {
	Class  karaulav1.VerdictClass
	Code   karaulav1.Code
	Detail string // for people, without content or personal data
	// Until is when a held statement is worth judging again by the clock alone;
	// zero if it waits for something else.
	Until time.Time
	// Inner is the opened content; only in an accepted ALERT or ACT.
	Inner *karaulav1.Inner
	// Descent says where an accepted ALERT comes from that was passed on.
	Descent *karaulav1.Descent
	// Clause allowed an accepted ALERT; Ref names it for people.
	Clause *agreement.Say
	Ref    string
	// Agreement and Card are the digests of the texts it was judged under.
	Agreement, Card [32]byte
	// Rules is the version of the rules, [Rules].
	Rules uint32
}

// Judgement is the verdict as the verdict stream records it.
func (v *Verdict) Judgement(p *Placement, now time.Time) *karaulav1.Judgement {
	return &karaulav1.Judgement{
		Seq: p.Position.Seq, Digest: p.Leaf[:], Class: v.Class, Code: v.Code, Rules: v.Rules,
		JudgedAt: now.UnixMicro(), Agreement: v.Agreement[:], Card: v.Card[:],
	}
}
