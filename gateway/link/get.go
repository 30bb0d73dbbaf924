package link

import (
	"context"

	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// tooLarge says that the first thing asked for does not fit into a reply.
type tooLarge struct{}

// Error says so.
func (*tooLarge) Error() string { return "the first of the statements does not fit into a reply" }

// get asks the Owner for something by name.
func (p *peer) get(ctx context.Context, g *karaulav1.Get) (*karaulav1.GetReply, error) {
	owner := p.s.o.Owner
	switch what := g.GetWhat().(type) {
	case *karaulav1.Get_Card:
		return oneText(owner.CardFile(what.Card.GetSerial()))
	case *karaulav1.Get_Notices:
		return &karaulav1.GetReply{Texts: fit(owner.NoticeFiles(p.name, what.Notices.GetAfterSerial()), maxTexts)}, nil
	case *karaulav1.Get_Agreement:
		return oneText(owner.AgreementFile(p.name, [32]byte(what.Agreement.GetDigest())))
	case *karaulav1.Get_Stubs:
		return p.statements(ctx, what.Stubs, true)
	case *karaulav1.Get_Statements:
		return p.statements(ctx, what.Statements, false)
	case *karaulav1.Get_Frontier:
		f := what.Frontier
		hashes, err := owner.Frontier(ctx, p.name, [32]byte(f.GetLedger()), f.GetEpoch(), f.GetSize())
		if err != nil {
			return nil, err
		}
		return &karaulav1.GetReply{Frontier: hashes}, nil
	}
	return nil, problem.New(problem.Invalid, "nothing was asked for") // checkRequest has seen to it
}

// statements gives as many of a range as fit into a reply.
func (p *peer) statements(ctx context.Context, g *karaulav1.GetStatements, stub bool) (*karaulav1.GetReply, error) {
	// A range of 2^64 numbers is asked for in good faith; the Owner is asked for no more than a reply can hold.
	from, to := g.GetFromSeq(), g.GetToSeq()
	if to-from >= maxStatements {
		to = from + maxStatements - 1
	}
	found, err := p.s.o.Owner.Envelopes(ctx, p.name, [32]byte(g.GetLedger()), g.GetEpoch(), from, to,
		MaxStatementBytes, stub)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, problem.New(problem.NotFound, "none of these statements is here")
	}
	some := fit(found, maxStatements)
	if len(some) == 0 {
		return nil, &tooLarge{}
	}
	return &karaulav1.GetReply{Envelopes: some}, nil
}

// oneText answers with a file, if there is one.
func oneText(file []byte, ok bool) (*karaulav1.GetReply, error) {
	if !ok {
		return nil, problem.New(problem.NotFound, "there is no such text")
	}
	return &karaulav1.GetReply{Texts: [][]byte{file}}, nil
}

// fit gives the first of list that fit into a reply, at most most of them.
// Five bytes are the greatest overhead of an element.
func fit(list [][]byte, most int) [][]byte {
	room := MaxStatementBytes
	for i, b := range list {
		room -= len(b) + 5
		if room < 0 || i >= most {
			return list[:i]
		}
	}
	return list
}
