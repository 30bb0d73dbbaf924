package setup

import (
	"crypto/rand"
	"sync"
	"testing"

	"karaula/internal/card"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// What is said at once is said one after the other: no card forgets what another one has
// added, and every command gets its card.
func TestCardCommandsAtOnce(t *testing.T) {
	t.Parallel()
	o := options(t)
	m := made(t, o)
	const each = 4
	revoked := make([][16]byte, each)
	contact := "Invented desk"
	var all sync.WaitGroup
	for n := range each {
		_, _ = rand.Read(revoked[n][:]) // a key of nobody
		for _, step := range []CardOptions{
			{Now: now, Rotate: true, Uses: []karaulav1.KeyUse{karaulav1.KeyUse_KEY_USE_SEAL}},
			{Now: now, Revoke: []card.Revocation{{Key: revoked[n], Ledger: [32]byte{1}, Epoch: 1, Seq: 1}}},
			{Now: now, Contact: &contact},
		} {
			all.Go(func() {
				if _, err := IssueCard(t.Context(), o.Dir, step); err != nil {
					t.Errorf("%+v: %v", step, err)
				}
			})
		}
	}
	all.Wait()
	i, err := begin(o.Dir, "nothing was looked at")
	must(t, err)
	defer i.end()
	if i.before.Serial != m.Card.Serial+3*each || i.before.Contact != contact || len(i.before.Revoked) != each {
		t.Errorf("card %d, contact %q, %d revocations; want %d, %q, %d",
			i.before.Serial, i.before.Contact, len(i.before.Revoked), m.Card.Serial+3*each, contact, each)
	}
	g, _, err := i.keys(nil)
	must(t, err)
	seals := 0
	for _, h := range g.Held() {
		if h.Use == karaulav1.KeyUse_KEY_USE_SEAL {
			seals++
		}
	}
	if seals != 1+each {
		t.Errorf("%d seal keys are held, want %d", seals, 1+each)
	}
}

// Who finds that another command does not end is told so, and has changed nothing.
func TestACardCommandThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	o := options(t)
	made(t, o)
	i, err := begin(o.Dir, "nothing was looked at")
	must(t, err)
	defer i.end()
	if _, err := lockCard(i.layout, "al", "no card was issued", 0); !problem.Is(err, problem.Conflict) {
		t.Errorf("the second: %v", err)
	}
}
