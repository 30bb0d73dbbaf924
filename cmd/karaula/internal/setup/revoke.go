package setup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"

	"karaula/internal/card"
	"karaula/internal/journal"
	"karaula/internal/ledger"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// OwnLedger is one ledger of the node's party and how far it goes, as the node
// itself knows.
type OwnLedger struct {
	Channel string
	Mode    karaulav1.Mode
	ID      ledger.ID
	Epoch   uint64
	Size    uint64 // last number that was signed, 0 if none was
}

// OwnLedgers reads from the signing journals how far the own ledgers go. The
// node must not run, or they would go on meanwhile.
func OwnLedgers(ctx context.Context, dir string) ([]OwnLedger, error) {
	l := node.Layout{Dir: dir}
	cfg, err := node.Load(dir)
	if err != nil {
		return nil, err
	}
	reg, err := register.Open(l.Register(), cfg.Party)
	if err != nil {
		return nil, err
	}
	if err := notRunning(ctx, l); err != nil {
		return nil, err
	}
	var out []OwnLedger
	// Also of channels that have ended or that the party has left: what the revocation
	// does not name of a ledger counts no more.
	for _, cv := range reg.View().AllChannels() {
		if !slices.Contains(cv.Everyone, cfg.Party) {
			continue
		}
		own := OwnLedger{
			Channel: cv.ID, Mode: cv.Channel.Mode, Epoch: 1,
			ID: ledger.NewID(cv.ID, cfg.Party, cv.Channel.Mode, cv.First),
		}
		if err := own.read(l.Journal(cv.Subject())); err != nil {
			return nil, err
		}
		out = append(out, own)
	}
	return out, nil
}

// read takes the ledger's end from its journal; no journal means that nothing
// was ever said.
func (o *OwnLedger) read(path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	j, err := journal.Open(path, journal.State{Ledger: o.ID, Channel: o.Channel, Epoch: 1, Tree: new(ledger.Tree)})
	if err != nil {
		return err
	}
	st := j.State()
	o.Epoch, o.Size = st.Epoch, st.Tree.Size()
	return j.Close()
}

// stillGood refuses a card that revokes the key of statements of ours beyond
// which the node has gone since the card was requested: what was said since
// would be repudiated, and the new card never begin to rule.
func (i *issue) stillGood(ctx context.Context, c *card.Card, repudiate bool) error {
	fresh := slices.DeleteFunc(slices.Clone(c.Revoked), func(r card.Revocation) bool {
		_, signs := i.before.SignKey(r.Key[:])
		return !signs
	})
	if len(fresh) == 0 {
		return nil
	}
	own, err := OwnLedgers(ctx, i.layout.Dir)
	if err != nil {
		return err
	}
	for _, o := range own {
		for _, r := range fresh {
			if !repudiate && r.Ledger == o.ID && r.Epoch == o.Epoch && r.Seq < o.Size {
				return problem.New(problem.Conflict,
					"the card repudiates what was said on %s after number %d, but number %d was said by this node; it was not taken in",
					o.Channel, r.Seq, o.Size).
					WithHint("make the request again; if it is meant: --repudiate, and then a new epoch (karaula ledger repair)")
			}
		}
	}
	return nil
}

// notRunning refuses while a node answers: it would go on meanwhile.
func notRunning(ctx context.Context, l node.Layout) error {
	conn, err := node.DialSocket(ctx, l.Socket())
	if err != nil {
		return nil //nolint:nilerr // nobody answers, which is what is wanted
	}
	_ = conn.Close()
	return problem.New(problem.Conflict,
		"the node in %s is running, and would go on under the key that is to be revoked; nothing was changed", l.Dir).
		WithHint("stop the node, revoke the key, and start the node again")
}
