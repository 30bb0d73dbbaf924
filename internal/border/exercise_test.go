package border_test

import (
	"slices"
	"testing"
	"time"

	"karaula/internal/border"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// announce is an ExerciseBody whose end is stated from now.
type announce struct {
	Name  string
	Until int64 // microseconds; zero: none
	Over  bool
}

// exercised are statements about exercises and in them, and what becomes of them.
func exercised() []codeCase {
	use := func(from, to karaulav1.KeyUse) func(*scene) []byte {
		return func(s *scene) []byte {
			d := vehicle()
			d.Recipients = func(rs []*reader) []*reader {
				for _, r := range rs {
					if k, ok := s.Parties[r.GetParty()].Card.Current(to); ok && r.GetUse() == from {
						r.Use, r.KeyId = to, k.ID[:]
					}
				}
				return rs
			}
			return s.me.Say(d)
		}
	}
	body := func(in announce) func(*scene) []byte {
		return func(s *scene) []byte {
			b := &karaulav1.ExerciseBody{Name: in.Name, Until: in.Until, Over: in.Over}
			if in.Until != 0 {
				b.Until += s.Now.UnixMicro()
			}
			return s.me.Say(testworld.Draft{Kind: karaulav1.Kind_KIND_EXERCISE, Body: b})
		}
	}
	inner := func(name string) func(*scene) []byte {
		return func(s *scene) []byte {
			d := vehicle()
			d.Inner = func(in *karaulav1.Inner) { in.Exercise = name }
			return s.me.Say(d)
		}
	}
	const seal, archive = karaulav1.KeyUse_KEY_USE_SEAL, karaulav1.KeyUse_KEY_USE_ARCHIVE
	const drillSeal = karaulav1.KeyUse_KEY_USE_EXERCISE_SEAL
	month := border.MaxExercise.Microseconds()
	return []codeCase{
		{name: "an exercise begins", channel: drill, want: "accepted accepted", make: body(announce{Name: "una-26", Until: month})},
		{name: "an exercise ends", channel: drill, want: "accepted accepted", make: body(announce{Name: "drina-26", Over: true})},
		{name: "an exercise without a name", channel: drill, want: "refused bad-body", make: body(announce{Until: month})},
		{name: "an exercise whose name is none", channel: drill, want: "refused bad-body", make: body(announce{Name: "Drina 26", Until: month})},
		{name: "an exercise without an end", channel: drill, want: "refused bad-body", make: body(announce{Name: "una-26"})},
		{name: "an exercise for too long", channel: drill, want: "refused bad-body", make: body(announce{Name: "una-26", Until: month + 1})},
		{name: "an exercise that is over before it begins", channel: drill, want: "refused bad-body", make: body(announce{Name: "una-26", Until: -1})},
		{name: "an exercise announced where it is meant", make: body(announce{Name: "una-26", Until: month}), want: "refused wrong-mode"},
		{name: "said in the exercise", channel: drill, want: "accepted accepted", make: inner("drina-26")},
		{name: "said in another exercise", channel: drill, want: "refused inner-mismatch", make: inner("una-26")},
		{name: "said in no exercise", channel: drill, want: "refused inner-mismatch", make: inner("")},
		{name: "meant, and said in an exercise", want: "refused inner-mismatch", make: inner("drina-26")},
		{name: "said after the exercise", channel: drill, want: "refused no-exercise", make: func(s *scene) []byte {
			s.Now = s.Now.AddDate(0, 0, 7)
			return s.me.Say(vehicle())
		}},
		{name: "said just before its end", channel: drill, want: "accepted accepted", make: func(s *scene) []byte {
			s.Now = s.Now.AddDate(0, 0, 7).Add(-time.Microsecond)
			return s.me.Say(vehicle())
		}},
		{name: "said when it was called off", channel: drill, want: "refused no-exercise", make: func(s *scene) []byte {
			s.al.must(body(announce{Name: "drina-26", Over: true})(s))
			return s.me.Say(vehicle())
		}},
		{name: "an act when it was called off", channel: drill, want: "refused no-exercise", make: func(s *scene) []byte {
			s.al.must(body(announce{Name: "drina-26", Over: true})(s))
			return s.me.Say(s.actOn())
		}},
		{name: "said after a bad announcement", channel: drill, want: "accepted accepted", make: func(s *scene) []byte {
			s.al.receive(body(announce{Name: "una-26"})(s))
			return s.me.Say(vehicle())
		}},
		{name: "practised content kept too long", channel: drill, want: "refused retention", make: func(s *scene) []byte {
			d := vehicle()
			d.Set = func(st *karaulav1.Statement) {
				st.EraseAfter = s.Now.Add(border.MaxExercise + time.Microsecond).UnixMicro()
			}
			return s.me.Say(d)
		}},
		{name: "meant, sealed to keys for exercises", want: "refused mode-key", make: use(seal, drillSeal)},
		{name: "practised, sealed to keys for what is meant", channel: drill, want: "refused mode-key", make: use(drillSeal, seal)},
		{name: "practised, own copy sealed to the archive", channel: drill, want: "refused mode-key", make: use(drillSeal, archive)},
	}
}

// The same alert, meant and practised, has neither a commitment nor a key in
// common, but for an auditor's.
func TestNothingIsSharedWithAnExercise(t *testing.T) {
	a := vehicle()
	parts := map[string]*karaulav1.Part{}
	for _, channel := range []string{open, drill} {
		s := newScene(t, channel)
		p, v := s.al.receive(s.me.Say(a))
		if v.Class != karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED {
			t.Fatalf("%s: %s", said(v), v.Detail)
		}
		parts[channel] = p.Parsed.Statement.GetParts()[0]
	}
	if slices.Equal(parts[open].GetCommitment(), parts[drill].GetCommitment()) {
		t.Error("the same commitment")
	}
	for _, x := range parts[open].GetRecipients() {
		for _, y := range parts[drill].GetRecipients() {
			if x.GetUse() != karaulav1.KeyUse_KEY_USE_AUDIT && (x.GetUse() == y.GetUse() || slices.Equal(x.GetKeyId(), y.GetKeyId())) {
				t.Errorf("both are sealed to a key of use %s", x.GetUse())
			}
		}
	}
}
