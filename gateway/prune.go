package gateway

import (
	"context"
	"time"

	"karaula/internal/keyring"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Times of the destruction of old keys.
const (
	pruneFirst = time.Hour      // after the start
	pruneEvery = 24 * time.Hour // from then on
)

// pruneKeys destroys the old keys that nothing needs: to which no content is
// sealed that is still here, and to which no partner will seal any more. Keys
// that sign go when no ledger waits for them. record is asked before anything is
// destroyed, with what it is; its error stops it.
//
// Keys that no card has named, such as those of a request that was never signed,
// stay: nobody knows whether the card will still come.
func (g *Gateway) pruneKeys(
	ctx context.Context, record func([]keyring.Held) error,
) ([]keyring.Held, error) {
	s, err := g.scanKeys(ctx, &karaulav1.KeyUseRequest{})
	if err != nil {
		return nil, err
	}
	needed := map[[16]byte]bool{}
	for _, u := range s.usages {
		if u.GetOnDisk() > 0 {
			needed[[16]byte(u.GetKey())] = true
		}
	}
	var old []keyring.Held
	var ids [][16]byte
	for _, k := range g.o.Keys.Keys().Held() {
		if s.newest(k) || s.expected(k.ID, k.Use) || opens(k.Use) && needed[k.ID] || !opens(k.Use) && s.introduces(k) {
			continue
		}
		old, ids = append(old, k), append(ids, k.ID)
	}
	if len(old) == 0 {
		return nil, nil
	}
	if err := record(old); err != nil {
		return nil, err
	}
	return g.o.Keys.Forget(ids...)
}

// newest reports whether a key is the one of its use that was made last.
func (s *keyScan) newest(k keyring.Held) bool {
	for _, other := range s.g.o.Keys.Keys().Held() {
		if other.Use == k.Use {
			return other.ID == k.ID
		}
	}
	return false
}

func opens(use karaulav1.KeyUse) bool {
	switch use {
	case karaulav1.KeyUse_KEY_USE_SEAL, karaulav1.KeyUse_KEY_USE_ARCHIVE, karaulav1.KeyUse_KEY_USE_EXERCISE_SEAL:
		return true
	default:
		return false
	}
}

// introduces reports whether a key that signs is still needed to say a new card
// on some channel that is open or may be again.
func (s *keyScan) introduces(k keyring.Held) bool {
	if k.Use != karaulav1.KeyUse_KEY_USE_SIGN && k.Use != karaulav1.KeyUse_KEY_USE_EXERCISE_SIGN {
		return false
	}
	for _, cv := range s.view.Channels() {
		if !contains(cv.Parties, s.g.self) || !s.g.o.Now().Before(cv.ClosesAt) {
			continue
		}
		c := s.g.channel(cv.ID)
		if c == nil {
			return true // not to be told now
		}
		head := c.writer.Head()
		if _, ok := s.dropped[dropOf{cv.ID, head.GetEpoch(), k.ID}]; !ok && head.GetSize() > 0 {
			return true
		}
	}
	return false
}

// mindKeys prunes once a day.
func (g *Gateway) mindKeys(ctx context.Context) {
	now := g.o.Now()
	if g.pruneAt.IsZero() {
		g.pruneAt = now.Add(pruneFirst)
	}
	if now.Before(g.pruneAt) || !g.filled() {
		return
	}
	g.pruneAt = now.Add(pruneEvery)
	g.work.Go(func() {
		gone, err := g.pruneKeys(ctx, func(old []keyring.Held) error { return g.desk.RecordPruned(ctx, old) })
		if err != nil && ctx.Err() == nil {
			g.log.Warn("old keys could not be destroyed, tomorrow again", "why", err.Error())
		}
		if len(gone) > 0 {
			g.log.Info("old keys to which nothing is sealed any more were destroyed", "keys", len(gone))
		}
	})
}
