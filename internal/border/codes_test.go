package border_test

import (
	"strings"
	"time"

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
	return append(exercised(), []codeCase{
		{name: "an alert", make: say(vehicle()), want: "accepted accepted"},
		{name: "an alert of a sealed type", channel: sealed, make: say(vehicle()), want: "accepted accepted"},
		{name: "an alert of an exercise", channel: drill, make: say(vehicle()), want: "accepted accepted"},
		{name: "an act", make: func(s *scene) []byte { return s.me.Say(s.actOn()) }, want: "accepted accepted"},
		{name: "a heartbeat", make: say(heartbeat()), want: "accepted accepted"},
		{name: "cover", make: say(testworld.Draft{Kind: karaulav1.Kind_KIND_NULL}), want: "accepted accepted"},

		{name: "said after the key ended", make: func(s *scene) []byte {
			s.Now = s.Now.AddDate(3, 0, 0)
			return s.me.Say(heartbeat())
		}, want: "refused key-not-valid"},
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
			name: "the same, sealed", channel: sealed, want: "refused type-not-allowed",
			make: say(testworld.Said(karaulav1.AlertType_ALERT_TYPE_TRAFFICKING)),
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
		{name: "a key of a third party that we do not know", make: recipients(func(rs []*reader) []*reader {
			rs[2].KeyId = testworld.Random(16)
			return rs
		}), want: "accepted accepted"},
		{name: "recipients in another order", make: recipients(func(rs []*reader) []*reader {
			rs[0], rs[3] = rs[3], rs[0]
			return rs
		}), want: "accepted accepted"},
		{name: "kept as long as another type may be", channel: sealed, make: func(s *scene) []byte {
			d := testworld.Said(karaulav1.AlertType_ALERT_TYPE_ROUTE)
			d.Set = func(st *karaulav1.Statement) { st.EraseAfter = s.Now.AddDate(0, 6, 0).UnixMicro() }
			return s.me.Say(d)
		}, want: "refused retention"},
		{name: "an act about its own alert", make: func(s *scene) []byte {
			d := s.actOn()
			d.Refs[0].Ledger = s.me.ID[:]
			return s.me.Say(d)
		}, want: "refused invalid-content"},
		{
			name: "a later version", want: "accepted accepted",
			make: inner(func(in *karaulav1.Inner) {
				in.Version, in.Supersedes = 2, make([]byte, 32)
				in.GetAlert().Version, in.GetAlert().Lifecycle = 2, karaulav1.Lifecycle_LIFECYCLE_UPDATE
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
			name: "a document of its own state", want: "accepted accepted", make: blanksOf("MNE"),
			text: []string{"say al,me,xk route", "say me document personal=no handling<=H3 retain<=5y\nsay al,me,xk route"},
		},
		{
			name: "a document of another state", want: "refused invalid-content", make: blanksOf("ALB"),
			text: []string{"say al,me,xk route", "say me document personal=no handling<=H3 retain<=5y\nsay al,me,xk route"},
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
	}...)
}

// withOwner puts an invented person into an alert on a vehicle.
func withOwner(in *karaulav1.Inner) {
	in.GetAlert().GetVehicle().Owner = &karaulav1.Identity{Surname: "TESTOVIC"}
	in.GetAlert().DataSubjectCategories = []karaulav1.DataSubject{karaulav1.DataSubject_DATA_SUBJECT_OTHER}
}

// blanksOf says that blank passports of a state were stolen.
func blanksOf(state string) func(s *scene) []byte {
	return func(s *scene) []byte {
		d := testworld.Said(karaulav1.AlertType_ALERT_TYPE_DOCUMENT)
		d.Alert = blanks(state)
		return s.me.Say(d)
	}
}

func blanks(state string) *karaulav1.Alert {
	a := testworld.Alert(karaulav1.AlertType_ALERT_TYPE_DOCUMENT)
	a.Actions = []karaulav1.Action{karaulav1.Action_ACTION_SEIZE}
	a.Details = &karaulav1.Alert_Document{Document: &karaulav1.Document{
		Kind: karaulav1.DocumentKind_DOCUMENT_KIND_PASSPORT, IssuingState: state, BlankFrom: "TEST000000",
		BlankTo: "TEST000249", Status: karaulav1.DocumentStatus_DOCUMENT_STATUS_STOLEN_BLANK,
	}}
	return a
}

// shared are the cases that real nodes are tried with, too.
func shared() []codeCase {
	var out []codeCase
	for _, t := range testworld.Tries() {
		c := codeCase{name: t.Name, make: func(s *scene) []byte { return t.Say(s.me) }, kind: border.Next, want: t.Want}
		if t.Aside {
			c.kind = dropped
		}
		out = append(out, c)
	}
	return out
}
