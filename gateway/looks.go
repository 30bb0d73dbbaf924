package gateway

import (
	"context"
	"crypto/ed25519"
	"time"

	"karaula/gateway/diary"
	"karaula/internal/envelope"
	"karaula/internal/evidence"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/subject"
	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Times of the check of the desk's ledger.
const (
	checkAgain = time.Minute // after one that failed
	checkEvery = 24 * time.Hour
)

// openDiary takes up the ledger of what officers did.
func (g *Gateway) openDiary(ctx context.Context) (err error) {
	keys := g.o.Keys.Keys()
	g.diary, err = diary.Open(ctx, diary.Config{
		Log: g.deskLog, Stubs: g.stubs, Records: diary.NewRecords(g.o.Keys.Keys, deskKey(keys)),
		Path: g.o.Layout.DeskHead(), Now: g.o.Now, Logger: g.log,
	})
	return err
}

// checkDiary reads the whole ledger at the start and once a day.
func (g *Gateway) checkDiary(ctx context.Context) {
	for {
		wait := checkEvery
		if err := g.diary.Check(ctx); err != nil {
			if ctx.Err() == nil {
				g.log.Warn("the desk's ledger could not be checked; in a minute again", "why", err.Error())
			}
			wait = checkAgain
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// deskPruneEvery is how often it is looked for records at their end.
const deskPruneEvery = time.Hour

// pruneDiary takes out the records of the desk that are past their term.
func (g *Gateway) pruneDiary(ctx context.Context) {
	for {
		if err := g.pruneDesk(ctx); err != nil && ctx.Err() == nil {
			g.log.Warn("records of the desk past their term are still there; in an hour again", "why", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(deskPruneEvery):
		}
	}
}

// pruneDesk takes out all that are due. Stock is not taken meanwhile, and is told
// what is missing now.
func (g *Gateway) pruneDesk(ctx context.Context) error {
	before := g.o.Now().Add(-max(g.o.Config.DeskRetention, node.DeskRetention))
	for {
		g.stocking.Lock()
		tried, err := g.diary.Prune(ctx, before)
		if s := g.shelves[subject.DeskStream]; s != nil {
			s.Excuse(uint64(tried)) //nolint:gosec // a count
		}
		g.stocking.Unlock()
		if err != nil || !diary.Full(tried) {
			return err
		}
	}
}

// signDeskHead signs what an export of the desk's ledger ends with, under the own card.
func (g *Gateway) signDeskHead(h *karaulav1.DeskHead) (*karaulav1.DeskSigned, error) {
	c, ok := g.o.Register.View().Card(g.self)
	if !ok {
		return nil, problem.New(problem.Locked, "the own card is not in the register, so the export cannot be signed")
	}
	key, err := g.signer(karaulav1.Mode_MODE_ACTUAL)(c.Digest)
	if err != nil {
		return nil, err
	}
	h.Card = c.Digest[:]
	body, err := wire.Marshal(h, evidence.MaxDeskPiece)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the head of the desk's ledger cannot be written")
	}
	return &karaulav1.DeskSigned{
		Head: body, KeyId: key.KeyID[:], Signature: ed25519.Sign(key.Key, envelope.PAE(evidence.DeskHeadType, body)), Card: c.Signed,
	}, nil
}
