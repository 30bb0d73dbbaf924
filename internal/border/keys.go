package border

import (
	"crypto/ed25519"
	"fmt"
	"iter"
	"slices"
	"time"

	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/notice"
	"karaula/internal/register"
	"karaula/internal/signedtext"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// ruling gives the card in force at the next number: the one that the ledger
// has, or one that by itself puts an end to a stolen key. A statement under any
// other card has no place here, whoever signed it.
func (w *placing) ruling() (*card.Card, *Placement) {
	digest := w.said.card
	switch {
	case w.led.Card == [32]byte{}:
		return w.named()
	case digest == w.led.Card:
		return w.known(digest, w.led.CardSerial)
	}
	if cd, ok := w.view.CardByDigest(digest); ok && w.newRoot(cd) {
		return cd, nil
	}
	if w.said.st.GetCardSerial() <= w.led.CardSerial {
		return nil, w.stop(karaulav1.Code_CODE_KEY_NOT_VALID, "signed under a card that is no longer in force")
	}
	cd, stop := w.named()
	if stop != nil {
		return nil, stop
	}
	if cd.Serial <= w.led.CardSerial || !w.replaces(cd) {
		return nil, w.stop(karaulav1.Code_CODE_KEY_NOT_VALID, "signed under a card that is not in force yet")
	}
	return cd, nil
}

// replaces reports whether a card revokes a key with exactly the statement
// before this one as the last good one of this ledger: the root then says
// itself where the new card begins to rule.
func (w *placing) replaces(cd *card.Card) bool {
	last := Position{w.led.Epoch, w.led.Tree.Size()}
	for _, r := range cd.Revoked {
		if r.Ledger == w.led.ID && (Position{r.Epoch, r.Seq}) == last {
			return true
		}
	}
	return false
}

// newRoot reports whether a card is by the root that has taken over from the one
// of the card in force, whatever a thief of that one has put in force, or kept
// from being said: the new root then rules from where it first speaks.
func (w *placing) newRoot(cd *card.Card) bool {
	changes := w.view.RootChanges(w.led.Origin)
	root, _ := w.view.Root(w.led.Origin)
	if len(changes) == 0 || cd.Party != w.led.Origin || cd.Root != root {
		return false
	}
	have, ok := w.view.CardByDigest(w.led.Card)
	if !ok { // disowned by a change
		return slices.ContainsFunc(changes, func(n *notice.Notice) bool { return n.Next == root })
	}
	return have.Root != root && w.view.Follows(w.led.Origin, have.Root, root)
}

// named gives the card that the statement names.
func (w *placing) named() (*card.Card, *Placement) {
	return w.known(w.said.card, w.said.st.GetCardSerial())
}

// known finds a card of the origin by digest. The register takes in only cards
// that the party's root has signed; the root must also be the one that the
// agreement pins.
func (w *placing) known(digest [32]byte, serial uint64) (*card.Card, *Placement) {
	cd, ok := w.view.CardByDigest(digest)
	switch {
	case ok && cd.Party != w.led.Origin:
		return nil, w.stop(karaulav1.Code_CODE_UNKNOWN_KEY, "signed under another party's card")
	case ok && !w.pinned(cd):
		return nil, w.stop(karaulav1.Code_CODE_KEY_NOT_VALID, "signed under a card of another root than the agreement names")
	case ok:
		return cd, nil
	}
	for _, other := range w.view.Cards(w.led.Origin) {
		if other.Serial == serial {
			return nil, w.stop(karaulav1.Code_CODE_UNKNOWN_KEY, "the card with this serial is another one")
		}
	}
	w.p.Kind, w.p.Code, w.p.Want = NeedCard, karaulav1.Code_CODE_UNKNOWN_KEY, Wanted{digest, serial}
	w.p.Detail = fmt.Sprintf("card %d of the origin is not known here", serial)
	return nil, &w.p
}

// pinned reports whether a card is of the root that the agreement names for the
// origin: the text in force at this place, or else any version that is known
// with all signatures.
func (w *placing) pinned(cd *card.Card) bool {
	for text := range w.texts() {
		if party, ok := text.Party(w.led.Origin); ok {
			return rootOf(w.view, party, cd)
		}
	}
	return true // no text pins it: it is what the register took in
}

// texts gives the texts that may pin the origin's root, the best first.
func (w *placing) texts() iter.Seq[*agreement.Agreement] {
	return func(yield func(*agreement.Agreement) bool) {
		if entry, ok := w.view.AgreementByDigest(w.led.Agreement); ok && entry.Complete && !yield(entry.Agreement) {
			return
		}
		if ch, ok := w.view.Channel(w.led.Channel); ok && !yield(ch.Agreement) {
			return
		}
		if digest := w.said.st.GetAgreement(); len(digest) == 32 {
			if entry, ok := w.view.AgreementByDigest([32]byte(digest)); ok && entry.Complete {
				yield(entry.Agreement)
			}
		}
	}
}

// rootOf reports whether a card is signed by the root that a text names for the
// party, or by one that it was changed into.
func rootOf(view *register.View, party *agreement.Party, cd *card.Card) bool {
	return view.Follows(party.Code, party.Root, cd.Root)
}

// stop gives a quarantine as the end of the placing.
func (w *placing) stop(code karaulav1.Code, detail string) *Placement {
	p := w.quarantine(code, detail)
	return &p
}

// signedByOrigin checks that the origin has signed a statement that does not
// take a place now, under the card that it names.
func (w *placing) signedByOrigin() *Placement {
	cd, stop := w.named()
	if stop != nil {
		return stop
	}
	return w.verified(cd)
}

// verified checks the signatures under a card. A revoked key counts up to its
// last good position, beyond that only where the place was settled before, and
// never as the proof of a fork.
func (w *placing) verified(cd *card.Card) *Placement {
	at := w.p.Position
	settled := at.Epoch == w.led.Epoch && at.Seq <= w.led.Settled
	past := at.before(w.led.Next())
	key := func(_ karaulav1.SignAlg, id [16]byte) (ed25519.PublicKey, error) {
		k, refusal := signKey(cd, id, w.led.Mode)
		if refusal != nil {
			return nil, refusal
		}
		good, revoked := lastGood(w.view, w.led, id)
		if revoked && (past || !settled && good.before(at)) {
			return nil, envelope.Refuse(karaulav1.Code_CODE_KEY_NOT_VALID, "signed with a key that was revoked before")
		}
		return k.Ed25519, nil
	}
	if refusal := w.said.verify(key); refusal != nil {
		return w.stop(refusal.Code, refusal.Detail)
	}
	return nil
}

// signKey finds the key of a card that signs statements of a mode.
func signKey(cd *card.Card, id [16]byte, mode karaulav1.Mode) (*card.Key, *envelope.Refusal) {
	want, _ := terms.KeyUses(mode)
	if k, ok := cd.SignKey(id[:]); ok {
		if k.Use != want {
			return nil, envelope.Refuse(karaulav1.Code_CODE_WRONG_MODE, "signed with the key of another mode")
		}
		return k, nil
	}
	for i := range cd.Keys {
		if cd.Keys[i].ID == id {
			return nil, envelope.Refuse(karaulav1.Code_CODE_KEY_NOT_VALID, "signed with a key that does not sign statements")
		}
	}
	return nil, envelope.Refuse(karaulav1.Code_CODE_UNKNOWN_KEY, "the card has no such key")
}

// lastGood gives the last position of a ledger up to which a revoked key
// counts, as the origin's newest card that revokes it says; the zero position
// where that card does not name the ledger.
func lastGood(view *register.View, led *Ledger, id [16]byte) (at Position, revoked bool) {
	at.Epoch, at.Seq, revoked = view.LastGood(led.Origin, led.ID, id)
	return at, revoked
}

// Repudiated reports whether a statement names a key, among those that signed it, that its
// origin has revoked from an earlier place of the ledger on. It verifies nothing; the
// statement's ledger and key ids must have their lengths, as [envelope.ParseOuter] checks.
func Repudiated(view *register.View, st *karaulav1.Statement) bool {
	at := Position{st.GetEpoch(), st.GetSeq()}
	return slices.ContainsFunc(st.GetSigners(), func(s *karaulav1.Signer) bool {
		epoch, seq, revoked := view.LastGood(st.GetOrigin(), [32]byte(st.GetLedger()), [16]byte(s.GetKeyId()))
		return revoked && (Position{epoch, seq}).before(at)
	})
}

// keyUse refuses what was said outside the time of its card or keys, or with a
// serial that is not the card's. The signature has given it its place already:
// these times are the origin's own word.
func keyUse(st *karaulav1.Statement, cd *card.Card) (karaulav1.Code, string) {
	if st.GetCardSerial() != cd.Serial {
		return karaulav1.Code_CODE_KEY_NOT_VALID, "the serial is not that of the card"
	}
	said := time.UnixMicro(st.GetSaidAt())
	valid := cd.ValidAt(said)
	for _, s := range st.GetSigners() {
		k, ok := cd.SignKey(s.GetKeyId())
		valid = valid && ok && !said.Before(k.From) && said.Before(k.Until)
	}
	if !valid {
		return karaulav1.Code_CODE_KEY_NOT_VALID, "said outside the time of its card or key"
	}
	return 0, ""
}

// nextCard gives the card that a CARD statement brings: one of the same party,
// newer than the one in force, of the same root, of one that this was changed into,
// or of the next root that the one in force commits to: whether that counts is
// decided when something is said under it. It gives nil for anything else.
func nextCard(view *register.View, p *envelope.Parsed, inForce *card.Card) *card.Card {
	b, ok := bodyOf[*karaulav1.CardBody](p)
	if !ok {
		return nil
	}
	cd, err := card.Open(b.GetCard())
	if err != nil || cd.Party != inForce.Party || cd.Serial <= inForce.Serial {
		return nil
	}
	if !view.Follows(cd.Party, inForce.Root, cd.Root) && signedtext.KeyDigest(cd.Root) != inForce.NextRoot {
		return nil
	}
	return cd
}

// nextAgreement gives the text that an AGREEMENT statement brings: signed by
// all its parties, of this ledger, and superseding the text in force. It gives
// nil for anything else.
func nextAgreement(p *envelope.Parsed, led *Ledger) *agreement.Signed {
	b, ok := bodyOf[*karaulav1.AgreementBody](p)
	if !ok {
		return nil
	}
	signed, err := agreement.Open(b.GetAgreement())
	if err != nil || !signed.Complete() {
		return nil
	}
	a := signed.Agreement
	ch, ok := a.Channel(led.Channel)
	if !ok || ch.Mode != led.Mode || ledger.NewID(led.Channel, led.Origin, led.Mode, a.First) != led.ID {
		return nil
	}
	inForce := led.Agreement
	if inForce == ([32]byte{}) { // the ledger's first statement brings it, and names the one in force itself
		inForce = [32]byte(p.Statement.GetAgreement())
	}
	if a.Supersedes != inForce {
		return nil
	}
	return signed
}

// rootChange gives the change of its root that a NOTICE statement of the origin
// brings, whoever has signed it; nil for anything else.
func rootChange(p *envelope.Parsed) *notice.Notice {
	b, ok := bodyOf[*karaulav1.NoticeBody](p)
	if !ok {
		return nil
	}
	n, err := notice.Peek(b.GetNotice())
	if err != nil || n.Act != notice.RootChange || n.Party != p.Statement.GetOrigin() {
		return nil
	}
	return n
}
