package gateway

import (
	"strings"
	"testing"
	"time"

	"karaula/internal/card"
	"karaula/internal/checkup"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/testworld"
)

// What a partner brings is believed as far as its root has signed it, and is newer.
func TestABroughtCardIsBelievedNoMoreThanAFetchedOne(t *testing.T) {
	t.Parallel()
	h := newHouseOn(t, channelID, "al", "me", "xk")
	h.start()
	o := owner{h.gateway}
	old := h.w.Parties["me"].Card
	next := h.w.Rotate("me", func(*card.Card) {})
	if _, err := o.TakeCard("xk", next.Signed); !problem.Is(err, problem.Invalid) {
		t.Errorf("another party's card: %v", err)
	}
	stranger := *next
	stranger.Serial, stranger.Previous, stranger.Root = next.Serial+1, next.Digest, h.w.Parties["xk"].Card.Root
	if _, err := o.TakeCard("me", stranger.Encode()); !problem.Is(err, problem.Invalid) {
		t.Errorf("a card that nobody has signed: %v", err)
	}
	thief, vkey, err := keyring.NewRoot("me")
	if err != nil {
		t.Fatal(err)
	}
	root, err := keyring.ParseRoot(thief)
	if err != nil {
		t.Fatal(err)
	}
	stranger.Root = vkey
	forged, err := card.Issue(stranger, root.Signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.TakeCard("me", forged); !problem.Is(err, problem.Verification) {
		t.Errorf("a card by another root: %v", err)
	}
	if serial, err := o.TakeCard("me", next.Signed); err != nil || serial != next.Serial {
		t.Errorf("the newest card: serial %d, %v", serial, err)
	}
	if serial, err := o.TakeCard("me", old.Signed); err == nil && serial != next.Serial {
		t.Errorf("an old card rules again: serial %d", serial)
	}
	if c, _ := h.gateway.o.Register.View().Card("me"); c.Digest != next.Digest {
		t.Errorf("card %d rules", c.Serial)
	}
}

// The logins are tried in turn, each for longer, and only where there are several.
func TestLoginsAreTriedInTurn(t *testing.T) {
	t.Parallel()
	g, err := keyring.NewGateway("al", time.Now())
	if err == nil {
		err = g.RenewLogin(time.Now(), true)
	}
	if err != nil {
		t.Fatal(err)
	}
	list := g.Logins()
	l := &login{}
	for i, want := range []int{0, 0, 1, 1, 0} { // the second and fourth time without a turn
		by := l.next(list)
		if by.User() != list[want].User() {
			t.Fatalf("%d: another login is tried", i)
		}
		l.user, l.turn = by.User(), i%2 == 1
	}
	l.user = "gone"
	if l.next(list).User() != list[0].User() {
		t.Error("a login is tried that is not here any more")
	}
}

// The check says what of a renewal is left to do.
func TestARenewalIsTold(t *testing.T) {
	t.Parallel()
	w := testworld.New(t, "al", "me")
	told := func(keys keyring.Gateway) checkup.Check {
		g := &Gateway{self: "al", o: Options{Register: w.Parties["al"].Register(), Keys: keyring.Fixed(&keys), Now: time.Now}}
		return g.renewal()
	}
	keys := *w.Parties["al"].Gateway
	if c := told(keys); c.State != checkup.OK {
		t.Errorf("nothing was renewed: %+v", c)
	}
	earlier := keys
	earlier.Earlier = []keyring.Login{keys.Login()}
	if c := told(earlier); c.State != checkup.Warn || !strings.Contains(c.Text, "still kept") || !strings.Contains(c.Hint, "--finish") {
		t.Errorf("an earlier login is kept: %+v", c)
	}
	if err := keys.RenewLogin(time.Now(), true); err != nil {
		t.Fatal(err)
	}
	if c := told(keys); c.State != checkup.Warn || !strings.Contains(c.Text, "cut off") {
		t.Errorf("no card names the login: %+v", c)
	}
}
