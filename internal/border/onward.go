package border

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/internal/alert"
	"karaula/internal/card"
	"karaula/internal/envelope"
	"karaula/internal/register"
	"karaula/internal/seal"
	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// An alert that passes another party's alert on carries what its originator has
// signed: the version itself, and the consent to passing it on. So a reader who
// was never on the originator's channel can check both. docs/spec/onward.md.

// Passing is where an alert is passed on, and as what.
type Passing struct {
	Channel string
	Mode    karaulav1.Mode
	Sharer  string
	// Readers are everybody else who reads the channel: parties and auditors.
	Readers []string
	// SaidAt and EraseAfter are the statement's, microseconds since 1970 UTC.
	SaidAt, EraseAfter int64
	// Refs are the statement's consent_refs.
	Refs []*karaulav1.Ref
	// Alert is what is said.
	Alert *karaulav1.Alert
}

// Unfit says why a lineage does not allow an alert to be passed on.
type Unfit struct {
	// Waits: nobody has vouched for the originator's root key here yet.
	Waits bool
	why   string
}

// Error says it without content.
func (u *Unfit) Error() string { return u.why }

func unfit(format string, args ...any) *Unfit { return &Unfit{why: fmt.Sprintf(format, args...)} }

// shown is a statement with its content, shown to somebody who was no reader.
type shown struct {
	st    *karaulav1.Statement
	leaf  [32]byte
	inner *karaulav1.Inner
}

// CheckLineage checks that an alert which is passed on is its originator's, word
// for word, and that the originator agrees: to this version, by this party, on
// this channel, for these readers, at this time. roots vouch for any party,
// besides what the view knows. Sender and readers ask it.
func CheckLineage(l *karaulav1.Lineage, p Passing, view *register.View, roots []string) (*karaulav1.Descent, *Unfit) {
	cards, bad := lineageCards(l)
	if bad != nil {
		return nil, bad
	}
	original, bad := openShown(l.GetOriginal(), cards, view, "the original")
	if bad != nil {
		return nil, bad
	}
	consent, bad := openShown(l.GetConsent(), cards, view, "the consent")
	if bad != nil {
		return nil, bad
	}
	for _, check := range []*Unfit{
		checkOriginal(original, p), checkConsent(original, consent, p), checkAudience(original, consent, p),
		checkTimes(original, consent, p), checkSame(original, p.Alert), vouched(cards, view, roots),
	} {
		if check != nil {
			return nil, check
		}
	}
	return descent(original, consent), nil
}

// maxLineageCards are the cards of a lineage: one statement was signed under each.
const maxLineageCards = 2

// lineageCards opens the cards, each of which must be of one and the same party.
func lineageCards(l *karaulav1.Lineage) ([]*card.Card, *Unfit) {
	if n := len(l.GetCards()); n < 1 || n > maxLineageCards {
		return nil, unfit("the lineage has %d cards", n)
	}
	var out []*card.Card
	for _, file := range l.GetCards() {
		c, err := card.Open(file)
		if err != nil || len(out) > 0 && (c.Party != out[0].Party || c.Digest == out[0].Digest) {
			return nil, unfit("a card of the lineage is none, or of another party than the other one")
		}
		out = append(out, c)
	}
	return out, nil
}

// readShown reads a statement that is shown. Nothing of it is verified but its form
// and the commitment to its content.
func readShown(s *karaulav1.Shown) (*envelope.Parsed, *shown, bool) {
	parsed, err := envelope.Parse(s.GetStub())
	if err != nil || !parsed.IsStub() || len(parsed.Statement.GetParts()) != 1 {
		return nil, nil, false
	}
	commitment := seal.Commitment(s.GetFrame())
	content, err := seal.Unframe(s.GetFrame())
	inner := &karaulav1.Inner{}
	if err != nil || !bytes.Equal(commitment[:], parsed.Statement.GetParts()[0].GetCommitment()) ||
		wire.Unmarshal(content, inner, maxInner) != nil {
		return nil, nil, false
	}
	return parsed, &shown{parsed.Statement, parsed.Leaf, inner}, true
}

// openShown reads a statement that is shown, and verifies that it is its origin's.
func openShown(s *karaulav1.Shown, cards []*card.Card, view *register.View, name string) (*shown, *Unfit) {
	parsed, out, ok := readShown(s)
	if !ok {
		return nil, unfit("%s is no statement with its content", name)
	}
	st := out.st
	i := slices.IndexFunc(cards, func(c *card.Card) bool { return bytes.Equal(c.Digest[:], st.GetCard()) })
	if i < 0 || cards[i].Party != st.GetOrigin() {
		return nil, unfit("the card under which %s was signed is not there", name)
	}
	for _, signer := range st.GetSigners() {
		if _, bad := signKey(cards[i], [16]byte(signer.GetKeyId()), st.GetMode()); bad != nil {
			return nil, unfit("%s: %s", name, bad.Detail)
		}
	}
	if Repudiated(view, st) {
		return nil, unfit("%s is signed with a key that was revoked before", name)
	}
	if parsed.VerifySignatures(cards[i].StatementKey) != nil {
		return nil, unfit("a signature of %s does not verify", name)
	}
	if code, why := keyUse(st, cards[i]); code != 0 {
		return nil, unfit("%s: %s", name, why)
	}
	if field := mismatch(out.inner, st, true); field != "" {
		return nil, unfit("%s: %s inside is not what the statement says", name, field)
	}
	if field := badNames(out.inner); field != "" {
		return nil, unfit("%s: %s is not one", name, field)
	}
	return out, nil
}

// checkOriginal wants an alert of another party that is not on this channel. What
// was passed on is not passed on again: its originator never spoke to that channel's
// readers, and they could not ask it.
func checkOriginal(o *shown, p Passing) *Unfit {
	switch by := o.st.GetOrigin(); {
	case o.st.GetKind() != karaulav1.Kind_KIND_ALERT || o.inner.GetAlert() == nil:
		return unfit("the original is no alert")
	case len(o.st.GetConsentRefs()) > 0 || o.inner.GetLineage() != nil:
		return unfit("the original was itself passed on")
	case by == p.Sharer || slices.Contains(p.Readers, by):
		return unfit("%s, whose alert it is, speaks on this channel itself", by)
	case o.st.GetMode() != p.Mode:
		return unfit("the original was said in another mode")
	default:
		return nil
	}
}

// checkConsent wants the originator's consent to this version of this alert, where
// the original was said, and the one that the statement names outside.
func checkConsent(o, c *shown, p Passing) *Unfit {
	act := c.inner.GetAct()
	switch {
	case act.GetDeed() != karaulav1.Deed_DEED_CONSENT || alert.ActFault(act) != "":
		return unfit("the consent is none")
	case !bytes.Equal(c.st.GetLedger(), o.st.GetLedger()):
		return unfit("the consent was not said where the original was said")
	case !bytes.Equal(c.inner.GetAlertId(), o.inner.GetAlertId()):
		return unfit("the consent is about another alert")
	case c.inner.GetVersion() != o.inner.GetVersion() || !bytes.Equal(act.GetCommitment(), o.st.GetParts()[0].GetCommitment()):
		return unfit("the consent is about another version of the alert")
	case o.inner.GetAlert().GetHandling() == karaulav1.Handling_HANDLING_H3 && act.GetRemark() == "":
		return unfit("the alert is H3, and the consent does not say what becomes of the restriction")
	}
	if len(p.Refs) != 1 || !proto.Equal(p.Refs[0], c.ref()) {
		return unfit("the consent is not the one that the statement names")
	}
	return nil
}

func (s *shown) ref() *karaulav1.Ref {
	return &karaulav1.Ref{Ledger: s.st.GetLedger(), Epoch: s.st.GetEpoch(), Seq: s.st.GetSeq(), Digest: s.leaf[:]}
}

// checkAudience wants a consent for this party, this channel, and everybody who
// reads it.
func checkAudience(_, c *shown, p Passing) *Unfit {
	act := c.inner.GetAct()
	switch {
	case act.GetParty() != p.Sharer:
		return unfit("the consent is another party's")
	case act.GetOnward() != p.Channel:
		return unfit("the consent is for another channel")
	}
	for _, reader := range p.Readers {
		if !slices.Contains(act.GetReaders(), reader) {
			return unfit("the consent does not name %s, which reads this channel", reader)
		}
	}
	return nil
}

// checkTimes wants a consent that was given before and holds, and an end that is
// not after that of the original or of the consent.
func checkTimes(o, c *shown, p Passing) *Unfit {
	until := c.inner.GetAct().GetUntil()
	switch {
	case p.SaidAt < c.st.GetSaidAt():
		return unfit("the consent was given after it was passed on")
	case until > 0 && until <= p.SaidAt:
		return unfit("the consent had ended")
	case p.EraseAfter > o.st.GetEraseAfter():
		return unfit("it is kept longer than the original")
	case until > 0 && p.EraseAfter > until:
		return unfit("it is kept longer than the consent holds")
	default:
		return nil
	}
}

// checkSame wants the alert to be the original but for its id, version and place in
// the life of the copy; a time by which an answer was due may be left out.
func checkSame(o *shown, a *karaulav1.Alert) *Unfit {
	if !proto.Equal(Copy(o.inner.GetAlert(), a), a) {
		return unfit("it is not the original word for word")
	}
	return nil
}

// Copy gives an originator's alert as it is passed on in place of a: all of its
// content, with what belongs to the copy's own life.
func Copy(original, a *karaulav1.Alert) *karaulav1.Alert {
	out := proto.CloneOf(original)
	out.Id, out.Version, out.Lifecycle, out.Assessment = a.GetId(), a.GetVersion(), a.GetLifecycle(), a.GetAssessment()
	if a.GetReplyDue() == 0 {
		out.ReplyDue = 0
	}
	return out
}

// vouched wants the roots of the cards to be the originator's: one that an agreement
// names here, or one that it was changed into; where none does, the one that people
// here have taken in with a card. Of a replaced root only the cards count that the
// change lets stand: who has stolen it can sign others.
func vouched(cards []*card.Card, view *register.View, roots []string) *Unfit {
	for _, c := range cards {
		pinned, _ := view.PinnedRoots(c.Party)
		switch {
		case view.Disowned(c):
			return unfit("a card of the lineage is by a root of %s that was replaced, and not among what the change lets stand", c.Party)
		case view.Trusts(c.Party, c.Root, append(pinned, roots...)):
		case len(pinned) > 0:
			return unfit("a card of the lineage is of another root than the agreements here name for %s", c.Party)
		case !slices.ContainsFunc(view.Cards(c.Party), func(k *card.Card) bool { return view.Trusts(c.Party, c.Root, []string{k.Root}) }):
			u := unfit("nobody here vouches for the root key of %s, whose alert it is", c.Party)
			u.Waits = true
			return u
		}
	}
	return nil
}

// descent says in short what a lineage says.
func descent(o, c *shown) *karaulav1.Descent {
	return &karaulav1.Descent{
		Originator: o.st.GetOrigin(), Channel: o.st.GetChannel(), AlertId: o.inner.GetAlertId(), Version: o.inner.GetVersion(),
		Digest: o.leaf[:], Commitment: o.st.GetParts()[0].GetCommitment(), Consent: c.leaf[:],
		Until: c.inner.GetAct().GetUntil(), Purpose: c.inner.GetAct().GetPurpose(),
	}
}

// DescentOf says in short where an alert comes from whose lineage was checked
// before; nil if it has none.
func DescentOf(in *karaulav1.Inner) *karaulav1.Descent {
	_, original, ok1 := readShown(in.GetLineage().GetOriginal())
	_, consent, ok2 := readShown(in.GetLineage().GetConsent())
	if !ok1 || !ok2 {
		return nil
	}
	return descent(original, consent)
}

// checkPassedOn wants the originator's consent for what is passed on, and refuses a
// lineage anywhere else.
func (j *judging) checkPassedOn() *outcome {
	if j.inner == nil {
		return nil
	}
	l, refs := j.inner.GetLineage(), j.st.GetConsentRefs()
	if l == nil && len(refs) == 0 {
		return nil
	}
	if l == nil || len(refs) == 0 || j.inner.GetAlert() == nil {
		return refuse(karaulav1.Code_CODE_CONSENT, "the lineage inside and the consent outside do not belong together")
	}
	p := Passing{
		Channel: j.channel.ID, Mode: j.led.Mode, Sharer: j.led.Origin, SaidAt: j.st.GetSaidAt(),
		EraseAfter: j.st.GetEraseAfter(), Refs: refs, Alert: j.inner.GetAlert(),
	}
	for r := range j.readers() {
		if r.party != j.led.Origin {
			p.Readers = append(p.Readers, r.party)
		}
	}
	slices.Sort(p.Readers)
	d, bad := CheckLineage(l, p, j.view, j.Roots)
	switch {
	case bad == nil:
		j.descent = d
		return nil
	case bad.Waits:
		return hold(karaulav1.Code_CODE_CONSENT, "%s", bad.why)
	default:
		return refuse(karaulav1.Code_CODE_CONSENT, "%s", bad.why)
	}
}

// Earlier is what is remembered of an alert's version before.
type Earlier struct {
	alert.Past
	// Descent is where that comes from, if it was passed on.
	Descent *karaulav1.Descent
}

// EarlierOf gives it of an accepted alert.
func EarlierOf(in *karaulav1.Inner) Earlier {
	return Earlier{alert.PastOf(in.GetAlert(), time.UnixMicro(in.GetSaidAt())), DescentOf(in)}
}

// Follows says what is wrong with an alert as the version that follows an earlier
// one of the same origin on the same channel, and with which code it is refused;
// "" if nothing is. What was passed on stays so: neither can a later version shed
// its lineage, nor get another one, nor an own alert become another party's.
func Follows(in *karaulav1.Inner, before Earlier) (karaulav1.Code, string) {
	if code, why := alert.Continues(in.GetAlert(), before.Past, time.UnixMicro(in.GetSaidAt())); why != "" {
		return code, why
	}
	if in.GetAlert().GetLifecycle() == karaulav1.Lifecycle_LIFECYCLE_WITHDRAW {
		return 0, ""
	}
	now, was := DescentOf(in), before.Descent
	if now.GetOriginator() != was.GetOriginator() || !bytes.Equal(now.GetAlertId(), was.GetAlertId()) {
		return karaulav1.Code_CODE_CONSENT, "it does not come from the same alert as the version before"
	}
	return 0, ""
}

// checkFollows holds a version against the highest one before it that was accepted.
func (j *judging) checkFollows() *outcome {
	if j.inner.GetAlert() == nil || j.inner.GetVersion() < 2 {
		return nil
	}
	before, ok := j.hist.Before([16]byte(j.inner.GetAlertId()), j.inner.GetVersion())
	if !ok {
		return nil
	}
	if code, why := Follows(j.inner, before); why != "" {
		return refuse(code, "%s", why)
	}
	return nil
}
