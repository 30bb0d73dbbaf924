// Package visit is an auditor's reading at a party's broker: with the auditor's
// own login and nothing of the party's node.
//
// It must never believe what it reads, never write anything but the auditor's own
// register and log, and never read before the reason is in that log.
package visit

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"karaula/gateway/desk"
	"karaula/gateway/link"
	"karaula/gateway/reread"
	"karaula/internal/evidence"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Options say who visits whom, and why.
type Options struct {
	Layout   node.Layout // the auditor's folder
	Register *register.Register
	Keys     *keyring.Auditor
	Party    string // whose broker
	Address  string // host:port; empty: as the party's card says
	Channel  string // empty: every channel that the auditor may read
	Deed     string // replay, export …
	Reason   string
	Skew     time.Duration
	Now      func() time.Time
}

// maxReason bounds a reason, in bytes.
const maxReason = 500

// Begin writes down the visit, logs in, takes in the cards and texts that the
// party's statements carry, and gives what there is to read. The caller closes
// the connection.
func Begin(ctx context.Context, o Options) (*desk.Inspection, *nats.Conn, error) {
	if o.Reason == "" || len(o.Reason) > maxReason {
		return nil, nil, problem.New(problem.Invalid, "an audit needs a reason, of at most %d bytes; nothing was read", maxReason)
	}
	card, ok := o.Register.View().Card(o.Party)
	if !ok {
		return nil, nil, problem.New(problem.NotFound, "no card of %q is known; nothing was read", o.Party).
			WithHint("karaula party add CARD --dir %s", o.Layout.Dir)
	}
	v := &visitor{o: o}
	if len(v.ledgers(o.Register.View())) == 0 {
		return nil, nil, problem.New(problem.NotAllowed,
			"no agreement of %s that is known here names %s as an auditor of channel %q; nothing was read", o.Party, o.Keys.Party, o.Channel).
			WithHint("karaula agreement list --dir %s", o.Layout.Dir)
	}
	if err := v.log(); err != nil {
		return nil, nil, err
	}
	if o.Address != "" {
		other := *card
		other.Address = []string{o.Address}
		card = &other
	}
	nc, err := link.Dial(ctx, link.DialOptions{
		Card: card, Self: o.Keys.Party, Certificate: o.Keys.TLS, Nkey: o.Keys.NATS, Now: o.Now,
		OnDenied: func(string) { v.denied.Store(true) },
	})
	if err != nil {
		return nil, nil, err
	}
	v.nc = nc
	if err := v.learn(ctx); err != nil {
		nc.Close()
		return nil, nil, err
	}
	view := o.Register.View()
	return &desk.Inspection{Party: o.Keys.Party, Files: view.Files(), View: view, Skew: o.Skew, Inputs: v.inputs(ctx, view)}, nc, nil
}

// visitor is one visit.
type visitor struct {
	o      Options
	nc     *nats.Conn
	denied atomic.Bool // the broker did not permit something
}

// ledgers are those that the broker should have and the auditor may read.
func (v *visitor) ledgers(view *register.View) (out []evidence.Input) {
	for _, cv := range view.AllChannels() {
		if _, named := cv.Agreement.Auditor(v.o.Keys.Party); !named || v.o.Channel != "" && cv.ID != v.o.Channel {
			continue
		}
		if _, party := cv.Agreement.Party(v.o.Party); !party {
			continue
		}
		for _, origin := range cv.Agreement.Codes() {
			out = append(out, evidence.Input{Channel: cv.ID, Origin: origin, Mode: cv.Channel.Mode, ID: cv.Ledger(origin)})
		}
	}
	return out
}

// inputs are these ledgers, to be read.
func (v *visitor) inputs(ctx context.Context, view *register.View) []evidence.Input {
	list := v.ledgers(view)
	for i, in := range list {
		list[i].Pieces = func(yield func(evidence.Raw, error) bool) {
			if err := v.read(ctx, in, func(r evidence.Raw) bool { return yield(r, nil) }); err != nil {
				yield(evidence.Raw{}, err)
			}
		}
	}
	return list
}

// errEnough ends a reading.
var errEnough = errors.New("enough")

// read reads one ledger while fn wants more.
func (v *visitor) read(ctx context.Context, in evidence.Input, fn func(evidence.Raw) bool) error {
	store, err := reread.Guest(v.nc, in.Channel, in.Origin)
	if err != nil {
		return err
	}
	err = reread.Ledger(ctx, reread.Source{
		Self: v.o.Party, Channel: subject.On(in.Channel, in.Mode), Origin: in.Origin, Store: store,
	}, func(p *karaulav1.StoredPiece) error {
		if !fn(evidence.Raw{Data: p.GetData(), Where: p.GetWhere()}) {
			return errEnough
		}
		return nil
	})
	switch {
	case errors.Is(err, errEnough):
		return nil
	case err != nil && (v.denied.Load() || errors.Is(err, nats.ErrNoResponders)):
		return problem.Wrap(problem.NotAllowed, err, "the broker of %s does not let %s read channel %s",
			v.o.Party, v.o.Keys.Party, in.Channel).
			WithHint("it does while an agreement is open that names the auditor, once it has the auditor's newest card")
	}
	return err //nolint:wrapcheck // says which stream
}
