package testworld

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"filippo.io/age"
	"google.golang.org/protobuf/proto"

	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/envelope"
	"karaula/internal/keyring"
	"karaula/internal/ledger"
	"karaula/internal/seal"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Voice says things as one party on one channel. It is an honest gateway as far
// as a [Draft] lets it: its ledger goes on with what it says.
type Voice struct {
	w *World
	// Party is who speaks.
	Party *Party
	// Text and Channel are where.
	Text    *agreement.Agreement
	Channel *agreement.Channel
	// Card is the card in force in the ledger.
	Card *card.Card
	// ID, Epoch and Tree are the ledger so far.
	ID    ledger.ID
	Epoch uint64
	Tree  *ledger.Tree
	// Exercise is the name of the exercise that it speaks in.
	Exercise string
}

// Voice makes a party's voice on a channel of a text.
func (w *World) Voice(code string, text *agreement.Agreement, channel string) *Voice {
	w.T.Helper()
	ch, found := text.Channel(channel)
	if !found {
		w.T.Fatalf("the text has no channel %s", channel)
	}
	p := w.Parties[code]
	return &Voice{
		w: w, Party: p, Text: text, Channel: ch, Card: p.Card,
		ID: ledger.NewID(channel, code, ch.Mode, text.First), Epoch: 1, Tree: &ledger.Tree{},
	}
}

// Draft is what to say, and where to depart from an honest gateway. The hooks
// are called in the order of the fields.
type Draft struct {
	Kind karaulav1.Kind
	Type karaulav1.AlertType
	// Body is the body's message; raw bytes are set by Set.
	Body proto.Message
	Refs []*karaulav1.Ref
	// Alert and Act are the content of the sealed kinds.
	Alert *karaulav1.Alert
	Act   *karaulav1.Act
	// Set changes the statement before the inner message is made of it.
	Set func(*karaulav1.Statement)
	// Inner changes the inner message.
	Inner func(*karaulav1.Inner)
	// InnerBytes changes the inner message's bytes, Frame the frame, Sealed the
	// sealed part; later stages follow from the change.
	InnerBytes, Frame, Sealed func([]byte) []byte
	// Recipients changes for whom the part is said to be sealed, and is.
	Recipients func([]*karaulav1.Recipient) []*karaulav1.Recipient
	// Late changes the statement after everything else is made.
	Late func(*karaulav1.Statement)
	// Bytes changes the statement's bytes before they are signed.
	Bytes func([]byte) []byte
	// Key signs in place of the card's key.
	Key *keyring.SignKey
	// Envelope changes the envelope at the end.
	Envelope func(*karaulav1.Envelope)
	// Unsaid leaves the voice's ledger as it is.
	Unsaid bool
}

// Say makes the next statement and gives its envelope.
func (v *Voice) Say(d Draft) []byte {
	v.w.T.Helper()
	st := v.statement(d)
	if d.Set != nil {
		d.Set(st)
	}
	var parts [][]byte
	switch d.Kind { //nolint:exhaustive // the others are not sealed
	case karaulav1.Kind_KIND_ALERT, karaulav1.Kind_KIND_ACT, karaulav1.Kind_KIND_NULL:
		part, sealed := v.seal(st, d)
		st.Parts, parts = []*karaulav1.Part{part}, [][]byte{sealed}
	}
	key := v.key()
	if d.Key != nil {
		key = *d.Key
	}
	st.Signers = []*karaulav1.Signer{{Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyId: key.ID[:]}}
	if d.Late != nil {
		d.Late(st)
	}
	raw := ok(proto.MarshalOptions{Deterministic: true}.Marshal(st))(v.w.T)
	if d.Bytes != nil {
		raw = d.Bytes(raw)
	}
	env := &karaulav1.Envelope{Statement: raw, Parts: parts, Signatures: []*karaulav1.Signature{{
		Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyId: key.ID[:], Sig: key.Sign(envelope.PAE(envelope.StatementType, raw)),
	}}}
	if d.Envelope != nil {
		d.Envelope(env)
	}
	if !d.Unsaid {
		v.Tree.Append(envelope.Leaf(raw))
	}
	return ok(proto.MarshalOptions{Deterministic: true}.Marshal(env))(v.w.T)
}

// Announce says that the voice speaks in an exercise from now on, for a week.
func (v *Voice) Announce(name string) []byte {
	v.Exercise = name
	return v.Say(Draft{Kind: karaulav1.Kind_KIND_EXERCISE, Body: &karaulav1.ExerciseBody{
		Name: name, Until: v.w.Now.AddDate(0, 0, 7).UnixMicro(),
	}})
}

// statement fills in what follows from ledger, texts and time.
func (v *Voice) statement(d Draft) *karaulav1.Statement {
	root := v.Tree.Root()
	st := &karaulav1.Statement{
		Format: envelope.Format, Ledger: v.ID[:], Channel: v.Channel.ID, Origin: v.Party.Code, Mode: v.Channel.Mode,
		Epoch: v.Epoch, Seq: v.Tree.Size() + 1, PrevRoot: root[:], SaidAt: v.w.Now.UnixMicro(),
		Agreement: v.Text.Digest[:], Card: v.Card.Digest[:], CardSerial: v.Card.Serial,
		Kind: d.Kind, Refs: d.Refs,
	}
	if d.Body != nil {
		st.Body = ok(proto.MarshalOptions{Deterministic: true}.Marshal(d.Body))(v.w.T)
	}
	switch d.Kind { //nolint:exhaustive // the others are not sealed
	case karaulav1.Kind_KIND_ALERT, karaulav1.Kind_KIND_ACT:
		st.Thread, st.EraseAfter = Random(16), v.w.Now.AddDate(0, 0, 28).UnixMicro()
	}
	if !v.Channel.SealedTypes {
		st.Type = d.Type
	}
	return st
}

// seal makes the main part of a statement.
func (v *Voice) seal(st *karaulav1.Statement, d Draft) (*karaulav1.Part, []byte) {
	t := v.w.T
	t.Helper()
	inner := &karaulav1.Inner{
		Ledger: st.GetLedger(), Channel: st.GetChannel(), Origin: st.GetOrigin(), Mode: st.GetMode(),
		Agreement: st.GetAgreement(), Thread: st.GetThread(), AlertId: v.w.UUIDv7(), Version: 1,
		Kind: d.Kind, Type: d.Type, SaidAt: st.GetSaidAt(), OfficerRef: Random(16), Exercise: v.Exercise,
	}
	if a, ok := proto.Clone(d.Alert).(*karaulav1.Alert); ok && d.Alert != nil {
		inner.Content = &karaulav1.Inner_Alert{Alert: a}
	}
	if d.Act != nil {
		inner.Content = &karaulav1.Inner_Act{Act: d.Act}
	}
	if d.Inner != nil {
		d.Inner(inner)
	}
	if a := inner.GetAlert(); a != nil && a.GetId() == "" {
		a.Id = IDText(inner.GetAlertId())
	}
	content := ok(proto.MarshalOptions{Deterministic: true}.Marshal(inner))(t)
	if d.InnerBytes != nil {
		content = d.InnerBytes(content)
	}
	frame := ok(seal.Frame(content, [32]byte(Random(32))))(t)
	commitment := seal.Commitment(frame)
	if d.Frame != nil {
		frame = d.Frame(frame)
	}
	recipients := v.Recipients()
	if d.Recipients != nil {
		recipients = d.Recipients(recipients)
	}
	sealed := v.encrypt(frame, recipients)
	if d.Sealed != nil {
		sealed = d.Sealed(sealed)
	}
	digest := sha256.Sum256(sealed)
	return &karaulav1.Part{
		SealAlg: karaulav1.SealAlg_SEAL_ALG_AGE_HYBRID, Digest: digest[:], Size: uint64(len(sealed)),
		Commitment: commitment[:], Recipients: recipients, Label: karaulav1.Label_LABEL_MAIN,
	}, sealed
}

// encrypt seals to the keys of recipients; where a party's cards have no such
// key, to a key that nobody has.
func (v *Voice) encrypt(frame []byte, recipients []*karaulav1.Recipient) []byte {
	t := v.w.T
	t.Helper()
	rs := make([]*age.HybridRecipient, len(recipients))
	for i, r := range recipients {
		rs[i] = v.w.sealKey(r.GetUse()).Identity.Recipient()
		if p := v.w.Parties[r.GetParty()]; p != nil {
			if k, found := p.Identity(r.GetUse(), r.GetKeyId()); found {
				rs[i] = k.Identity.Recipient()
			}
		}
	}
	if _, err := seal.Unframe(frame); err != nil {
		return ok(Encrypt(frame, rs))(t)
	}
	return ok(seal.Seal(frame, rs))(t)
}

// Recipients gives the channel's readers with the keys of their newest cards.
func (v *Voice) Recipients() []*karaulav1.Recipient {
	_, receive := terms.KeyUses(v.Channel.Mode)
	var out []*karaulav1.Recipient
	add := func(code string, use karaulav1.KeyUse) {
		_, id := v.w.Parties[code].Card.Recipient(use)
		out = append(out, &karaulav1.Recipient{Party: code, Use: use, KeyId: id[:]})
	}
	for _, p := range v.Text.Parties {
		if p.Code == v.Party.Code {
			add(p.Code, terms.OwnUse(v.Channel.Mode))
		} else {
			add(p.Code, receive)
		}
	}
	for _, a := range v.Text.Auditors {
		add(a.Code, karaulav1.KeyUse_KEY_USE_AUDIT)
	}
	return out
}

// key gives the key of the voice's card that signs in the channel's mode.
func (v *Voice) key() keyring.SignKey {
	if v.Channel.Mode == karaulav1.Mode_MODE_EXERCISE {
		return v.Party.Gateway.ExerciseSign
	}
	k, _ := v.Card.Current(karaulav1.KeyUse_KEY_USE_SIGN)
	key, found := v.Party.Gateway.SignKey(k.ID[:])
	if !found {
		v.w.T.Fatal("the party has lost the key of its card")
	}
	return key
}

// Head is the ledger as its own voice knows it.
func (v *Voice) Head() *karaulav1.Head {
	root := v.Tree.Root()
	return &karaulav1.Head{Ledger: v.ID[:], Epoch: v.Epoch, Size: v.Tree.Size(), Root: root[:]}
}

// Clone gives another voice of the same party that goes on from here by itself.
func (v *Voice) Clone() *Voice {
	c := *v
	c.Tree = v.Tree.Clone()
	return &c
}

// Random gives n random bytes.
func Random(n int) []byte {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		panic(err)
	}
	return b
}

// UUIDv7 gives an alert id (RFC 9562, 5.7) of the world's present.
func (w *World) UUIDv7() []byte {
	id := Random(16)
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(w.Now.UnixMilli())) //nolint:gosec // after 1970
	copy(id, ms[2:])
	id[6], id[8] = 0x70|id[6]&0x0f, 0x80|id[8]&0x3f
	return id
}

// IDText is an alert id as alerts write it.
func IDText(id []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
