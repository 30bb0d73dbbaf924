package gateway

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"karaula/gateway/stream"
	"karaula/internal/card"
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// keyScan counts what the own keys are used for, from everything that the node
// holds. It opens nothing.
type keyScan struct {
	g    *Gateway
	view *register.View
	want map[string]bool // key ids; empty: all
	from int64
	to   int64 // 0: no end

	seen    map[placeOf]bool
	usages  map[usageOf]usage
	dropped map[dropOf]uint64 // first own number from which on a channel's card has not got a key
}

type placeOf struct {
	ledger     string
	epoch, seq uint64
}

type usageOf struct {
	key             string
	channel, origin string
	epoch           uint64
}

type dropOf struct {
	channel string
	epoch   uint64
	key     [16]byte
}

// keyUse answers the desk.
func (g *Gateway) keyUse(ctx context.Context, req *karaulav1.KeyUseRequest) (*karaulav1.KeyUseResponse, error) {
	s, err := g.scanKeys(ctx, req)
	if err != nil {
		return nil, err
	}
	resp := &karaulav1.KeyUseResponse{Held: g.heldKeys()}
	for _, u := range s.usages {
		resp.Usages = append(resp.Usages, u.KeyUsage)
	}
	slices.SortFunc(resp.GetUsages(), func(a, b *karaulav1.KeyUsage) int {
		return cmp.Or(cmp.Compare(string(a.GetKey()), string(b.GetKey())), cmp.Compare(a.GetChannel(), b.GetChannel()),
			cmp.Compare(a.GetOrigin(), b.GetOrigin()), cmp.Compare(a.GetEpoch(), b.GetEpoch()))
	})
	for _, k := range g.o.Keys.Keys().Held() {
		if s.expected(k.ID, k.Use) {
			resp.Expected = append(resp.Expected, k.ID[:])
		}
	}
	return resp, nil
}

// heldKeys gives the ids of the private keys in memory.
func (g *Gateway) heldKeys() [][]byte {
	var out [][]byte
	for _, k := range g.o.Keys.Keys().Held() {
		out = append(out, k.ID[:])
	}
	return out
}

// scanKeys reads every stream of every channel of this party, closed ones
// included. What cannot be read ends it: half a count would be a wrong one.
func (g *Gateway) scanKeys(ctx context.Context, req *karaulav1.KeyUseRequest) (*keyScan, error) {
	s := &keyScan{
		g: g, view: g.o.Register.View(), want: map[string]bool{}, from: req.GetFrom(), to: req.GetTo(),
		seen: map[placeOf]bool{}, usages: map[usageOf]usage{}, dropped: map[dropOf]uint64{},
	}
	for _, id := range req.GetKeys() {
		s.want[string(id)] = true
	}
	var names []string
	for _, cv := range s.view.AllChannels() {
		if !contains(cv.Everyone, g.self) {
			continue
		}
		names = append(names, subject.Out(cv.Subject()))
		for _, p := range cv.Everyone {
			if p != g.self {
				names = append(names, subject.InStream(cv.Subject(), p))
			}
		}
	}
	for _, name := range append(names, subject.StubStream) { // stubs last: what is whole counts as whole
		err := stream.Open(g.js, name).Read(ctx, 1, "", func(m stream.Stored) error {
			s.take(m.Data)
			return nil
		})
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil, problem.Wrap(problem.Unreachable, err, "stream %s cannot be read, so nothing was counted", name)
		}
	}
	return s, s.readDesk(ctx)
}

// deskWord stands for the desk stream where a channel's id would; it is no id.
const deskWord = "desk"

// readDesk counts what the archive keys open of the desk stream.
func (s *keyScan) readDesk(ctx context.Context) error {
	err := s.g.deskLog.Read(ctx, 1, "", func(m stream.Stored) error {
		var rec karaulav1.DeskRecord
		at := m.Time.UnixMicro()
		if proto.Unmarshal(m.Data, &rec) != nil || len(rec.GetKeyId()) != 16 || at < s.from || s.to != 0 && at >= s.to {
			return nil
		}
		s.count(&karaulav1.Statement{
			Channel: deskWord, Origin: s.g.self, Epoch: 1, Seq: m.Seq, SaidAt: at, Ledger: make([]byte, 32),
		}, rec.GetKeyId(), karaulav1.KeyUse_KEY_USE_ARCHIVE, true)
		return nil
	})
	if err != nil {
		return problem.Wrap(problem.Unreachable, err, "the desk stream cannot be read, so nothing was counted")
	}
	return nil
}

// take counts one stored statement, if its origin has signed it and it was not
// counted before.
func (s *keyScan) take(raw []byte) {
	p, err := envelope.Parse(raw)
	if err != nil {
		return
	}
	st := p.Statement
	c, ok := s.view.CardByDigest([32]byte(st.GetCard()))
	at := placeOf{string(st.GetLedger()), st.GetEpoch(), st.GetSeq()}
	if s.seen[at] || !ok || c.Party != st.GetOrigin() || p.VerifySignatures(c.StatementKey) != nil {
		return
	}
	s.seen[at] = true
	if st.GetOrigin() == s.g.self {
		s.noteDropped(st, c)
	}
	if st.GetSaidAt() < s.from || s.to != 0 && st.GetSaidAt() >= s.to {
		return
	}
	if st.GetOrigin() == s.g.self {
		for _, by := range st.GetSigners() {
			if k, ok := c.SignKey(by.GetKeyId()); ok {
				s.count(st, by.GetKeyId(), k.Use, !p.IsStub() && len(st.GetParts()) > 0)
			}
		}
	}
	for _, part := range st.GetParts() {
		for _, r := range part.GetRecipients() {
			if r.GetParty() == s.g.self {
				s.count(st, r.GetKeyId(), r.GetUse(), !p.IsStub())
			}
		}
	}
}

// count enters a statement under a key.
func (s *keyScan) count(st *karaulav1.Statement, key []byte, use karaulav1.KeyUse, whole bool) {
	if len(s.want) > 0 && !s.want[string(key)] {
		return
	}
	at := usageOf{string(key), st.GetChannel(), st.GetOrigin(), st.GetEpoch()}
	u := s.usages[at]
	if u.KeyUsage == nil {
		u = usage{&karaulav1.KeyUsage{
			Key: key, Use: use, Channel: at.channel, Origin: at.origin, Epoch: at.epoch,
			FirstSeq: st.GetSeq(), FirstAt: st.GetSaidAt(),
		}}
		_, u.LastGood, u.Revoked = s.view.LastGood(s.g.self, [32]byte(st.GetLedger()), [16]byte(key))
		s.usages[at] = u
	}
	u.FirstSeq, u.LastSeq = min(u.GetFirstSeq(), st.GetSeq()), max(u.GetLastSeq(), st.GetSeq())
	u.FirstAt, u.LastAt = min(u.GetFirstAt(), st.GetSaidAt()), max(u.GetLastAt(), st.GetSaidAt())
	u.Statements++
	if whole {
		u.OnDisk++
	}
	word := terms.KindWord(st.GetKind())
	switch {
	case st.GetChannel() == deskWord:
		word = "desk-record"
	case st.GetKind() == karaulav1.Kind_KIND_ALERT:
		word = terms.TypeWord(st.GetType())
	}
	u.addWord(word)
}

// addWord counts one statement of a type or kind.
func (u usage) addWord(word string) {
	i, ok := slices.BinarySearchFunc(u.Types, word, func(c *karaulav1.WordCount, want string) int {
		return cmp.Compare(c.GetWord(), want)
	})
	if !ok {
		u.Types = slices.Insert(u.Types, i, &karaulav1.WordCount{Word: word})
	}
	u.Types[i].Count++
}

// usage is a count that can be added to.
type usage struct{ *karaulav1.KeyUsage }

// noteDropped remembers from which own number on a channel was told of a card
// that does not list a key.
func (s *keyScan) noteDropped(st *karaulav1.Statement, c *card.Card) {
	if st.GetKind() == karaulav1.Kind_KIND_CARD {
		var body karaulav1.CardBody
		if proto.Unmarshal(st.GetBody(), &body) == nil {
			if next, ok := s.view.CardByDigest(textDigest(body.GetCard())); ok && next.Party == s.g.self {
				c = next
			}
		}
	}
	for _, k := range s.g.o.Keys.Keys().Held() {
		if _, listed := c.Key(k.Use, k.ID[:]); listed {
			continue
		}
		at := dropOf{st.GetChannel(), st.GetEpoch(), k.ID}
		if first, ok := s.dropped[at]; !ok || st.GetSeq() < first {
			s.dropped[at] = st.GetSeq()
		}
	}
}

// expected reports whether something may still be sealed to a key of ours: a card
// that counts lists it, or a partner has not shown by a receipt that it knows a
// later one. A receipt at one place of its ledger shows it for all places behind
// it, and everything before it has arrived here.
func (s *keyScan) expected(id [16]byte, use karaulav1.KeyUse) bool {
	c, ok := s.view.Card(s.g.self)
	if !ok {
		return true
	}
	if _, listed := c.Key(use, id[:]); listed {
		return true
	}
	first, named := firstWithout(s.view.Cards(s.g.self), use, id)
	if !named || s.g.o.Now().Sub(first) < settleTime {
		return true // no card has named it yet, or its successor is on its way
	}
	if use != karaulav1.KeyUse_KEY_USE_SEAL && use != karaulav1.KeyUse_KEY_USE_EXERCISE_SEAL {
		return false
	}
	for _, cv := range s.view.Channels() {
		if !contains(cv.Parties, s.g.self) {
			continue
		}
		led := ledger.NewID(cv.ID, s.g.self, cv.Channel.Mode, cv.First)
		for _, p := range cv.Parties {
			if p != s.g.self && !s.told(cv.ID, led, p, id) {
				return true
			}
		}
	}
	return false
}

// told reports whether a partner has judged a statement of ours under, or with, a
// card that does not list a key.
func (s *keyScan) told(channel string, led ledger.ID, partner string, id [16]byte) bool {
	for at, first := range s.dropped {
		if at.channel == channel && at.key == id && s.g.judgedTo(led, partner, at.epoch) >= first {
			return true
		}
	}
	return false
}

// settleTime is how long a key that no card lists any more is kept in any case:
// what this gateway itself began to seal or sign with it is done by then.
const settleTime = time.Hour

// firstWithout gives when the own card was issued that is the first not to list a
// key after one that did.
func firstWithout(cards []*card.Card, use karaulav1.KeyUse, id [16]byte) (at time.Time, named bool) {
	for _, c := range cards { // ascending
		if _, ok := c.Key(use, id[:]); ok {
			named, at = true, time.Time{}
		} else if named && at.IsZero() {
			at = c.Issued
		}
	}
	return at, named
}

// textDigest gives the digest of a signed text's text.
func textDigest(file []byte) [32]byte {
	c, err := card.Open(file)
	if err != nil {
		return [32]byte{}
	}
	return c.Digest
}
