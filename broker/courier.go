package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"karaula/internal/card"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
)

// courierTimeout bounds one exchange with the stream.
const courierTimeout = 5 * time.Second

// maxWait is how many texts may wait for others that they stand on.
const maxWait = 1000

var errTooMany = errors.New("the stream holds too much that cannot be taken in")

// Kinds of signed texts, as their subjects name them.
const (
	textCard      = "card"
	textAgreement = "agreement"
	textNotice    = "notice"
)

// courier keeps the registers of a cluster's machines the same: what is in the
// register of this one it puts into the stream REGISTER, and what is there it
// takes into the register. Every text is signed and checked as if a person had
// brought it, and a card that nobody has compared is not taken from the stream
// unless an agreement names its root: so whoever writes into the stream can
// withhold, and nothing else.
type courier struct {
	js  jetstream.JetStream
	reg *register.Register
	log *slog.Logger

	next   uint64              // sequence of the stream that is read next
	there  map[string]bool     // subjects of texts that the stream has
	wait   map[string]signed   // texts that could not be taken in yet, by subject
	heard  bool                // a text came since they were tried
	tried  uint64              // generation at which they were tried last
	posted uint64              // generation whose texts are all in the stream
	failed map[string]struct{} // what was logged
}

// signed is one text with its kind.
type signed struct {
	kind string
	file []byte
}

func newCourier(nc *nats.Conn, reg *register.Register, log *slog.Logger) *courier {
	js, err := jetstream.New(nc)
	if err != nil { // only options can fail, and there are none
		panic(err)
	}
	return &courier{
		js: js, reg: reg, log: log, next: 1, there: map[string]bool{}, wait: map[string]signed{},
		failed: map[string]struct{}{},
	}
}

// subject names a text by what it says.
func (s signed) subject() string {
	digest := sha256.Sum256(s.file)
	return subject.Text(s.kind, hex.EncodeToString(digest[:]))
}

// run carries texts until ctx ends.
func (c *courier) run(ctx context.Context, pause time.Duration) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		if err := c.step(ctx); err != nil && ctx.Err() == nil {
			c.once("the registers of the other machines cannot be reached", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// step reads what is new in the stream, and then puts there what it lacks.
func (c *courier) step(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, courierTimeout)
	defer cancel()
	stream, err := c.js.Stream(ctx, subject.RegisterStream)
	if err != nil {
		return err
	}
	if last := stream.CachedInfo().State.LastSeq; last < c.next-1 { // another stream, or an older one
		c.next, c.there, c.posted = 1, map[string]bool{}, 0
	}
	for {
		m, err := stream.GetMsg(ctx, c.next, jetstream.WithGetMsgSubject(subject.Text("*", "*")))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return err
		}
		c.next, c.there[m.Subject] = m.Sequence+1, true
		c.hear(m)
	}
	c.take()
	return c.post(ctx)
}

// hear notes a text of the stream.
func (c *courier) hear(m *jetstream.RawStreamMsg) {
	kind, _, _ := strings.Cut(strings.TrimPrefix(m.Subject, "register."), ".")
	s := signed{kind, m.Data}
	if s.subject() != m.Subject {
		return
	}
	if len(c.wait) >= maxWait {
		clear(c.wait) // somebody fills the stream; what a machine really has it can be given by hand
		c.once("more texts wait than ever belong together; they were dropped", errTooMany)
	}
	c.wait[m.Subject], c.heard = s, true
}

// take takes in what waits. What cannot be taken in yet, because it stands on
// something that is not here, is tried again when the register has changed.
func (c *courier) take() {
	for len(c.wait) > 0 {
		generation := c.reg.View().Generation()
		if generation == c.tried && !c.heard {
			return
		}
		c.tried, c.heard = generation, false
		for subj, s := range c.wait {
			err := c.add(s)
			if err == nil || !problem.Is(err, problem.NotFound) && !problem.Is(err, problem.Verification) {
				delete(c.wait, subj) // in, or never
			}
			if err != nil {
				c.once("a signed text of another machine was not taken in", err)
			}
		}
	}
}

// add takes one text into the register, if it has the right to be there.
func (c *courier) add(s signed) error {
	switch s.kind {
	case textCard:
		return addPinned(c.reg, s.file)
	case textAgreement:
		_, err := c.reg.AddAgreement(s.file)
		return err
	case textNotice:
		return c.reg.AddNotice(s.file)
	default:
		return problem.New(problem.Invalid, "a text of kind %q", s.kind)
	}
}

// post puts into the stream what the register has and the stream has not.
func (c *courier) post(ctx context.Context) error {
	view := c.reg.View()
	if view.Generation() == c.posted && c.posted > 0 {
		return nil
	}
	for _, s := range texts(view) {
		subj := s.subject()
		if c.there[subj] {
			continue
		}
		_, err := c.js.PublishMsg(ctx, &nats.Msg{Subject: subj, Data: s.file},
			jetstream.WithExpectStream(subject.RegisterStream), jetstream.WithExpectLastSequencePerSubject(0))
		var api *jetstream.APIError
		if err != nil && (!errors.As(err, &api) || api.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequence) {
			return err
		}
		c.there[subj] = true
	}
	c.posted = view.Generation()
	return nil
}

// texts lists everything signed that a register holds.
func texts(view *register.View) []signed {
	var out []signed
	for _, e := range view.Agreements() {
		out = append(out, signed{textAgreement, e.File})
	}
	for _, p := range view.Parties() {
		for _, c := range view.Cards(p.Code) {
			out = append(out, signed{textCard, c.Signed})
		}
		for _, n := range view.Notices(p.Code) {
			out = append(out, signed{textNotice, n.Signed})
		}
	}
	return out
}

// once logs a failure, and does not repeat itself.
func (c *courier) once(what string, err error) {
	text := what + ": " + err.Error()
	if _, said := c.failed[text]; said {
		return
	}
	if len(c.failed) > 1000 {
		clear(c.failed)
	}
	c.failed[text] = struct{}{}
	c.log.Warn("the machines' registers may differ", "what", what, "why", err.Error())
}

// addPinned takes in a card whose root is known: by an agreement, or by an
// earlier card. The first card of a stranger is a person's to compare.
func addPinned(reg *register.Register, file []byte) error {
	c, err := card.Open(file)
	if err != nil {
		return err
	}
	view := reg.View()
	roots, _ := view.PinnedRoots(c.Party)
	newest := uint64(0)
	for _, have := range view.Cards(c.Party) {
		roots, newest = append(roots, have.Root), max(newest, have.Serial)
	}
	if len(roots) == 0 {
		return problem.New(problem.NotFound, "the root of %s has not been compared on this machine", c.Party).
			WithHint("karaula party add CARD --fingerprint … --dir DIR")
	}
	_, err = reg.AddCard(file, register.AddCardOptions{History: c.Serial < newest})
	return err
}
