package border_test

import (
	"testing"
	"time"

	"karaula/internal/border"
	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/ledger"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// unplaced are the cases of bytes that take no place.
func unplaced() []codeCase {
	set := func(change func(*karaulav1.Statement)) func(*scene) []byte {
		return func(s *scene) []byte {
			d := vehicle()
			d.Set = change
			return s.me.Say(d)
		}
	}
	return []codeCase{
		{name: "no bytes", make: func(*scene) []byte { return nil }, kind: dropped, want: "refused malformed"},
		{
			name: "noise", want: "refused malformed",
			make: func(*scene) []byte { return testworld.Random(100) }, kind: dropped,
		},
		{
			name: "far too large", want: "refused too-large",
			make: func(*scene) []byte { return make([]byte, 3<<20) }, kind: dropped,
		},
		{name: "another party's statement", make: func(s *scene) []byte {
			return s.Voice("xk", s.text, open).Say(vehicle())
		}, kind: dropped, want: "refused wrong-origin"},
		{name: "from another channel", make: func(s *scene) []byte {
			return s.Voice("me", s.text, sealed).Say(vehicle())
		}, kind: dropped, want: "refused wrong-channel"},
		{name: "another party's card", make: func(s *scene) []byte {
			d := vehicle()
			d.Set = func(st *karaulav1.Statement) { st.Card = s.Parties["xk"].Card.Digest[:] }
			return s.me.Say(d)
		}, kind: dropped, want: "refused unknown-key"},
		{
			name: "another card with a serial that is known", kind: dropped, want: "refused unknown-key",
			make: set(func(st *karaulav1.Statement) { st.Card = make([]byte, 32) }),
		},
		{name: "a key that the card does not have", make: func(s *scene) []byte {
			d := vehicle()
			d.Key = &s.Parties["xk"].Gateway.Sign
			return s.me.Say(d)
		}, kind: dropped, want: "refused unknown-key"},
		{name: "practised, on the channel where it is meant", kind: dropped, want: "refused wrong-mode", make: func(s *scene) []byte {
			d := vehicle()
			d.Set = func(st *karaulav1.Statement) { st.Mode = karaulav1.Mode_MODE_EXERCISE }
			return s.me.Say(d)
		}},
		{name: "meant, on the channel for exercises", channel: drill, kind: dropped, want: "refused wrong-mode", make: func(s *scene) []byte {
			d := vehicle()
			d.Set = func(st *karaulav1.Statement) { st.Mode = karaulav1.Mode_MODE_ACTUAL }
			return s.me.Say(d)
		}},
		{name: "an exercise key where it is meant", make: func(s *scene) []byte {
			d := vehicle()
			d.Key = &s.me.Party.Gateway.ExerciseSign
			return s.me.Say(d)
		}, kind: dropped, want: "refused wrong-mode"},
		{name: "an operational key in an exercise", channel: drill, make: func(s *scene) []byte {
			d := vehicle()
			d.Key = &s.me.Party.Gateway.Sign
			return s.me.Say(d)
		}, kind: dropped, want: "refused wrong-mode"},
		{name: "a second signer whose signature is missing", make: func(s *scene) []byte {
			d := vehicle()
			d.Late = func(st *karaulav1.Statement) {
				st.Signers = append(st.Signers, stranger())
			}
			return s.me.Say(d)
		}, kind: dropped, want: "refused signature-stripped"},
		{name: "a second signer whose signature is missing, malformed as well", make: func(s *scene) []byte {
			d := vehicle()
			d.Late = func(st *karaulav1.Statement) {
				st.Format = 9
				st.Signers = append(st.Signers, stranger())
			}
			return s.me.Say(d)
		}, kind: dropped, want: "refused signature-stripped"},
		{
			name: "a number ahead", want: "held history-incomplete",
			make: set(func(st *karaulav1.Statement) { st.Seq = 3 }), kind: border.Ahead,
		},
		{
			name: "an epoch ahead", want: "held history-incomplete",
			make: set(func(st *karaulav1.Statement) { st.Epoch = 3 }), kind: border.Ahead,
		},
		{name: "a number ahead, not signed", make: func(s *scene) []byte {
			d := vehicle()
			d.Set = func(st *karaulav1.Statement) { st.Seq = 3 }
			d.Envelope = func(e *karaulav1.Envelope) { e.Signatures[0].Sig[5] ^= 1 }
			return s.me.Say(d)
		}, kind: dropped, want: "refused bad-signature"},
		{
			name: "another history", want: "refused wrong-root",
			make: set(func(st *karaulav1.Statement) { st.PrevRoot = make([]byte, 32) }), kind: border.Fork,
		},
		{name: "another statement with a number that is taken", make: func(s *scene) []byte {
			other := s.me.Clone()
			s.al.must(s.me.Say(heartbeat()))
			return other.Say(vehicle())
		}, kind: border.Fork, want: "refused fork"},
		{name: "the same, not signed", make: func(s *scene) []byte {
			other := s.me.Clone()
			s.al.must(s.me.Say(heartbeat()))
			d := vehicle()
			d.Envelope = func(e *karaulav1.Envelope) { e.Signatures[0].Sig[5] ^= 1 }
			return other.Say(d)
		}, kind: dropped, want: "refused bad-signature"},
	}
}

// stranger is a signer that nobody knows.
func stranger() *karaulav1.Signer {
	return &karaulav1.Signer{Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyId: testworld.Random(16)}
}

func TestKnownBytesAreDropped(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	first := s.me.Say(vehicle())
	s.al.must(first, s.me.Say(heartbeat()))
	if p := s.al.place(first); p.Kind != border.Known || p.Code != 0 {
		t.Errorf("the same bytes again are %s %v, want known", p.Kind, p.Code)
	}
}

// A party that joined later has no leaf to compare what was said before.
func TestWhatWasSaidBeforeJoiningIsKnown(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	early := s.me.Say(heartbeat())
	s.al.led.Tree = s.me.Tree.Clone()
	s.al.must(s.me.Say(heartbeat()))
	if p := s.al.place(early); p.Kind != border.Known {
		t.Errorf("placed as %s (%s), want known", p.Kind, p.Detail)
	}
}

func TestForkCarriesBothSides(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	other := s.me.Clone()
	k := s.al.take(s.me.Say(heartbeat()))
	p := s.al.place(other.Say(vehicle()))
	if p.Kind != border.Fork || p.Contest.GetSize() != 1 ||
		string(p.Contest.GetSeen()) != string(k.p.Leaf[:]) || string(p.Contest.GetSaid()) != string(p.Leaf[:]) {
		t.Fatalf("placed as %s with contest %v", p.Kind, p.Contest)
	}
	s.al.led.Contest(&p)
	if _, v := s.al.receive(s.me.Say(vehicle())); said(v) != "held history-incomplete" {
		t.Errorf("after a fork an alert is %s, want held", said(v))
	}
	again := p
	again.Contest = &karaulav1.Contest{Size: 9}
	s.al.led.Contest(&again)
	if s.al.led.Contested.GetSize() != 1 {
		t.Error("a later contradiction has replaced the first")
	}
}

func TestGapFillsAndGoesOn(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	one, two, three := s.me.Say(heartbeat()), s.me.Say(vehicle()), s.me.Say(vehicle())
	if p := s.al.place(three); p.Kind != border.Ahead {
		t.Fatalf("number 3 first is %s, want ahead", p.Kind)
	}
	s.al.must(one, two, three)
}

func TestUnknownCardIsAskedFor(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	s.me.Card = s.Rotate("me", nil)
	raw := s.me.Say(vehicle())
	p, v := s.al.receive(raw)
	want := border.Wanted{Digest: s.me.Card.Digest, Serial: 2}
	if p.Kind != border.NeedCard || p.Want != want || said(v) != "held history-incomplete" {
		t.Fatalf("placed as %s wanting %v, judged %s", p.Kind, p.Want, said(v))
	}
	s.Give(s.me.Card.Signed, "al")
	s.al.must(raw)
}

// cardStatement says the voice's party's newest card.
func cardStatement(c *card.Card) testworld.Draft {
	return testworld.Draft{Kind: karaulav1.Kind_KIND_CARD, Body: &karaulav1.CardBody{Card: c.Signed}}
}

func TestNewCardRulesFromTheNextNumberOn(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	s.al.must(s.me.Say(heartbeat()))
	old := s.me.Card
	fresh := s.Rotate("me", nil)
	s.Give(fresh.Signed, "al")

	early := s.me.Clone()
	early.Card = fresh
	if p := s.al.place(early.Say(vehicle())); p.Kind != border.Quarantine || p.Code != karaulav1.Code_CODE_KEY_NOT_VALID {
		t.Errorf("a card that was not said yet: %s %v, want quarantine key-not-valid", p.Kind, p.Code)
	}
	p, v := s.al.receive(s.me.Say(cardStatement(fresh)))
	if said(v) != "accepted accepted" || p.CardNext() == nil || p.CardNext().Serial != 2 {
		t.Fatalf("CARD statement: %s, %s", said(v), v.Detail)
	}
	late := s.me.Clone()
	if p := s.al.place(late.Say(vehicle())); p.Kind != border.Quarantine || p.Code != karaulav1.Code_CODE_KEY_NOT_VALID {
		t.Errorf("the retired card: %s %v, want quarantine key-not-valid", p.Kind, p.Code)
	}
	s.me.Card = fresh
	s.al.must(s.me.Say(vehicle()))
	if s.al.led.Card != fresh.Digest || s.al.led.Card == old.Digest {
		t.Error("the ledger does not say which card is in force")
	}
}

// A CARD statement that is refused brings its card all the same: the root has
// signed it, and the origin goes on under it.
func TestRefusedCardStatementStillBringsItsCard(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	s.al.must(s.me.Say(heartbeat()))
	fresh := s.Rotate("me", nil)
	s.Give(fresh.Signed, "al")
	s.Now = s.Now.Add(-time.Second)
	if _, v := s.al.receive(s.me.Say(cardStatement(fresh))); said(v) != "refused time-backwards" {
		t.Fatalf("judged %s", said(v))
	}
	s.Now = s.Now.Add(time.Minute)
	s.me.Card = fresh
	s.al.must(s.me.Say(vehicle()))
}

// revoke makes an edit of a card that revokes a key at a position of a ledger.
func revoke(key keyring.SignKey, id ledger.ID, epoch, seq uint64) func(*card.Card) {
	return func(c *card.Card) {
		c.Revoked = append(c.Revoked, card.Revocation{Key: key.ID, Ledger: id, Epoch: epoch, Seq: seq})
	}
}

func TestRevokingCardTakesOverAtItsPosition(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	s.al.must(s.me.Say(heartbeat()), s.me.Say(vehicle()))
	stolen, thief := s.me.Party.Gateway.Sign, s.me.Clone()
	thief.Card = s.me.Card
	thieves := thief.Say(vehicle())

	wrong := s.Rotate("me", revoke(stolen, s.me.ID, 1, 1))
	s.Give(wrong.Signed, "al")
	off := s.me.Clone()
	off.Card = wrong
	if p := s.al.place(off.Say(vehicle())); p.Code != karaulav1.Code_CODE_KEY_NOT_VALID {
		t.Errorf("a revocation at another position: %s %v", p.Kind, p.Code)
	}

	right := s.Rotate("me", revoke(stolen, s.me.ID, 1, 2))
	s.Give(right.Signed, "al")
	if p := s.al.place(thieves); p.Kind != border.Quarantine || p.Code != karaulav1.Code_CODE_KEY_NOT_VALID {
		t.Errorf("the thief appends: %s %v, want quarantine key-not-valid", p.Kind, p.Code)
	}
	s.me.Card = right
	s.al.must(s.me.Say(vehicle()))
}

// Of several cards that revoke a key, the newest says how far it counts.
func TestNewestRevocationRules(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	one, two := s.me.Say(heartbeat()), s.me.Say(heartbeat())
	stolen := s.me.Party.Gateway.Sign
	s.Give(s.Rotate("me", revoke(stolen, s.me.ID, 1, 1)).Signed, "al")
	s.al.must(one)
	if p := s.al.place(two); p.Code != karaulav1.Code_CODE_KEY_NOT_VALID {
		t.Errorf("beyond the last good number it is %s %v", p.Kind, p.Code)
	}
	s.Give(s.Rotate("me", revoke(stolen, s.me.ID, 1, 2)).Signed, "al")
	if p := s.al.place(two); p.Kind != border.Next {
		t.Errorf("up to the last good number of the newer card it is %s %v", p.Kind, p.Code)
	}
	s.Give(s.Rotate("me", revoke(stolen, ledger.ID{9}, 1, 9)).Signed, "al")
	if p := s.al.place(two); p.Code != karaulav1.Code_CODE_KEY_NOT_VALID {
		t.Errorf("in a ledger that the newest card does not name it is %s %v", p.Kind, p.Code)
	}
}

func TestKindsHaveWords(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for k := border.Quarantine; k <= border.NeedCard; k++ {
		seen[k.String()] = true
	}
	if len(seen) != 6 || !seen["need-card"] {
		t.Errorf("words are %v", seen)
	}
}

// An older card does not rule again, although it once revoked a key exactly here.
func TestOlderCardDoesNotTakeOver(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	key := s.me.Party.Gateway.Sign
	older := s.Rotate("me", revoke(key, s.me.ID, 1, 1))
	newer := s.Rotate("me", nil)
	s.Give(older.Signed, "al")
	s.Give(newer.Signed, "al")
	s.me.Card = newer
	s.al.must(s.me.Say(heartbeat()))
	s.me.Card = older
	for _, serial := range []uint64{older.Serial, newer.Serial + 1} {
		d := vehicle()
		d.Unsaid = true
		d.Set = func(st *karaulav1.Statement) { st.CardSerial = serial }
		if p := s.al.place(s.me.Say(d)); p.Kind != border.Quarantine || p.Code != karaulav1.Code_CODE_KEY_NOT_VALID {
			t.Errorf("with serial %d it is %s %v, want quarantine key-not-valid", serial, p.Kind, p.Code)
		}
	}
}

// Old cards are not asked for: they cannot rule again.
func TestOldCardIsNotAskedFor(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	unknown, newest := s.Rotate("me", nil), s.Rotate("me", nil)
	s.Give(newest.Signed, "al")
	s.me.Card = newest
	s.al.must(s.me.Say(heartbeat()))
	s.me.Card = unknown
	if p := s.al.place(s.me.Say(heartbeat())); p.Kind != border.Quarantine || p.Code != karaulav1.Code_CODE_KEY_NOT_VALID {
		t.Errorf("placed as %s %v, want quarantine key-not-valid", p.Kind, p.Code)
	}
}

// Neither card nor key says anything after its end.
func TestCardsAndKeysHaveAnEnd(t *testing.T) {
	t.Parallel()
	end := testworld.Start.Add(time.Hour)
	for name, edit := range map[string]func(*card.Card){
		"card": func(c *card.Card) { c.Until = end },
		"key":  func(c *card.Card) { c.Keys[0].Until = end },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, open)
			s.al.must(s.me.Say(heartbeat()))
			brief := s.Rotate("me", edit)
			s.Give(brief.Signed, "al")
			s.al.must(s.me.Say(cardStatement(brief)))
			s.me.Card = brief
			s.Now = end.Add(-time.Microsecond)
			s.al.must(s.me.Say(vehicle()))
			s.Now = end
			if _, v := s.al.receive(s.me.Say(vehicle())); said(v) != "refused key-not-valid" {
				t.Errorf("judged %s", said(v))
			}
		})
	}
}

func TestRevokedKeyProvesNoFork(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	thief, stolen := s.me.Clone(), s.me.Party.Gateway.Sign
	s.al.must(s.me.Say(heartbeat()))
	forged := thief.Say(vehicle())
	if p := s.al.place(forged); p.Kind != border.Fork {
		t.Fatalf("before the revocation it is %s, want fork", p.Kind)
	}
	s.Give(s.Rotate("me", revoke(stolen, s.me.ID, 1, 1)).Signed, "al")
	if p := s.al.place(forged); p.Kind != border.Quarantine || p.Code != karaulav1.Code_CODE_KEY_NOT_VALID {
		t.Errorf("after it: %s %v, want quarantine key-not-valid", p.Kind, p.Code)
	}
}

// What had its place before the revocation came keeps it in a replay, and is
// refused if it was not judged.
func TestRevocationDoesNotUnsettleWhatWasPlaced(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	one, two := s.me.Say(heartbeat()), s.me.Say(vehicle())
	s.al.must(one)
	k := s.al.take(two)
	s.Give(s.Rotate("me", revoke(s.me.Party.Gateway.Sign, s.me.ID, 1, 1)).Signed, "al")
	if v := s.al.judge(k); said(v) != "refused key-not-valid" {
		t.Errorf("judged %s after the revocation", said(v))
	}
	replay := newGate(s.World, "al", s.me)
	replay.led.Settled = 2
	for _, raw := range [][]byte{one, two} {
		if k := replay.take(raw); k.p.Kind != border.Next {
			t.Errorf("number %d is %s (%s) in the replay", k.p.Position.Seq, k.p.Kind, k.p.Detail)
		}
	}
	if replay.led.Tree.Root() != s.al.led.Tree.Root() {
		t.Error("the replay has another root")
	}
}
