package keyring

import (
	"path/filepath"
	"testing"
)

func pins(b *Broker) (out [][32]byte) {
	for _, c := range b.Certificates() {
		out = append(out, Pin(c.Leaf))
	}
	return out
}

// What a renewal has made is in the files, and the earlier ones too, until they are
// forgotten.
func TestARenewalIsKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	g := newGateway(t)
	first := g.Login().User()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(g.RenewLogin(testNow, true))
	second := g.Login().User()
	must(g.RenewLogin(testNow, false)) // no card has named the second
	must(g.Save(path, nil))
	back, err := LoadGateway(path, nil)
	must(err)
	if l := back.Logins(); len(l) != 2 || l[1].User() != first || l[0].User() == second || l[0].User() != g.Login().User() {
		t.Errorf("%d logins are back", len(l))
	}
	for range MaxEarlier + 2 {
		must(g.RenewLogin(testNow, true))
	}
	if len(g.Logins()) != MaxEarlier+1 {
		t.Errorf("%d logins", len(g.Logins()))
	}
}

func TestTheBrokerGoesOver(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	b, err := NewBroker("al", testNow)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	old := Pin(b.TLS.Leaf)
	must(b.Announce(testNow))
	next := Pin(b.Next.Leaf)
	must(b.Announce(testNow)) // once more, after a crash
	must(b.Save(path, nil))
	b, err = LoadBroker(path, nil)
	must(err)
	if p := pins(b); len(p) != 2 || p[0] != old || p[1] != next || b.Certificate(next) == nil {
		t.Fatalf("announced: %x", p)
	}
	b.Follow()
	must(b.Replace(path, nil))
	b, err = LoadBroker(path, nil)
	must(err)
	if p := pins(b); len(p) != 2 || p[0] != next || p[1] != old || b.Next != nil {
		t.Fatalf("gone over: %x", p)
	}
	must(b.Announce(testNow))
	announced := Pin(b.Next.Leaf)
	must(b.Supersede(testNow, true))
	if p := pins(b); len(p) != 3 || b.Certificate(announced) != nil || p[0] == next || p[1] != next {
		t.Fatalf("superseded: %x", p)
	}
	if !b.Forget() || len(pins(b)) != 1 || b.Forget() {
		t.Error("not forgotten")
	}
}
