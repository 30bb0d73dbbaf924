package gateway

import (
	"bytes"
	"context"
	"errors"
	"time"

	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/problem"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// proveTimeout bounds how long a partner may take to show what it holds of us.
const proveTimeout = 5 * time.Second

// errUnproven says that a partner claims to hold more of us than there is, and
// does not show it.
var errUnproven = problem.New(problem.Verification, "it did not show a statement with our signature")

// errRevoked says that what a partner shows was signed with an own key that did not
// count any more there: whoever has stolen it could say so.
var errRevoked = problem.New(problem.Verification, "it shows a statement that a revoked key of ours has signed")

// prove asks a partner for the statement that its head speaks of, and gives the
// reason to stop if it holds one with our signature that our journal does not
// know. A head alone is only its word: whoever shares a channel with us could
// silence us towards everybody else on it.
//
// Gives nil if what it holds is ours, errUnproven if it shows nothing, errRevoked if
// what it shows counts for nobody, and a problem of kind Unreachable if it or our own broker cannot be asked now.
func (p *partner) prove(ctx context.Context, c *channel, own, theirs *karaulav1.Head) error {
	epoch, seq := own.GetEpoch(), min(theirs.GetSize(), own.GetSize()+1)
	if theirs.GetEpoch() > epoch {
		epoch, seq = theirs.GetEpoch(), 1
	}
	asking, cancel := context.WithTimeout(ctx, proveTimeout)
	defer cancel()
	raw, err := p.stub(asking, [32]byte(own.GetLedger()), epoch, seq)
	if problem.Is(err, problem.Unreachable) {
		return err //nolint:wrapcheck // the link says who does not answer
	}
	if err != nil {
		return errUnproven
	}
	st, ok := ownStatement(p.g.o.Register.View(), raw)
	if !ok || !bytes.Equal(st.Statement.GetLedger(), own.GetLedger()) || st.Statement.GetEpoch() != epoch ||
		st.Statement.GetSeq() != seq {
		return errUnproven
	}
	if border.Repudiated(p.g.o.Register.View(), st.Statement) {
		c.impostor(p.code, st.Statement)
		return errRevoked
	}
	// The journal is asked again: the partner chooses when it answers.
	if now := c.writer.Head(); epoch == now.GetEpoch() && seq <= now.GetSize() {
		leaf, known := c.leaf(epoch, seq)
		switch {
		case !known: // just signed, or our own broker does not answer
			return problem.New(problem.Unreachable, "our own statement %d on channel %s cannot be read now", seq, c.id)
		case leaf == st.Leaf:
			return nil // said meanwhile, or its root is a lie
		}
	}
	return problem.New(problem.Verification,
		"%s holds a statement %d of ours on channel %s that the signing journal does not know; nothing is said there",
		p.code, seq, c.id).WithHint("karaula ledger repair --channel %s", c.id)
}

// noProof reports whether an answer to [partner.prove] gives no reason to stop.
func noProof(err error) bool { return errors.Is(err, errUnproven) || errors.Is(err, errRevoked) }

// stub asks the partner for one statement without its content.
func (p *partner) stub(ctx context.Context, led [32]byte, epoch, seq uint64) ([]byte, error) {
	p.mu.Lock()
	shows, client := p.shows, p.client
	p.mu.Unlock()
	if shows != nil {
		return shows(seq)
	}
	if client == nil {
		return nil, problem.New(problem.Unreachable, "the link to %s is down", p.code)
	}
	all, err := client.GetStubs(ctx, led, epoch, seq, seq)
	if err != nil {
		return nil, err //nolint:wrapcheck // the link says who refuses and why
	}
	return all[0], nil
}

// ownStatement reads an envelope that one of our own cards' keys has signed.
func ownStatement(view *register.View, raw []byte) (*envelope.Parsed, bool) {
	p, err := envelope.ParseOuter(raw)
	if err != nil || p.Statement.GetOrigin() != view.Self() {
		return nil, false
	}
	card, ok := view.CardByDigest([32]byte(p.Statement.GetCard()))
	if !ok || card.Party != view.Self() || p.VerifySignatures(card.StatementKey) != nil {
		return nil, false
	}
	return p, true
}
