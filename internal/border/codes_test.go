package border_test

import (
	"bytes"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/internal/border"
	"karaula/internal/notice"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// reader is a short name for the tables below.
type reader = karaulav1.Recipient

// codeCase makes one broken statement and says what must become of it.
type codeCase struct {
	name    string
	channel string   // open unless set
	text    []string // replacements in the text
	make    func(*scene) []byte
	kind    border.Kind
	want    string // verdict in short
}

// dropped is the zero kind; cases of [judged] are border.Next without saying so.
const dropped = border.Quarantine

// judged are the cases of statements that take their place.
func judged() []codeCase {
	say := func(d testworld.Draft) func(*scene) []byte {
		return func(s *scene) []byte { return s.me.Say(d) }
	}
	with := func(d testworld.Draft, change func(*testworld.Draft)) func(*scene) []byte {
		change(&d)
		return say(d)
	}
	set := func(change func(*karaulav1.Statement)) func(*scene) []byte {
		return with(vehicle(), func(d *testworld.Draft) { d.Set = change })
	}
	inner := func(change func(*karaulav1.Inner)) func(*scene) []byte {
		return with(vehicle(), func(d *testworld.Draft) { d.Inner = change })
	}
	act := func(change func(*karaulav1.Act)) func(*scene) []byte {
		return func(s *scene) []byte {
			d := s.actOn()
			change(d.Act)
			return s.me.Say(d)
		}
	}
	recipients := func(change func([]*reader) []*reader) func(*scene) []byte {
		return with(vehicle(), func(d *testworld.Draft) { d.Recipients = change })
	}
	return []codeCase{
		{name: "an alert", make: say(vehicle()), want: "accepted accepted"},
		{name: "an alert of a sealed type", channel: sealed, make: say(vehicle()), want: "accepted accepted"},
		{name: "an alert of an exercise", channel: drill, make: say(vehicle()), want: "accepted accepted"},
		{name: "an act", make: func(s *scene) []byte { return s.me.Say(s.actOn()) }, want: "accepted accepted"},
		{name: "a heartbeat", make: say(heartbeat()), want: "accepted accepted"},
		{name: "cover", make: say(testworld.Draft{Kind: karaulav1.Kind_KIND_NULL}), want: "accepted accepted"},

		{name: "envelope too large", make: with(vehicle(), func(d *testworld.Draft) {
			d.Sealed = func(b []byte) []byte { return append(b, make([]byte, 1<<20-len(b))...) }
		}), want: "refused too-large"},
		{name: "more than the agreement admits", make: with(vehicle(), func(d *testworld.Draft) {
			d.Sealed = func(b []byte) []byte { return append(b, make([]byte, 256<<10)...) }
		}), want: "refused too-large"},
		{name: "a field twice", make: with(vehicle(), func(d *testworld.Draft) {
			d.Bytes = func(b []byte) []byte { return append(bytes.Clone(b), 0x80, 0x01, 0x01) } // type again
		}), want: "refused malformed"},
		{name: "inner message not strict", make: with(vehicle(), func(d *testworld.Draft) {
			d.InnerBytes = func(b []byte) []byte { return append(bytes.Clone(b), 0xfa, 0x7f, 0x00) }
		}), want: "refused malformed"},
		{
			name: "another format", want: "refused unknown-format",
			make: set(func(st *karaulav1.Statement) { st.Format = 2 }),
		},
		{
			name: "a feature", want: "refused must-understand",
			make: set(func(st *karaulav1.Statement) { st.MustUnderstand = []uint32{99} }),
		},
		{name: "a compartment", make: with(vehicle(), func(d *testworld.Draft) {
			d.Late = func(st *karaulav1.Statement) {
				second := proto.Clone(st.GetParts()[0]).(*karaulav1.Part)
				second.Label = karaulav1.Label_LABEL_COMPARTMENT
				st.Parts = append(st.Parts, second)
			}
			d.Envelope = func(e *karaulav1.Envelope) { e.Parts = append(e.Parts, e.GetParts()[0]) }
		}), want: "refused must-understand"},
		{
			name: "a root that is none", want: "refused malformed",
			make: set(func(st *karaulav1.Statement) { st.PrevRoot = make([]byte, 5) }),
		},
		{
			name: "a reserved field", want: "refused reserved-field",
			make: set(func(st *karaulav1.Statement) { st.Via = "xk" }),
		},
		{
			name: "a reserved field inside", want: "refused reserved-field",
			make: inner(func(in *karaulav1.Inner) { in.OprfKeys = [][]byte{{1}} }),
		},
		{
			name: "serial is not the card's", want: "refused key-not-valid",
			make: set(func(st *karaulav1.Statement) { st.CardSerial = 7 }),
		},
		{name: "said after the key ended", make: func(s *scene) []byte {
			s.Now = s.Now.AddDate(3, 0, 0)
			return s.me.Say(heartbeat())
		}, want: "refused key-not-valid"},
		{name: "an epoch that nothing opens", make: say(testworld.Draft{
			Kind: karaulav1.Kind_KIND_EPOCH, Body: &karaulav1.EpochBody{Reason: "stream-lost"},
		}), want: "refused wrong-epoch"},
		{
			name: "unknown text", want: "held unknown-agreement",
			make: set(func(st *karaulav1.Statement) { st.Agreement = make([]byte, 32) }),
		},
		{name: "another text than the one in force", make: func(s *scene) []byte {
			s.al.must(s.me.Say(heartbeat()))
			d := vehicle()
			d.Set = func(st *karaulav1.Statement) { st.Agreement = make([]byte, 32) }
			return s.me.Say(d)
		}, want: "refused agreement-not-in-force"},
		{name: "said when the text had ended", make: func(s *scene) []byte {
			s.Now = s.text.ClosesAt()
			return s.me.Say(heartbeat())
		}, want: "refused agreement-not-in-force"},
		{name: "said at the last moment", make: func(s *scene) []byte {
			s.Now = s.text.ValidUntil.Add(-time.Microsecond)
			return s.me.Say(vehicle())
		}, want: "accepted accepted"},
		{name: "sealed while winding down", make: func(s *scene) []byte {
			s.Now = s.text.ValidUntil
			return s.me.Say(vehicle())
		}, want: "refused kind-not-allowed"},
		{name: "an act while winding down", make: func(s *scene) []byte {
			s.Now = s.text.ValidUntil
			return s.me.Say(s.actOn())
		}, want: "refused kind-not-allowed"},
		{name: "unsealed while winding down", make: func(s *scene) []byte {
			s.Now = s.text.ValidUntil
			return s.me.Say(heartbeat())
		}, want: "accepted accepted"},
		{
			name: "a type that no clause lets it say", want: "refused type-not-allowed",
			make: say(alertOf(karaulav1.AlertType_ALERT_TYPE_TRAFFICKING)),
		},
		{
			name: "the same, sealed", channel: sealed, want: "refused type-not-allowed",
			make: say(alertOf(karaulav1.AlertType_ALERT_TYPE_TRAFFICKING)),
		},
		{name: "an open type where types are sealed", channel: sealed, make: set(func(st *karaulav1.Statement) {
			st.Type = karaulav1.AlertType_ALERT_TYPE_VEHICLE
		}), want: "refused type-not-allowed"},
		{name: "said before its predecessor", make: func(s *scene) []byte {
			s.al.must(s.me.Say(heartbeat()))
			s.Now = s.Now.Add(-time.Microsecond)
			return s.me.Say(vehicle())
		}, want: "refused time-backwards"},
		{name: "said between its predecessor and one before", make: func(s *scene) []byte {
			s.al.must(s.me.Say(heartbeat()))
			s.Now = s.Now.Add(-2 * time.Minute)
			if _, v := s.al.receive(s.me.Say(heartbeat())); said(v) != "refused time-backwards" {
				panic(said(v))
			}
			s.Now = s.Now.Add(time.Minute)
			return s.me.Say(vehicle())
		}, want: "refused time-backwards"},
		{name: "said in the future", make: set(func(st *karaulav1.Statement) {
			st.SaidAt = testworld.Start.Add(skew + time.Microsecond).UnixMicro()
		}), want: "held time-future"},
		{name: "said as far in the future as tolerated", make: set(func(st *karaulav1.Statement) {
			st.SaidAt = testworld.Start.Add(skew).UnixMicro()
		}), want: "accepted accepted"},
		{name: "part changed on the way", make: with(vehicle(), func(d *testworld.Draft) {
			d.Envelope = func(e *karaulav1.Envelope) { e.Parts[0][len(e.GetParts()[0])-1] ^= 1 }
		}), want: "refused part-mismatch"},
		{
			name: "a reader left out", want: "refused wrong-recipients",
			make: recipients(func(rs []*reader) []*reader { return rs[:3] }),
		},
		{
			name: "we are left out", want: "refused wrong-recipients",
			make: recipients(func(rs []*reader) []*reader { return rs[1:] }),
		},
		{name: "somebody else can read it", make: recipients(func(rs []*reader) []*reader {
			return append(rs, &reader{Party: "rs", Use: karaulav1.KeyUse_KEY_USE_SEAL, KeyId: testworld.Random(16)})
		}), want: "refused wrong-recipients"},
		{name: "two keys of one reader", make: recipients(func(rs []*reader) []*reader {
			return append(rs, &reader{Party: "xk", Use: karaulav1.KeyUse_KEY_USE_SEAL, KeyId: testworld.Random(16)})
		}), want: "refused wrong-recipients"},
		{name: "a key of ours that we never had", make: recipients(func(rs []*reader) []*reader {
			rs[0].KeyId = testworld.Random(16)
			return rs
		}), want: "refused wrong-recipients"},
		{name: "a key of a third party that we do not know", make: recipients(func(rs []*reader) []*reader {
			rs[2].KeyId = testworld.Random(16)
			return rs
		}), want: "accepted accepted"},
		{name: "recipients in another order", make: recipients(func(rs []*reader) []*reader {
			rs[0], rs[3] = rs[3], rs[0]
			return rs
		}), want: "accepted accepted"},
		{
			name: "kept for ever", want: "refused retention",
			make: set(func(st *karaulav1.Statement) { st.EraseAfter = 0 }),
		},
		{name: "kept too long", make: set(func(st *karaulav1.Statement) {
			st.EraseAfter = testworld.Start.AddDate(1, 0, 1).UnixMicro()
		}), want: "refused retention"},
		{name: "kept as long as another type may be", channel: sealed, make: func(s *scene) []byte {
			d := alertOf(karaulav1.AlertType_ALERT_TYPE_ROUTE)
			d.Set = func(st *karaulav1.Statement) { st.EraseAfter = s.Now.AddDate(0, 6, 0).UnixMicro() }
			return s.me.Say(d)
		}, want: "refused retention"},
		{name: "our stanza does not open", make: recipientsSwapped, want: "refused cannot-open"},
		{name: "another frame than promised", make: with(vehicle(), func(d *testworld.Draft) {
			d.Frame = func(b []byte) []byte { b[0] ^= 1; return b }
		}), want: "refused wrong-commitment"},
		{name: "no frame", make: func(s *scene) []byte {
			d := vehicle()
			var plain []byte
			d.Frame = func(b []byte) []byte { plain = b[:100]; return plain }
			d.Late = func(st *karaulav1.Statement) { st.Parts[0].Commitment = sum(plain) }
			return s.me.Say(d)
		}, want: "refused wrong-commitment"},
		{
			name: "copied from elsewhere", want: "refused inner-mismatch",
			make: inner(func(in *karaulav1.Inner) { in.Thread = testworld.Random(16) }),
		},
		{name: "an act inside an alert", make: inner(func(in *karaulav1.Inner) {
			in.Content = &karaulav1.Inner_Act{Act: &karaulav1.Act{Deed: karaulav1.Deed_DEED_SEEN}}
		}), want: "refused inner-mismatch"},
		{
			name: "an id that is none", want: "refused invalid-content",
			make: inner(func(in *karaulav1.Inner) { in.AlertId[6] = 0x40 }),
		},
		{
			name: "a version without the one before", want: "refused invalid-content",
			make: inner(func(in *karaulav1.Inner) { in.Version, in.GetAlert().Version = 2, 2 }),
		},
		{name: "an act about its own alert", make: func(s *scene) []byte {
			d := s.actOn()
			d.Refs[0].Ledger = s.me.ID[:]
			return s.me.Say(d)
		}, want: "refused invalid-content"},
		{
			name: "version zero", want: "refused invalid-content",
			make: inner(func(in *karaulav1.Inner) { in.Version, in.GetAlert().Version = 0, 0 }),
		},
		{
			name: "no officer", want: "refused invalid-content",
			make: inner(func(in *karaulav1.Inner) { in.OfficerRef = nil }),
		},
		{
			name: "no content", want: "refused inner-mismatch",
			make: inner(func(in *karaulav1.Inner) { in.Content = nil }),
		},
		{
			name: "a later version", want: "accepted accepted",
			make: inner(func(in *karaulav1.Inner) {
				in.Version, in.Supersedes = 2, make([]byte, 32)
				in.GetAlert().Version, in.GetAlert().Lifecycle = 2, karaulav1.Lifecycle_LIFECYCLE_UPDATE
			}),
		},
		{
			name: "another alert than it names", want: "refused inner-mismatch",
			make: inner(func(in *karaulav1.Inner) { in.GetAlert().Id = testworld.IDText(testworld.Random(16)) }),
		},
		{
			name: "a rule of the type is broken", want: "refused invalid-content",
			make: inner(func(in *karaulav1.Inner) { in.GetAlert().GetVehicle().Plates = nil }),
		},
		{
			name: "above the clause's handling code", want: "refused handling",
			make: inner(func(in *karaulav1.Inner) {
				in.GetAlert().Handling, in.GetAlert().HandlingText = karaulav1.Handling_HANDLING_H3, "ask first"
			}),
		},
		{
			name: "personal data against the clause", want: "refused personal-data",
			text: []string{"vehicle personal=yes", "vehicle personal=no"}, make: inner(withOwner),
		},
		{
			name: "personal data where another clause admits it", want: "accepted accepted",
			text: []string{"say al,me,xk route", "say me vehicle personal=no handling<=H3 retain<=1y\nsay al,me,xk route"},
			make: inner(withOwner),
		},
		{
			name: "two clauses that admit half of it each", want: "refused handling",
			text: []string{"say al,me,xk route", "say me vehicle personal=no handling<=H3 retain<=1y\nsay al,me,xk route"},
			make: inner(func(in *karaulav1.Inner) {
				withOwner(in)
				in.GetAlert().Handling, in.GetAlert().HandlingText = karaulav1.Handling_HANDLING_H3, "ask first"
			}),
		},
		{
			name: "kept after the alert's own end", want: "refused retention",
			make: inner(func(in *karaulav1.Inner) {
				in.GetAlert().Expires = testworld.Start.AddDate(0, 0, 7).UnixMicro()
			}),
		},
		{name: "no deed", make: act(func(a *karaulav1.Act) { a.Deed = 0 }), want: "refused invalid-content"},
		{
			name: "a deed that is not known", want: "refused invalid-content",
			make: act(func(a *karaulav1.Act) { a.Deed = 99 }),
		},
		{name: "a remark that hides something", make: act(func(a *karaulav1.Act) {
			a.Remark = "not \u202edetucexe"
		}), want: "refused invalid-content"},
		{name: "a remark without end", make: act(func(a *karaulav1.Act) {
			a.Remark = strings.Repeat("ш", 2001)
		}), want: "refused invalid-content"},
		{name: "a remark of two lines", make: act(func(a *karaulav1.Act) {
			a.Remark = "seen\nand noted"
		}), want: "accepted accepted"},
		{name: "an act that is an alert inside", make: func(s *scene) []byte {
			d := s.actOn()
			d.Inner = func(in *karaulav1.Inner) {
				in.Content = &karaulav1.Inner_Alert{Alert: testworld.Alert(karaulav1.AlertType_ALERT_TYPE_VEHICLE)}
			}
			return s.me.Say(d)
		}, want: "refused inner-mismatch"},
		{name: "said twice", make: func(s *scene) []byte {
			d := vehicle()
			id := s.UUIDv7()
			d.Inner = func(in *karaulav1.Inner) { in.AlertId = id }
			s.al.must(s.me.Say(d))
			return s.me.Say(d)
		}, want: "refused duplicate-alert"},
		{name: "our key is locked", make: func(s *scene) []byte {
			s.al.locked = true
			return s.me.Say(vehicle())
		}, want: "held locked"},
		{name: "we have suspended", make: func(s *scene) []byte {
			s.Give(s.Notice("al", s.text, notice.Suspend), "al")
			return s.me.Say(vehicle())
		}, want: "held suspended"},
		{name: "unsealed while we have suspended", make: func(s *scene) []byte {
			s.Give(s.Notice("al", s.text, notice.Suspend), "al")
			return s.me.Say(heartbeat())
		}, want: "accepted accepted"},
		{name: "erased on the way", make: with(vehicle(), func(d *testworld.Draft) {
			d.Envelope = func(e *karaulav1.Envelope) { e.Parts = nil }
		}), want: "erased accepted"},
		{name: "retention has ended", make: func(s *scene) []byte {
			raw := s.me.Say(vehicle())
			s.Now = s.Now.AddDate(0, 1, 0)
			return raw
		}, want: "expired accepted"},
		{name: "a body that is none", make: say(testworld.Draft{
			Kind: karaulav1.Kind_KIND_RECEIPT, Set: func(st *karaulav1.Statement) { st.Body = []byte{0xff} },
		}), want: "refused bad-body"},
	}
}

// recipientsSwapped seals two stanzas in the other order than it says.
func recipientsSwapped(s *scene) []byte {
	d := vehicle()
	d.Recipients = func(rs []*reader) []*reader {
		rs[0], rs[2] = rs[2], rs[0]
		return rs
	}
	d.Late = func(st *karaulav1.Statement) {
		rs := st.GetParts()[0].GetRecipients()
		rs[0], rs[2] = rs[2], rs[0]
	}
	return s.me.Say(d)
}

// withOwner puts an invented person into an alert on a vehicle.
func withOwner(in *karaulav1.Inner) {
	in.GetAlert().GetVehicle().Owner = &karaulav1.Identity{Surname: "TESTOVIC"}
	in.GetAlert().DataSubjectCategories = []karaulav1.DataSubject{karaulav1.DataSubject_DATA_SUBJECT_OTHER}
}
