package testworld

import (
	"bytes"
	"crypto/sha256"
	"time"

	"google.golang.org/protobuf/proto"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Try is something that a party with all of its keys may try to say, and what
// must become of it wherever it is received: the border check's own tests and the
// campaigns with real nodes go through the same list.
type Try struct {
	Name string
	// Draft is a departure from what an honest gateway says.
	Draft func(v *Voice) Draft
	// Want is the verdict: class and code.
	Want string
	// Aside says that it takes no place in the ledger: the voice must not count it.
	Aside bool
}

// Say says it.
func (t Try) Say(v *Voice) []byte {
	d := t.Draft(v)
	d.Unsaid = t.Aside
	return v.Say(d)
}

// Said is an alert that nothing is wrong with, as a draft.
func Said(typ karaulav1.AlertType) Draft {
	return Draft{Kind: karaulav1.Kind_KIND_ALERT, Type: typ, Alert: Alert(typ)}
}

// with is a vehicle alert with one change.
func with(change func(*Voice, *Draft)) func(*Voice) Draft {
	return func(v *Voice) Draft {
		d := Said(karaulav1.AlertType_ALERT_TYPE_VEHICLE)
		change(v, &d)
		return d
	}
}

func set(change func(*karaulav1.Statement)) func(*Voice) Draft {
	return with(func(_ *Voice, d *Draft) { d.Set = change })
}

func inner(change func(*karaulav1.Inner)) func(*Voice) Draft {
	return with(func(_ *Voice, d *Draft) { d.Inner = change })
}

func recipients(change func([]*karaulav1.Recipient) []*karaulav1.Recipient) func(*Voice) Draft {
	return with(func(_ *Voice, d *Draft) { d.Recipients = change })
}

func outside(change func(*karaulav1.Envelope)) func(*Voice) Draft {
	return with(func(_ *Voice, d *Draft) { d.Envelope = change })
}

// Tries lists what is refused whatever was said before it, on a channel of
// [World.Text] whose first party is another one than the voice's. Every code of
// them follows from the bytes alone, and from what the receiver knows of the
// parties.
func Tries() []Try {
	var out []Try
	for _, list := range [][]Try{formTries(), statementTries(), sealTries(), contentTries(), asideTries()} {
		out = append(out, list...)
	}
	return out
}

// formTries are about size and form.
func formTries() []Try {
	grow := func(size func(int) int) func(*Voice) Draft {
		return with(func(_ *Voice, d *Draft) {
			d.Sealed = func(b []byte) []byte { return append(b, make([]byte, size(len(b)))...) }
		})
	}
	return []Try{
		{Name: "envelope too large", Draft: grow(func(n int) int { return 1<<20 - n }), Want: "refused too-large"},
		{
			Name: "more than the agreement admits", Want: "refused too-large",
			Draft: grow(func(int) int { return 256 << 10 }),
		},
		{Name: "a field twice", Draft: with(func(_ *Voice, d *Draft) {
			d.Bytes = func(b []byte) []byte { return append(bytes.Clone(b), 0x80, 0x01, 0x01) } // type again
		}), Want: "refused malformed"},
		{Name: "inner message not strict", Draft: with(func(_ *Voice, d *Draft) {
			d.InnerBytes = func(b []byte) []byte { return append(bytes.Clone(b), 0xfa, 0x7f, 0x00) }
		}), Want: "refused malformed"},
		{Name: "nested without end", Draft: with(func(_ *Voice, d *Draft) {
			d.Bytes = func(b []byte) []byte { return append(bytes.Clone(b), nested(5_000)...) }
		}), Want: "refused malformed"},
		{Name: "a body that is none", Draft: func(*Voice) Draft {
			return Draft{Kind: karaulav1.Kind_KIND_RECEIPT, Set: func(st *karaulav1.Statement) { st.Body = []byte{0xff} }}
		}, Want: "refused bad-body"},
		{
			Name: "another format", Draft: set(func(st *karaulav1.Statement) { st.Format = 2 }),
			Want: "refused unknown-format",
		},
	}
}

// nested is a message in a message in a message, and so on, in a field that no
// statement has.
func nested(depth int) []byte {
	out := []byte{}
	for range depth {
		if len(out) > 1<<14 {
			break
		}
		next := append([]byte{0xa2, 0x01}, varint(len(out))...)
		out = append(next, out...)
	}
	return out
}

func varint(n int) []byte {
	var out []byte
	for ; n >= 0x80; n >>= 7 {
		out = append(out, byte(n)|0x80)
	}
	return append(out, byte(n))
}

// statementTries are about what the statement says of itself.
func statementTries() []Try {
	return []Try{
		{
			Name: "a feature", Draft: set(func(st *karaulav1.Statement) { st.MustUnderstand = []uint32{99} }),
			Want: "refused must-understand",
		},
		{Name: "a compartment", Draft: with(func(_ *Voice, d *Draft) {
			d.Late = func(st *karaulav1.Statement) {
				second := proto.CloneOf(st.GetParts()[0])
				second.Label = karaulav1.Label_LABEL_COMPARTMENT
				st.Parts = append(st.Parts, second)
			}
			d.Envelope = func(e *karaulav1.Envelope) { e.Parts = append(e.Parts, e.GetParts()[0]) }
		}), Want: "refused must-understand"},
		{Name: "a hundred parts", Draft: with(func(_ *Voice, d *Draft) {
			d.Late = func(st *karaulav1.Statement) {
				for range 99 {
					st.Parts = append(st.Parts, st.GetParts()[0])
				}
			}
		}), Want: "refused malformed"},
		{
			Name: "a root that is none", Draft: set(func(st *karaulav1.Statement) { st.PrevRoot = make([]byte, 5) }),
			Want: "refused malformed",
		},
		{
			Name: "a reserved field", Draft: set(func(st *karaulav1.Statement) { st.Via = "xk" }),
			Want: "refused reserved-field",
		},
		{
			Name: "serial is not the card's", Draft: set(func(st *karaulav1.Statement) { st.CardSerial = 7 }),
			Want: "refused key-not-valid",
		},
		{Name: "an epoch that nothing opens", Draft: func(*Voice) Draft {
			return Draft{Kind: karaulav1.Kind_KIND_EPOCH, Body: &karaulav1.EpochBody{Reason: "stream-lost"}}
		}, Want: "refused wrong-epoch"},
		{Name: "a type that no clause lets it say", Draft: func(*Voice) Draft {
			return Said(karaulav1.AlertType_ALERT_TYPE_TRAFFICKING)
		}, Want: "refused type-not-allowed"},
		{
			Name: "kept for ever", Draft: set(func(st *karaulav1.Statement) { st.EraseAfter = 0 }),
			Want: "refused retention",
		},
		{Name: "kept too long", Draft: set(func(st *karaulav1.Statement) {
			st.EraseAfter = time.UnixMicro(st.GetSaidAt()).AddDate(1, 0, 1).UnixMicro()
		}), Want: "refused retention"},
	}
}

// sealTries are about the sealed part and who can open it.
func sealTries() []Try {
	stranger := func(party string) *karaulav1.Recipient {
		return &karaulav1.Recipient{Party: party, Use: karaulav1.KeyUse_KEY_USE_SEAL, KeyId: Random(16)}
	}
	return []Try{
		{Name: "part changed on the way", Draft: outside(func(e *karaulav1.Envelope) {
			e.Parts[0][len(e.GetParts()[0])-1] ^= 1
		}), Want: "refused part-mismatch"},
		{Name: "a reader left out", Draft: recipients(func(rs []*karaulav1.Recipient) []*karaulav1.Recipient {
			return rs[:len(rs)-1]
		}), Want: "refused wrong-recipients"},
		{Name: "we are left out", Draft: recipients(func(rs []*karaulav1.Recipient) []*karaulav1.Recipient {
			return rs[1:]
		}), Want: "refused wrong-recipients"},
		{Name: "somebody else can read it", Draft: recipients(func(rs []*karaulav1.Recipient) []*karaulav1.Recipient {
			return append(rs, stranger("rs"))
		}), Want: "refused wrong-recipients"},
		{Name: "two keys of one reader", Draft: recipients(func(rs []*karaulav1.Recipient) []*karaulav1.Recipient {
			return append(rs, stranger(rs[0].GetParty()))
		}), Want: "refused wrong-recipients"},
		{Name: "meant, and sealed to the keys for exercises", Draft: with(func(v *Voice, d *Draft) {
			d.Recipients = func(rs []*karaulav1.Recipient) []*karaulav1.Recipient {
				for _, r := range rs {
					if use := karaulav1.KeyUse_KEY_USE_EXERCISE_SEAL; r.GetUse() == karaulav1.KeyUse_KEY_USE_SEAL {
						_, id := v.w.Parties[r.GetParty()].Card.Recipient(use)
						r.Use, r.KeyId = use, id[:]
					}
				}
				return rs
			}
		}), Want: "refused mode-key"},
		{Name: "a key of ours that we never had", Draft: recipients(func(rs []*karaulav1.Recipient) []*karaulav1.Recipient {
			rs[0].KeyId = Random(16)
			return rs
		}), Want: "refused wrong-recipients"},
		{Name: "our stanza does not open", Draft: with(func(_ *Voice, d *Draft) {
			swap := func(rs []*karaulav1.Recipient) []*karaulav1.Recipient {
				last := len(rs) - 1
				rs[0], rs[last] = rs[last], rs[0]
				return rs
			}
			d.Recipients = swap
			d.Late = func(st *karaulav1.Statement) { swap(st.GetParts()[0].GetRecipients()) }
		}), Want: "refused cannot-open"},
		{Name: "noise in place of a sealed part", Draft: with(func(_ *Voice, d *Draft) {
			d.Sealed = func(b []byte) []byte { return Random(len(b)) }
		}), Want: "refused cannot-open"},
		{Name: "another frame than promised", Draft: with(func(_ *Voice, d *Draft) {
			d.Frame = func(b []byte) []byte { b[0] ^= 1; return b }
		}), Want: "refused wrong-commitment"},
		{Name: "no frame", Draft: with(func(_ *Voice, d *Draft) {
			var plain []byte
			d.Frame = func(b []byte) []byte { plain = b[:100]; return plain }
			d.Late = func(st *karaulav1.Statement) {
				sum := sha256.Sum256(plain)
				st.Parts[0].Commitment = sum[:]
			}
		}), Want: "refused wrong-commitment"},
	}
}

// contentTries are about what is inside.
func contentTries() []Try {
	return []Try{
		{
			Name: "a reserved field inside", Draft: inner(func(in *karaulav1.Inner) { in.OprfKeys = [][]byte{{1}} }),
			Want: "refused reserved-field",
		},
		{
			Name: "copied from elsewhere", Draft: inner(func(in *karaulav1.Inner) { in.Thread = Random(16) }),
			Want: "refused inner-mismatch",
		},
		{
			Name: "another origin inside", Draft: inner(func(in *karaulav1.Inner) { in.Origin = "rs" }),
			Want: "refused inner-mismatch",
		},
		{Name: "an act inside an alert", Draft: inner(func(in *karaulav1.Inner) {
			in.Content = &karaulav1.Inner_Act{Act: &karaulav1.Act{Deed: karaulav1.Deed_DEED_SEEN}}
		}), Want: "refused inner-mismatch"},
		{
			Name: "no content", Draft: inner(func(in *karaulav1.Inner) { in.Content = nil }),
			Want: "refused inner-mismatch",
		},
		{
			Name: "another alert than it names", Want: "refused inner-mismatch",
			Draft: inner(func(in *karaulav1.Inner) { in.GetAlert().Id = IDText(Random(16)) }),
		},
		{
			Name: "an id that is none", Draft: inner(func(in *karaulav1.Inner) { in.AlertId[6] = 0x40 }),
			Want: "refused invalid-content",
		},
		{Name: "a version without the one before", Draft: inner(func(in *karaulav1.Inner) {
			in.Version, in.GetAlert().Version = 2, 2
		}), Want: "refused invalid-content"},
		{Name: "version zero", Draft: inner(func(in *karaulav1.Inner) {
			in.Version, in.GetAlert().Version = 0, 0
		}), Want: "refused invalid-content"},
		{
			Name: "no officer", Draft: inner(func(in *karaulav1.Inner) { in.OfficerRef = nil }),
			Want: "refused invalid-content",
		},
		{
			Name: "a rule of the type is broken", Want: "refused invalid-content",
			Draft: inner(func(in *karaulav1.Inner) { in.GetAlert().GetVehicle().Plates = nil }),
		},
		{Name: "meant, and said in an exercise", Draft: inner(func(in *karaulav1.Inner) { in.Exercise = "drina-26" }), Want: "refused inner-mismatch"},
		{Name: "an exercise announced where it is meant", Draft: func(v *Voice) Draft {
			return Draft{Kind: karaulav1.Kind_KIND_EXERCISE, Body: &karaulav1.ExerciseBody{
				Name: "drina-26", Until: v.w.Now.AddDate(0, 0, 7).UnixMicro(),
			}}
		}, Want: "refused wrong-mode"},
		{Name: "above the clause's handling code", Draft: inner(func(in *karaulav1.Inner) {
			in.GetAlert().Handling, in.GetAlert().HandlingText = karaulav1.Handling_HANDLING_H3, "ask first"
		}), Want: "refused handling"},
		{Name: "a consent that nobody gave", Draft: set(func(st *karaulav1.Statement) {
			st.ConsentRefs = []*karaulav1.Ref{{Ledger: Random(32), Epoch: 1, Seq: 1, Digest: Random(32)}}
		}), Want: "refused consent"},
		{Name: "passed on with a lineage that is none", Draft: with(func(_ *Voice, d *Draft) {
			d.Set = func(st *karaulav1.Statement) {
				st.ConsentRefs = []*karaulav1.Ref{{Ledger: Random(32), Epoch: 1, Seq: 1, Digest: Random(32)}}
			}
			d.Inner = func(in *karaulav1.Inner) {
				in.Lineage = &karaulav1.Lineage{Original: &karaulav1.Shown{}, Consent: &karaulav1.Shown{}}
			}
		}), Want: "refused consent"},
		{Name: "kept after the alert's own end", Draft: inner(func(in *karaulav1.Inner) {
			in.GetAlert().Expires = time.UnixMicro(in.GetSaidAt()).AddDate(0, 0, 7).UnixMicro()
		}), Want: "refused retention"},
	}
}

// asideTries are about bytes that take no place.
func asideTries() []Try {
	aside := []Try{
		{
			Name: "practised, where it is meant", Want: "refused wrong-mode",
			Draft: set(func(st *karaulav1.Statement) { st.Mode = karaulav1.Mode_MODE_EXERCISE }),
		},
		{Name: "signed with the key for exercises, where it is meant", Draft: with(func(v *Voice, d *Draft) {
			d.Key = &v.Party.Gateway.ExerciseSign
		}), Want: "refused wrong-mode"},
		{
			Name: "another mode", Draft: set(func(st *karaulav1.Statement) { st.Mode = karaulav1.Mode_MODE_TEST }),
			Want: "refused wrong-mode",
		},
		{
			Name: "another ledger", Draft: set(func(st *karaulav1.Statement) { st.Ledger = make([]byte, 32) }),
			Want: "refused wrong-ledger",
		},
		{
			Name: "number zero", Draft: set(func(st *karaulav1.Statement) { st.Seq = 0 }),
			Want: "refused out-of-order",
		},
		{Name: "a key that its card does not name", Draft: with(func(v *Voice, d *Draft) {
			key := v.Party.Gateway.Sign
			key.ID = [16]byte(Random(16))
			d.Key = &key
		}), Want: "refused unknown-key"},
		{Name: "the link key", Draft: with(func(v *Voice, d *Draft) {
			d.Key = &v.Party.Gateway.Link
		}), Want: "refused key-not-valid"},
		{
			Name: "no signature", Draft: outside(func(e *karaulav1.Envelope) { e.Signatures = nil }),
			Want: "refused signature-stripped",
		},
		{Name: "changed after signing", Draft: outside(func(e *karaulav1.Envelope) {
			e.Statement[len(e.GetStatement())-1] ^= 1
		}), Want: "refused bad-signature"},
		{Name: "malformed and not signed", Draft: with(func(_ *Voice, d *Draft) {
			d.Set = func(st *karaulav1.Statement) { st.Format = 2 }
			d.Envelope = func(e *karaulav1.Envelope) { e.Signatures[0].Sig[5] ^= 1 }
		}), Want: "refused bad-signature"},
		{
			Name: "an epoch that begins without EPOCH", Want: "refused wrong-epoch",
			Draft: set(func(st *karaulav1.Statement) { st.Epoch, st.Seq = st.GetEpoch()+1, 1 }),
		},
	}
	for i := range aside {
		aside[i].Aside = true
	}
	return aside
}
