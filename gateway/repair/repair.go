// Package repair finds out where an own ledger stands that cannot be continued
// as it is, from everything that was ever signed of it: the own stream, the
// signing journal, and what the partners hold. It then puts back into the stream
// what is missing there, in the exact bytes, and begins a journal behind it.
//
// The bytes decide, never anybody's word. Each statement is checked as a partner
// checks it: signature under the card that rules at its place, number, epoch and
// the root of everything before. What a partner claims and does not show counts
// for nothing, unless the partner has signed that it holds it and the journal,
// which would know better, is gone.
//
// It must never sign, never change or drop what is stored, never put anything
// into the stream that does not continue the ledger, and never begin a journal
// at a number behind which somebody may hold another one.
package repair

import (
	"context"

	"karaula/gateway/erase"
	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/journal"
	"karaula/internal/ledger"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Partner is who can be asked for what it holds of the own ledger. Errors of
// kind Unreachable mean that it cannot be asked now.
type Partner interface {
	// Head gives the head that it says it holds; nil if none.
	Head(ctx context.Context) (*karaulav1.Head, error)
	// Stubs gives statements without content, ascending from number from.
	Stubs(ctx context.Context, epoch, from, to uint64) ([][]byte, error)
	// Statements gives them with their content, as far as it is there.
	Statements(ctx context.Context, epoch, from, to uint64) ([][]byte, error)
}

// Config is what a repair needs.
type Config struct {
	Ledger  ledger.ID
	Channel string
	Self    string
	Mode    karaulav1.Mode
	Checker *border.Checker
	View    func() *register.View
	// Log is the own stream.
	Log *stream.Log
	// Stubs are the own statements whose content was erased, by place.
	Stubs erase.Stubs
	// Journal is where the signing journal stands; nil if it cannot be read.
	Journal *journal.State
	// Pending is what the journal has signed and not seen confirmed.
	Pending []journal.Entry
	// Floor is how far the ledger had gone at least, as a backup says that the node
	// was restored from; zero if it was not.
	Floor border.Position
	// Copied is set if the journal is a copy, and more may have been signed than it knows.
	Copied bool
	// Partners are the channel's other parties, by code.
	Partners map[string]Partner
	// Signed are the heads of the ledger that partners have signed, by code.
	Signed map[string]*karaulav1.Head
}

// State is what a survey comes to.
type State string

// The states.
const (
	// Fine: stream and journal agree with each other and with the partners.
	Fine State = "fine"
	// Mendable: everything that was signed is there or can be had.
	Mendable State = "mendable"
	// Waits: a partner cannot be asked now, and may hold more.
	Waits State = "waits"
	// Lost: more was signed than anybody shows. A new epoch is the way out.
	Lost State = "lost"
	// Revoked: the own card says that a key did not count any more when it signed
	// the last statements. A new epoch is the way out.
	Revoked State = "revoked"
	// Contested: two histories carry the own signature. A new epoch is the way out.
	Contested State = "contested"
)

// Fork is two statements that contradict each other.
type Fork struct {
	Position border.Position
	// First is what the longer history has there, Second the other one; without parts.
	First, Second []byte
	// From says where the second one came from.
	From string
}

// Survey is what was found.
type Survey struct {
	State State
	// Found says it, one line each.
	Found []string
	// Reason is the code of a new epoch for what was found.
	Reason string
	// Head is the last place of the history that holds.
	Head border.Position
	Root [32]byte
	// Missing is how many statements of it the stream does not hold in order, and
	// Stubs is for [Survey.Mend] to count.
	Missing uint64
	// Rewrite is set if the journal must begin anew behind the head.
	Rewrite bool
	// Away are the partners that could not be asked.
	Away []string
	// Fork is set in a Contested, if both sides are here.
	Fork *Fork
	// Vain is the first number at which a partner holds what a revoked own key has
	// signed behind the last number that counts of it; nil: none does. Somebody
	// else may have said it, and where the journal is sound it changes nothing.
	Vain *border.Position

	cfg     Config
	history *history
	missing []missing
	fetched map[[32]byte][]byte // by leaf, whole, ahead of their turn
	end     uint64
}

// missing is a statement that the stream must be given.
type missing struct {
	at   border.Position
	leaf [32]byte
	raw  []byte // the whole envelope, if it is here
}
