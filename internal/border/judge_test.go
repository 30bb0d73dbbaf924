package border_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"karaula/internal/border"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// notProduced are the codes that no bytes can lead to today, and why. The
// checks behind them are tested from inside the package.
var notProduced = map[karaulav1.Code]string{
	karaulav1.Code_CODE_WEAK_ALGORITHM: "there is one algorithm of each kind, so none is weaker than another",
}

func TestEveryCode(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	cases := judged()
	for i := range cases {
		cases[i].kind = border.Next
	}
	for _, c := range slices.Concat(cases, unplaced(), shared()) {
		seen[strings.Fields(c.want)[1]] = true
		if c.channel == "" {
			c.channel = open
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, c.channel, c.text...)
			p, v := s.al.receive(c.make(s))
			if p.Kind != c.kind || said(v) != c.want {
				t.Errorf("placed as %s (%s), judged %s (%s)\nwant %s, %s", p.Kind, p.Detail, said(v), v.Detail, c.kind, c.want)
			}
			if (v.Inner != nil) != (said(v) == "accepted accepted" && v.Inner.GetContent() != nil) {
				t.Errorf("inner is given with %s", said(v))
			}
			if v.Class != karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED && v.Detail == "" {
				t.Error("no detail says why")
			}
		})
	}
	for number := range karaulav1.Code_name {
		code := karaulav1.Code(number)
		if seen[terms.CodeWord(code)] == (notProduced[code] != "") {
			t.Errorf("code %s: produced by a case here: %v, listed as never produced: %v",
				terms.CodeWord(code), seen[terms.CodeWord(code)], notProduced[code] != "")
		}
	}
}

func TestSpecificationNamesEveryCode(t *testing.T) {
	t.Parallel()
	spec, err := os.ReadFile("../../docs/spec/border-check.md")
	if err != nil {
		t.Fatal(err)
	}
	for number := range karaulav1.Code_name {
		word := "`" + terms.CodeWord(karaulav1.Code(number)) + "` |"
		if number != 0 && !strings.Contains(string(spec), word) {
			t.Errorf("docs/spec/border-check.md has no line for %s", word)
		}
	}
}

func TestHeldIsJudgedWhenItsReasonHasGone(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	s.al.locked = true
	k := s.al.take(s.me.Say(vehicle()))
	if v := s.al.judge(k); said(v) != "held locked" {
		t.Fatalf("judged %s", said(v))
	}
	s.al.locked = false
	v := s.al.judge(k)
	if said(v) != "accepted accepted" || v.Clause == nil || v.Ref != open+" clause 1 (Art. 5)" || v.Rules != border.Rules {
		t.Errorf("judged %s under %q by rules %d", said(v), v.Ref, v.Rules)
	}
	if v.Agreement != s.text.Digest || v.Card != s.me.Card.Digest {
		t.Error("the verdict does not name its texts")
	}
	if again := s.al.judge(k); said(again) != said(v) {
		t.Errorf("judged again it is %s", said(again))
	}
	j := v.Judgement(&k.p, s.Now)
	if j.GetSeq() != 1 || string(j.GetDigest()) != string(k.p.Leaf[:]) || j.GetJudgedAt() != s.Now.UnixMicro() {
		t.Errorf("recorded as %v", j)
	}
}

// What is repeated inside must be what is outside, field by field.
func TestInnerMessageRepeatsTheStatement(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*karaulav1.Inner){
		"ledger":    func(in *karaulav1.Inner) { in.Ledger = make([]byte, 32) },
		"channel":   func(in *karaulav1.Inner) { in.Channel = sealed },
		"origin":    func(in *karaulav1.Inner) { in.Origin = "xk" },
		"mode":      func(in *karaulav1.Inner) { in.Mode = karaulav1.Mode_MODE_EXERCISE },
		"agreement": func(in *karaulav1.Inner) { in.Agreement = make([]byte, 32) },
		"thread":    func(in *karaulav1.Inner) { in.Thread = make([]byte, 16) },
		"kind":      func(in *karaulav1.Inner) { in.Kind = karaulav1.Kind_KIND_NULL },
		"type":      func(in *karaulav1.Inner) { in.Type = karaulav1.AlertType_ALERT_TYPE_ROUTE },
		"said_at":   func(in *karaulav1.Inner) { in.SaidAt++ },
		"content":   func(in *karaulav1.Inner) { in.GetAlert().Type = karaulav1.AlertType_ALERT_TYPE_ROUTE },
		"content, its version": func(in *karaulav1.Inner) {
			in.GetAlert().Version, in.GetAlert().Lifecycle = 2, karaulav1.Lifecycle_LIFECYCLE_UPDATE
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, open)
			d := vehicle()
			d.Inner = change
			field, _, _ := strings.Cut(name, ",")
			_, v := s.al.receive(s.me.Say(d))
			if said(v) != "refused inner-mismatch" || !strings.HasPrefix(v.Detail, field+" ") {
				t.Errorf("judged %s (%s)", said(v), v.Detail)
			}
		})
	}
}

func TestFutureIsHeldUntilItHasCome(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	d := vehicle()
	d.Set = func(st *karaulav1.Statement) { st.SaidAt = s.Now.Add(2 * skew).UnixMicro() }
	k := s.al.take(s.me.Say(d))
	v := s.al.judge(k)
	if said(v) != "held time-future" || !v.Until.Equal(s.Now.Add(skew)) {
		t.Fatalf("judged %s until %v", said(v), v.Until)
	}
	s.Now = v.Until
	if v := s.al.judge(k); said(v) != "accepted accepted" {
		t.Errorf("at that time it is %s (%s)", said(v), v.Detail)
	}
}
