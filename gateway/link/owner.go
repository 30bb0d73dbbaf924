package link

import (
	"context"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Owner is what the link service asks the gateway for. The service has
// verified that the question comes from partner, is well-formed, fresh and not
// too often; whether partner may have the answer is for the Owner to check, as
// each method says. Methods are called by one goroutine per partner.
//
// Errors are told to the partner as a code only: a problem of kind NotFound as
// "not-found", NotAllowed as "not-a-party", Invalid as "malformed", anything
// else as "failed".
type Owner interface {
	// Standing gives what we have, for partner: only agreements, own heads and
	// seen heads of channels that partner is a party to.
	Standing(partner string) *karaulav1.Standing
	// Rewind makes partner's consumer of the channel deliver again from a
	// number on. It must check that partner is a party to the channel and that
	// its phase still lets statements be fetched.
	Rewind(ctx context.Context, partner, channel string, epoch, from uint64) (*karaulav1.RewindReply, error)
	// CardFile gives our own signed card; serial 0 is the one in force. Cards
	// are for every partner.
	CardFile(serial uint64) ([]byte, bool)
	// TakeCard takes in a card that partner brings of itself, and gives the serial of
	// the newest one of partner's that is here. It must refuse another party's, and
	// believe it no more than one that was fetched.
	TakeCard(partner string, file []byte) (uint64, error)
	// NoticeFiles gives our own notices with a greater serial, ascending.
	// Notices name agreements: it gives partner only those about agreements
	// that partner is a party to.
	NoticeFiles(partner string, after uint64) [][]byte
	// AgreementFile gives the text with this digest, with the signatures that
	// we have, if partner is a party to it or is proposed as one in it.
	AgreementFile(partner string, digest [32]byte) ([]byte, bool)
	// Envelopes gives statements of a ledger, ascending from number from to at
	// most number to, and at most maxBytes in sum; with stub set without their
	// parts. It must check that the ledger is one of a channel that partner is
	// a party to (ours, partner's own, or another party's), and must not give
	// content past its erasure.
	Envelopes(ctx context.Context, partner string, ledger [32]byte, epoch, from, to uint64,
		maxBytes int, stub bool) ([][]byte, error)
	// Frontier gives the right edge of a ledger's tree at a size, from the
	// largest subtree to the smallest. It must check as Envelopes does.
	Frontier(ctx context.Context, partner string, ledger [32]byte, epoch, size uint64) ([][]byte, error)
}
