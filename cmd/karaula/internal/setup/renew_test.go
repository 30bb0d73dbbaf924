package setup

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
)

// renewing is a node whose keys are renewed.
type renewing struct {
	t *testing.T
	l node.Layout
}

func (r renewing) step(s Renewal) (*card.Card, error) {
	return IssueCard(r.t.Context(), r.l.Dir, CardOptions{Renew: s, Now: now.Add(time.Hour)})
}

func (r renewing) keys() (*keyring.Gateway, *keyring.Broker) {
	r.t.Helper()
	g, err := keyring.LoadGateway(r.l.GatewayKeys(), nil)
	must(r.t, err)
	b, err := keyring.LoadBroker(r.l.BrokerKeys(), nil)
	must(r.t, err)
	return g, b
}

// The card announces the next certificate behind the present one, then names it alone.
func TestKeysAreAnnouncedAndFollow(t *testing.T) {
	t.Parallel()
	m := made(t, options(t))
	r := renewing{t, m.Layout}
	old := m.Card
	if _, err := r.step(FollowUp); !problem.Is(err, problem.Conflict) {
		t.Errorf("gone over to nothing: %v", err)
	}
	c, err := r.step(Announce)
	must(t, err)
	if p := c.Pins(keyring.RoleBroker); len(p) != 2 || p[0] != old.Pins(keyring.RoleBroker)[0] || c.NATS == old.NATS {
		t.Errorf("announced: %x", p)
	}
	if p := c.Pins(keyring.RoleGateway); len(p) != 2 || p[1] != old.Pins(keyring.RoleGateway)[0] {
		t.Errorf("announced for the gateway: %x", p)
	}
	if _, err := r.step(Announce); !problem.Is(err, problem.Conflict) {
		t.Errorf("announced twice: %v", err)
	}
	done, err := Finish(t.Context(), r.l.Dir, CardOptions{Now: now.Add(time.Hour)}, false)
	must(t, err)
	if p := done.Card.Pins(keyring.RoleBroker); len(p) != 1 || p[0] != c.Pins(keyring.RoleBroker)[1] ||
		len(done.Card.Pins(keyring.RoleGateway)) != 1 || done.Certificates != 1 || done.Logins != 0 {
		t.Errorf("finished: %+v", done)
	}
	if g, b := r.keys(); len(g.Logins()) != 2 || len(b.Certificates()) != 1 {
		t.Errorf("%d logins, %d certificates are left", len(g.Logins()), len(b.Certificates()))
	}
	done, err = Finish(t.Context(), r.l.Dir, CardOptions{Now: now.Add(time.Hour)}, true)
	must(t, err)
	if done.Card != nil || done.Logins != 1 {
		t.Errorf("finished again: %+v", done)
	}
}

// A step that was cut off before its card ends nothing, and a theft behind it is
// answered with keys that the thief has not seen.
func TestAStepThatWasCutOff(t *testing.T) {
	t.Parallel()
	m := made(t, options(t))
	r := renewing{t, m.Layout}
	_, _, err := RequestCard(t.Context(), r.l.Dir, CardOptions{Renew: Announce, Now: now.Add(time.Hour)})
	must(t, err)
	g, b := r.keys()
	if m.Card.Logins(g)[0].User() != m.Card.NATS {
		t.Error("a login is used that no card names")
	}
	if _, err := Finish(t.Context(), r.l.Dir, CardOptions{Now: now.Add(time.Hour)}, true); !problem.Is(err, problem.Conflict) {
		t.Errorf("finished what no card announced: %v", err)
	}
	if again, other := r.keys(); again.Login().User() != g.Login().User() || len(again.Logins()) != 2 ||
		!slices.Equal(other.Next.Certificate[0], b.Next.Certificate[0]) {
		t.Error("a refused step changed the keys")
	}
	c, err := r.step(Supersede)
	must(t, err)
	again, other := r.keys()
	if c.NATS == g.Login().User() || other.Certificate(keyring.Pin(b.Next.Leaf)) != nil || len(c.Pins(keyring.RoleBroker)) != 1 {
		t.Error("the card names keys that lay there before the theft")
	}
	if l := again.Logins(); len(l) != 2 || l[1].User() != m.Card.NATS {
		t.Errorf("%d logins: partners know one of them only", len(l))
	}
}

// The broker's keys cannot be written after the gateway's were, as by a kill in between:
// any card that follows keeps the broker believed, and the step can be repeated.
func TestAStepEndsBetweenTheTwoKeyFiles(t *testing.T) {
	t.Parallel()
	for _, step := range []Renewal{Announce, Supersede} {
		m := made(t, options(t))
		r := renewing{t, m.Layout}
		inTheWay := m.Layout.BrokerKeys() + ".new"
		must(t, os.MkdirAll(filepath.Join(inTheWay, "full"), 0o700))
		if _, err := r.step(step); err == nil || !strings.Contains(err.Error(), "no card was issued") {
			t.Errorf("the broker's keys were not written: %v", err)
		}
		g, b := r.keys()
		if g.Login().User() == m.Card.NATS || len(b.Certificates()) != 1 {
			t.Error("the gateway's keys are not written first")
		}
		c, err := r.step(NoRenewal)
		must(t, err)
		if !slices.Equal(c.Pins(keyring.RoleBroker), m.Card.Pins(keyring.RoleBroker)) || c.NATS == m.Card.NATS {
			t.Error("a card in between leaves partners without a way to see that it is new")
		}
		must(t, os.RemoveAll(inTheWay))
		c, err = r.step(step)
		must(t, err)
		g, b = r.keys()
		newest := b.TLS
		if step == Announce {
			newest = *b.Next
		}
		pins := c.Pins(keyring.RoleBroker)
		if c.NATS != g.Login().User() || pins[len(pins)-1] != keyring.Pin(newest.Leaf) {
			t.Error("the repeated step is not whole")
		}
	}
}

// A card that names keys that are not here is not taken in: its node could show nobody
// what the card says.
func TestACardOfOtherKeysIsNotTakenIn(t *testing.T) {
	t.Parallel()
	m := made(t, options(t))
	r := renewing{t, m.Layout}
	text, _, err := RequestCard(t.Context(), r.l.Dir, CardOptions{Renew: Supersede, Now: now.Add(time.Hour)})
	must(t, err)
	next, err := card.OpenRequest(text)
	must(t, err)
	_, _, err = RequestCard(t.Context(), r.l.Dir, CardOptions{Renew: Supersede, Now: now.Add(time.Hour)})
	must(t, err)
	root, err := keyring.LoadRoot(m.RootKey, nil)
	must(t, err)
	file, err := card.Issue(*next, root.Signer)
	must(t, err)
	if _, err := TakeCard(t.Context(), r.l.Dir, file, nil, false, now.Add(time.Hour)); !problem.Is(err, problem.Conflict) {
		t.Errorf("taken in: %v", err)
	}
}

// What was decided on one card is not done when another one was issued meanwhile: who has
// which card was said of the one before.
func TestFinishedOnAnotherCard(t *testing.T) {
	t.Parallel()
	for _, meanwhile := range []Renewal{Announce, Supersede} {
		m := made(t, options(t))
		r := renewing{t, m.Layout}
		c, err := r.step(meanwhile)
		must(t, err)
		o := CardOptions{Upon: m.Card.Serial, Now: now.Add(time.Hour)}
		if _, err := Finish(t.Context(), r.l.Dir, o, true); !problem.Is(err, problem.Conflict) {
			t.Errorf("finished: %v", err)
		}
		o.Renew = FollowUp
		if _, _, err := RequestCard(t.Context(), r.l.Dir, o); !problem.Is(err, problem.Conflict) {
			t.Errorf("requested: %v", err)
		}
		if g, b := r.keys(); len(g.Logins()) != 2 || len(b.Certificates()) != 2 {
			t.Errorf("%d logins and %d certificates are left, want 2 and 2", len(g.Logins()), len(b.Certificates()))
		}
		o.Upon = c.Serial
		done, err := Finish(t.Context(), r.l.Dir, o, true)
		must(t, err)
		if done.Logins != 1 || done.Certificates != 1 {
			t.Errorf("finished on the newest card: %+v", done)
		}
	}
}

// A card file that is newer than the register is the copy of a card that the register has
// lost: no other one gets its serial. An older one, and one that is away, are written anew.
func TestACardFileThatIsNewerIsNotReplaced(t *testing.T) {
	t.Parallel()
	m := made(t, options(t))
	r := renewing{t, m.Layout}
	first, err := os.ReadFile(m.Layout.Card(m.Card.Party))
	must(t, err)
	older, err := os.ReadDir(m.Layout.Register())
	must(t, err)
	kept := filepath.Join(t.TempDir(), "register")
	must(t, os.CopyFS(kept, os.DirFS(m.Layout.Register())))
	_, err = r.step(NoRenewal)
	must(t, err)
	second, err := os.ReadFile(m.Layout.Card(m.Card.Party))
	must(t, err)
	is := func(want []byte) {
		t.Helper()
		if got, err := os.ReadFile(m.Layout.Card(m.Card.Party)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the card file is another one: %v", err)
		}
	}
	o := CardOptions{Now: now.Add(time.Hour)}
	for _, file := range [][]byte{first, nil} {
		must(t, os.Remove(m.Layout.Card(m.Card.Party)))
		if file != nil {
			must(t, WriteFile(m.Layout.Card(m.Card.Party), file, 0o644))
		}
		_, err = Finish(t.Context(), r.l.Dir, o, false)
		must(t, err)
		is(second)
	}
	must(t, os.RemoveAll(m.Layout.Register()))
	must(t, os.CopyFS(m.Layout.Register(), os.DirFS(kept)))
	if now, err := os.ReadDir(m.Layout.Register()); err != nil || len(now) != len(older) {
		t.Fatalf("the register has %d files, want %d: %v", len(now), len(older), err)
	}
	if _, err := Finish(t.Context(), r.l.Dir, o, false); !problem.Is(err, problem.Conflict) {
		t.Errorf("finished: %v", err)
	}
	if _, _, err := RequestCard(t.Context(), r.l.Dir, o); !problem.Is(err, problem.Conflict) {
		t.Errorf("requested: %v", err)
	}
	is(second)
}
