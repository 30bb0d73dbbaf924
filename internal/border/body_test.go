package border_test

import (
	"testing"
	"time"

	"karaula/internal/agreement"
	"karaula/internal/ledger"
	"karaula/internal/notice"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Short names for the tables below.
type (
	whole = karaulav1.Receipt
	entry = karaulav1.LedgerReceipt
)

// receipt is a receipt about al's ledger on the scene's channel.
func (s *scene) receipt() *karaulav1.Receipt {
	id := ledger.NewID(s.me.Channel.ID, "al", s.me.Channel.Mode, s.text.First)
	return &karaulav1.Receipt{Ledgers: []*karaulav1.LedgerReceipt{{
		Ledger: id[:], Epoch: 1, JudgedTo: 9, Root: make([]byte, 32), Since: 2,
		Exceptions: []*karaulav1.ReceiptException{
			{Seq: 3, Digest: make([]byte, 32), Class: karaulav1.VerdictClass_VERDICT_CLASS_REFUSED, Code: 29, JudgedAt: 1},
			{Seq: 5, Digest: make([]byte, 32), Class: karaulav1.VerdictClass_VERDICT_CLASS_ERASED, JudgedAt: 1},
			{Seq: 9, Digest: make([]byte, 32), Class: karaulav1.VerdictClass_VERDICT_CLASS_REFUSED, Code: 999, JudgedAt: 1},
		},
		Contested: &karaulav1.Contest{Size: 4, Seen: make([]byte, 32), Said: make([]byte, 32)},
		Erasures:  []*karaulav1.Erasure{{Seq: 5, DoneAt: 1}},
	}}}
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	const good, bad = "accepted accepted", "refused bad-body"
	for _, c := range []struct {
		name   string
		change func(*scene, *whole, *entry)
		want   string
	}{
		{"as it should be", func(*scene, *whole, *entry) {}, good},
		{"about two ledgers", func(s *scene, r *whole, _ *entry) {
			id := ledger.NewID(s.me.Channel.ID, "xk", s.me.Channel.Mode, s.text.First)
			r.Ledgers = append(r.Ledgers, &karaulav1.LedgerReceipt{Ledger: id[:], Epoch: 1, Root: make([]byte, 32)})
		}, good},
		{"about itself", func(s *scene, _ *whole, l *entry) { l.Ledger = s.me.ID[:] }, bad},
		{"about no ledger of the channel", func(_ *scene, _ *whole, l *entry) { l.Ledger = make([]byte, 32) }, bad},
		{"about half a ledger", func(_ *scene, _ *whole, l *entry) { l.Ledger = l.GetLedger()[:16] }, bad},
		{"about one ledger twice", func(_ *scene, r *whole, l *entry) { r.Ledgers = append(r.Ledgers, l) }, bad},
		{"about nothing", func(_ *scene, r *whole, _ *entry) { r.Ledgers = nil }, bad},
		{"without epoch", func(_ *scene, _ *whole, l *entry) { l.Epoch = 0 }, bad},
		{"without root", func(_ *scene, _ *whole, l *entry) { l.Root = nil }, bad},
		{"since after its end", func(_ *scene, _ *whole, l *entry) { l.Since = 10 }, bad},
		{"exception before its beginning", func(_ *scene, _ *whole, l *entry) { l.Exceptions[0].Seq = 2 }, bad},
		{"exception after its end", func(_ *scene, _ *whole, l *entry) { l.Exceptions[2].Seq = 10 }, bad},
		{"exceptions not ascending", func(_ *scene, _ *whole, l *entry) { l.Exceptions[1].Seq = 3 }, bad},
		{"exception without statement", func(_ *scene, _ *whole, l *entry) { l.Exceptions[1].Digest = nil }, bad},
		{"exception without time", func(_ *scene, _ *whole, l *entry) { l.Exceptions[1].JudgedAt = 0 }, bad},
		{"refusal without code", func(_ *scene, _ *whole, l *entry) { l.Exceptions[0].Code = 0 }, bad},
		{"held as an exception", func(_ *scene, _ *whole, l *entry) {
			l.Exceptions[1].Class = karaulav1.VerdictClass_VERDICT_CLASS_HELD
		}, bad},
		{"one-sided contradiction", func(_ *scene, _ *whole, l *entry) { l.Contested.Seen = nil }, bad},
		{"erasure of what was not judged", func(_ *scene, _ *whole, l *entry) { l.Erasures[0].Seq = 10 }, bad},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, open)
			r := s.receipt()
			c.change(s, r, r.GetLedgers()[0])
			d := testworld.Draft{Kind: karaulav1.Kind_KIND_RECEIPT, Body: r}
			if _, v := s.al.receive(s.me.Say(d)); said(v) != c.want {
				t.Errorf("judged %s (%s), want %s", said(v), v.Detail, c.want)
			}
		})
	}
}

func TestOrdersToErase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*scene, *karaulav1.Ref)
		want   string
	}{
		{"an earlier statement", func(*scene, *karaulav1.Ref) {}, "accepted accepted"},
		{"while winding down", func(s *scene, _ *karaulav1.Ref) { s.Now = s.text.ValidUntil }, "accepted accepted"},
		{"of another ledger", func(_ *scene, r *karaulav1.Ref) { r.Ledger = make([]byte, 32) }, "refused bad-body"},
		{"itself", func(_ *scene, r *karaulav1.Ref) { r.Seq = 2 }, "refused bad-body"},
		{"what was not said yet", func(_ *scene, r *karaulav1.Ref) { r.Seq = 9 }, "refused bad-body"},
		{"another one than it names", func(_ *scene, r *karaulav1.Ref) { r.Digest = make([]byte, 32) }, "refused bad-body"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, open)
			k := s.al.take(s.me.Say(vehicle()))
			ref := &karaulav1.Ref{Ledger: s.me.ID[:], Epoch: 1, Seq: 1, Digest: k.p.Leaf[:]}
			c.change(s, ref)
			d := testworld.Draft{Kind: karaulav1.Kind_KIND_ERASE, Refs: []*karaulav1.Ref{ref}}
			if _, v := s.al.receive(s.me.Say(d)); said(v) != c.want {
				t.Errorf("judged %s (%s), want %s", said(v), v.Detail, c.want)
			}
		})
	}
}

func TestCardStatementsThatBringNothing(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]func(*scene) []byte{
		"the card in force":    func(s *scene) []byte { return s.me.Card.Signed },
		"another party's card": func(s *scene) []byte { s.Rotate("xk", nil); return s.Parties["xk"].Card.Signed },
		"no card":              func(*scene) []byte { return []byte("karaula card v1\n") },
		"a card whose name was changed": func(s *scene) []byte {
			file := string(s.Rotate("me", nil).Signed)
			return []byte(replaceOnce(file, "Invented", "Improved"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, open)
			s.al.must(s.me.Say(heartbeat()))
			d := testworld.Draft{Kind: karaulav1.Kind_KIND_CARD, Body: &karaulav1.CardBody{Card: file(s)}}
			p, v := s.al.receive(s.me.Say(d))
			if said(v) != "refused bad-body" || p.CardNext() != nil || s.al.led.CardSerial != 1 {
				t.Errorf("judged %s (%s); card %d in force", said(v), v.Detail, s.al.led.CardSerial)
			}
		})
	}
}

func TestNotices(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	say := func(file []byte) string {
		d := testworld.Draft{Kind: karaulav1.Kind_KIND_NOTICE, Body: &karaulav1.NoticeBody{Notice: file}}
		_, v := s.al.receive(s.me.Say(d))
		return said(v)
	}
	if got := say(s.Notice("me", s.text, notice.Suspend)); got != "accepted accepted" {
		t.Errorf("the origin's notice is %s", got)
	}
	if got := say(s.Notice("xk", s.text, notice.Suspend)); got != "refused bad-body" {
		t.Errorf("another party's notice is %s", got)
	}
	if got := say([]byte("karaula notice v1\n")); got != "refused bad-body" {
		t.Errorf("half a notice is %s", got)
	}
}

// amendment is an AGREEMENT statement with a file.
func amendment(file []byte) testworld.Draft {
	return testworld.Draft{Kind: karaulav1.Kind_KIND_AGREEMENT, Body: &karaulav1.AgreementBody{Agreement: file}}
}

func TestNewTextRulesFromTheNextNumberOn(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	s.al.must(s.me.Say(heartbeat()))
	file := s.Sign(s.Amend(s.text, "say al trafficking", "say al,me trafficking"), "al", "me", "xk")
	signed, err := agreement.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	next := signed.Agreement

	early := s.me.Clone()
	early.Text = next
	k := s.al.take(s.me.Say(amendment(file)))
	if v := s.al.judge(k); said(v) != "held unknown-agreement" || k.p.AgreementNext() == nil {
		t.Fatalf("before the register has it, it is %s (%s)", said(v), v.Detail)
	}
	if _, v := s.al.receive(s.me.Say(vehicle())); said(v) != "refused agreement-not-in-force" {
		t.Errorf("under the old text after it, an alert is %s", said(v))
	}
	s.Give(file, "al")
	if v := s.al.judge(k); said(v) != "accepted accepted" {
		t.Errorf("once the register has it, it is %s (%s)", said(v), v.Detail)
	}
	s.me.Text = next
	s.al.must(s.me.Say(testworld.Said(karaulav1.AlertType_ALERT_TYPE_TRAFFICKING)))
}

func TestTextsThatDoNotFollow(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]func(*scene) []byte{
		"the text in force":       func(s *scene) []byte { return s.Sign(s.text.Text, "al", "me", "xk") },
		"not signed by everybody": func(s *scene) []byte { return s.Sign(s.Amend(s.text), "al", "me") },
		"of another agreement":    func(s *scene) []byte { return s.Sign(s.Text("t02-other", codes), "al", "me", "xk") },
		"without this channel": func(s *scene) []byte {
			return s.Sign(s.Amend(s.text, "channel "+open+" ", "channel t09-else "), "al", "me", "xk")
		},
		"with this channel in another mode": func(s *scene) []byte {
			return s.Sign(s.Amend(s.text, open+" mode=actual", open+" mode=exercise"), "al", "me", "xk")
		},
		"nothing": func(*scene) []byte { return []byte{'x'} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, open)
			s.al.must(s.me.Say(heartbeat()))
			p, v := s.al.receive(s.me.Say(amendment(file(s))))
			if said(v) != "refused bad-body" || p.AgreementNext() != nil || s.al.led.Agreement != s.text.Digest {
				t.Errorf("judged %s (%s)", said(v), v.Detail)
			}
		})
	}
}

// A party that has left is no reader any more, and says nothing sealed.
func TestWithdrawal(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	s.al.must(s.me.Say(heartbeat()))
	s.Give(s.RootNotice("xk", s.text, notice.Withdraw), "al")
	if _, v := s.al.receive(s.me.Say(vehicle())); said(v) != "refused kind-not-allowed" {
		t.Errorf("an agreement that ends with the first withdrawal: %s (%s)", said(v), v.Detail)
	}
	s.al.must(s.me.Say(heartbeat()))

	goesOn := newScene(t, open, "continues-without 0", "continues-without 2")
	goesOn.al.must(goesOn.me.Say(vehicle()))
	goesOn.Give(goesOn.RootNotice("xk", goesOn.text, notice.Withdraw), "al")
	if _, v := goesOn.al.receive(goesOn.me.Say(vehicle())); said(v) != "refused wrong-recipients" {
		t.Errorf("still sealed to who has left: %s (%s)", said(v), v.Detail)
	}
	d := vehicle()
	d.Recipients = func(rs []*karaulav1.Recipient) []*karaulav1.Recipient { return append(rs[:2:2], rs[3:]...) }
	goesOn.al.must(goesOn.me.Say(d))
	left := goesOn.Voice("xk", goesOn.text, open)
	gone := newGate(goesOn.World, "al", left)
	if _, v := gone.receive(left.Say(vehicle())); said(v) != "refused kind-not-allowed" {
		t.Errorf("who has left says something sealed: %s (%s)", said(v), v.Detail)
	}
	goesOn.Now = goesOn.Now.Add(goesOn.text.WindingDown - time.Microsecond)
	gone.must(left.Say(heartbeat()))
	goesOn.Now = goesOn.Now.Add(time.Microsecond)
	if _, v := gone.receive(left.Say(heartbeat())); said(v) != "refused agreement-not-in-force" {
		t.Errorf("who has left says something after winding down: %s (%s)", said(v), v.Detail)
	}
}

// Leaving while the agreement winds down does not open it for longer.
func TestWithdrawalAfterTheEnd(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	s.Now = s.text.ValidUntil.AddDate(0, 0, 10)
	s.al.must(s.me.Say(heartbeat()))
	s.Give(s.RootNotice("me", s.text, notice.Withdraw), "al")
	s.al.must(s.me.Say(heartbeat()))
	s.Now = s.text.ClosesAt()
	if _, v := s.al.receive(s.me.Say(heartbeat())); said(v) != "refused agreement-not-in-force" {
		t.Errorf("judged %s (%s)", said(v), v.Detail)
	}
}
