package register

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/notice"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func TestSuspension(t *testing.T) {
	t.Parallel()
	al, me := who(t, "al"), who(t, "me")
	r := node(t, "al", "me", "xk")
	text := draft(t, "t01", "al,me,xk", someTypes)
	add(t, r, signAll(t, text))
	at := start.Add(10 * day)
	allowed := func(from string, when time.Time) string {
		d := r.View().Decide(from, "t01", vehicle, when)
		if d.Allowed != (d.Code == CodeAllowed) || d.Reason == "" || d.Clause == nil {
			t.Errorf("an odd decision: %+v", d)
		}
		return d.Code
	}
	check := func(when time.Time, alCode, meCode, xkCode string) {
		t.Helper()
		got := []string{allowed("al", when), allowed("me", when), allowed("xk", when)}
		if d := cmp.Diff([]string{alCode, meCode, xkCode}, got); d != "" {
			t.Errorf("at %v al, me, xk (-want +got):\n%s", when, d)
		}
	}

	// One of three partners suspends: it may say nothing, the others go on.
	must(t, r.AddNotice(me.noticeFile(t, 3, notice.Suspend, text, at)))
	check(at.Add(-tick), CodeAllowed, CodeAllowed, CodeAllowed)
	check(at, CodeAllowed, CodeSuspended, CodeAllowed)

	// The highest serial in effect rules, whatever came first.
	must(t, r.AddNotice(me.noticeFile(t, 5, notice.Resume, text, at.Add(5*day))))
	must(t, r.AddNotice(me.noticeFile(t, 4, notice.Suspend, text, at.Add(6*day))))
	check(at.Add(5*day), CodeAllowed, CodeAllowed, CodeAllowed)
	check(at.Add(7*day), CodeAllowed, CodeAllowed, CodeAllowed)

	// Both partners suspend: nobody would read.
	must(t, r.AddNotice(me.noticeFile(t, 6, notice.Suspend, text, at.Add(20*day))))
	must(t, r.AddNotice(who(t, "xk").noticeFile(t, 1, notice.Suspend, text, at.Add(21*day))))
	check(at.Add(20*day), CodeAllowed, CodeSuspended, CodeAllowed)
	check(at.Add(21*day), CodeSuspended, CodeSuspended, CodeSuspended)

	// Self suspends: nothing is said, and nothing accepted.
	must(t, r.AddNotice(me.noticeFile(t, 7, notice.Resume, text, at.Add(30*day))))
	must(t, r.AddNotice(al.noticeFile(t, 1, notice.Suspend, text, at.Add(40*day))))
	check(at.Add(40*day), CodeSuspended, CodeSuspended, CodeSuspended)

	c, _ := r.View().ChannelAt("t01", at.Add(40*day))
	if !cmp.Equal(c.Parties, []string{"al", "me", "xk"}) || len(c.Suspended) != 2 ||
		c.PhaseAt(at.Add(40*day)) != agreement.InForce {
		t.Errorf("a suspended channel: %+v", c)
	}
	if got := r.View().NextNoticeSerial("me"); got != 8 {
		t.Errorf("next serial of me: %d", got)
	}
}

func TestAddNoticeRefuses(t *testing.T) {
	t.Parallel()
	me, xk := who(t, "me"), who(t, "xk")
	r := node(t, "al", "me")
	text := draft(t, "b01", "al,me", someTypes)
	unknown := draft(t, "b02", "al,me", someTypes)
	add(t, r, signAll(t, text))
	stolen := me.noticeFile(t, 9, notice.Suspend, text, start)
	must(t, r.AddNotice(me.noticeFile(t, 1, notice.Suspend, text, start)))
	for name, c := range map[string]struct {
		file []byte
		kind problem.Kind
	}{
		"no notice":       {[]byte("karaula notice v1\n"), problem.Invalid},
		"a strange party": {xk.noticeFile(t, 1, notice.Suspend, text, start), problem.NotFound},
		"an unknown text": {me.noticeFile(t, 2, notice.Suspend, unknown, start), problem.NotFound},
		"the serial again": {
			me.noticeFile(t, 1, notice.Resume, text, start), problem.Conflict,
		},
	} {
		if err := r.AddNotice(c.file); !problem.Is(err, c.kind) {
			t.Errorf("%s: %v, want kind %v", name, err, c.kind)
		}
	}
	if err := r.AddNotice(me.noticeFile(t, 1, notice.Suspend, text, start)); err != nil {
		t.Errorf("the same notice again: %v", err)
	}
	if got := len(r.View().Notices("me")); got != 1 || len(r.View().Conflicts()) != 1 {
		t.Errorf("%d notices, evidence %v", got, r.View().Conflicts())
	}

	// A key that a card revokes signs nothing any more.
	other, err := keysOf(me)
	must(t, err)
	file := me.cardFile(t, 2, func(c *card.Card) {
		for i, k := range c.Keys {
			if k.Use == karaulav1.KeyUse_KEY_USE_NOTICE {
				c.Revoked = []card.Revocation{{Key: k.ID, Ledger: [32]byte{1}, Epoch: 1}}
				c.Keys[i] = other
			}
		}
	})
	_, err = r.AddCard(file, AddCardOptions{})
	must(t, err)
	if err := r.AddNotice(stolen); !problem.Is(err, problem.Verification) {
		t.Errorf("a revoked key: %v", err)
	}
}

// Who finds a notice key that the party has retired, without revoking it, cannot
// suspend with it; what the party itself has suspended with it stays so.
func TestARetiredNoticeKeySignsNothingNew(t *testing.T) {
	t.Parallel()
	me := who(t, "me")
	r, text := bilateral(t)
	before := me.noticeFile(t, 1, notice.Suspend, text, start)
	must(t, r.AddNotice(before))
	other, err := keysOf(me)
	must(t, err)
	_, err = r.AddCard(me.cardFile(t, 2, func(c *card.Card) {
		for i, k := range c.Keys {
			if k.Use == karaulav1.KeyUse_KEY_USE_NOTICE {
				c.Keys[i] = other
			}
		}
	}), AddCardOptions{})
	must(t, err)
	for _, act := range []notice.Act{notice.Suspend, notice.Resume, notice.Object} {
		err := r.AddNotice(me.noticeFile(t, 2, act, text, start.Add(-day))) // whatever time it gives itself
		if !problem.Is(err, problem.Verification) {
			t.Errorf("%s by a retired key: %v", act, err)
		}
	}
	must(t, r.AddNotice(before))
	if got := r.View().Notices("me"); len(got) != 1 || got[0].Act != notice.Suspend {
		t.Errorf("notices after the key was retired: %v", got)
	}
}

// keysOf makes another notice key line for a party.
func keysOf(a *actor) (card.Key, error) {
	g, err := a.fresh()
	if err != nil {
		return card.Key{}, err
	}
	keys, _, err := card.KeysOf(g, a.broker)
	if err != nil {
		return card.Key{}, err
	}
	i := slices.IndexFunc(keys, func(k card.Key) bool { return k.Use == karaulav1.KeyUse_KEY_USE_NOTICE })
	return keys[i], nil
}

func TestWithdrawal(t *testing.T) {
	t.Parallel()
	xk := who(t, "xk")
	leave := start.Add(100 * day)
	for _, c := range []struct {
		name         string
		continues    string
		alAt, xkAt   string
		phase, xkEnd agreement.Phase
	}{
		{"the others go on", "continues-without 2", CodeAllowed, CodeWithdrawn, agreement.InForce, agreement.InForce},
		{"it ends for all", "continues-without 0", CodeWithdrawn, CodeWithdrawn, agreement.WindingDown, agreement.Closed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := node(t, "al", "me", "xk")
			text := draft(t, "t01", "al,me,xk", someTypes, "continues-without 0", c.continues)
			add(t, r, signAll(t, text))
			must(t, r.AddNotice(xk.noticeFile(t, 1, notice.Withdraw, text, leave)))
			v := r.View()
			for _, from := range []string{"al", "xk"} {
				if d := v.Decide(from, "t01", vehicle, leave.Add(-tick)); !d.Allowed {
					t.Errorf("%s before: %+v", from, d)
				}
			}
			if d := v.Decide("al", "t01", vehicle, leave); d.Code != c.alAt {
				t.Errorf("al after: %+v", d)
			}
			if d := v.Decide("xk", "t01", vehicle, leave); d.Code != c.xkAt {
				t.Errorf("xk after: %+v", d)
			}
			ch, _ := v.ChannelAt("t01", leave)
			if ch.PhaseAt(leave) != c.phase || ch.PhaseAt(leave.Add(30*day)) != c.xkEnd || slices.Contains(ch.Parties, "xk") {
				t.Errorf("phase %v then %v, parties %v", ch.PhaseAt(leave), ch.PhaseAt(leave.Add(30*day)), ch.Parties)
			}
			if !cmp.Equal(ch.Leaving, map[string]time.Time{"xk": leave.Add(30 * day)}) {
				t.Errorf("leaving: %v", ch.Leaving)
			}
		})
	}
}

// TestWithdrawnNeedNotConsent: the others may agree on a version without a
// party that has withdrawn from the one before.
func TestWithdrawnNeedNotConsent(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me", "xk")
	one := draft(t, "t01", "al,me,xk", someTypes)
	from := start.Add(50 * day)
	two := follow(t, draft(t, "t01", "al,me", someTypes,
		"valid-from "+agreement.FormatTime(start), "valid-from "+agreement.FormatTime(from)), one, "2")
	add(t, r, signAll(t, one))
	add(t, r, sign(t, two, "al", "me"))
	if got := mustChannel(t, r, from).Parties; len(got) != 3 {
		t.Errorf("version 2 has an effect without consent: parties %v", got)
	}
	must(t, r.AddNotice(who(t, "xk").noticeFile(t, 1, notice.Withdraw, one, from)))
	if got := mustChannel(t, r, from).Parties; !cmp.Equal(got, []string{"al", "me"}) {
		t.Errorf("parties: %v", got)
	}
}

func mustChannel(t testing.TB, r *Register, at time.Time) *ChannelView {
	t.Helper()
	c, ok := r.View().ChannelAt("t01", at)
	if !ok {
		t.Fatal("no channel")
	}
	return c
}
