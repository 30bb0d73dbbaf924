package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/notice"
	"karaula/internal/register"
)

// refused runs a command at a node that must end with an exit code and say this.
func refused(t *testing.T, n *Node, code int, says string, args ...string) {
	t.Helper()
	a, err := n.Run(patient(t), "", args...)
	must(t, err)
	if a.Code != code || !strings.Contains(a.Out+a.Err, says) {
		t.Errorf("%s: exit code %d, want %d and %q: %s%s", strings.Join(args, " "), a.Code, code, says, a.Out, a.Err)
	}
}

// rootChange is what `karaula key root change` says, as far as it is needed here.
type rootChange struct {
	Next      string
	NextKey   string `json:"next_vkey"`
	Announced bool
	Card      *uint64
}

// vkey gives the verifier key of the root in a file.
func vkey(t *testing.T, file string) string {
	t.Helper()
	root, err := keyring.LoadRoot(file, nil)
	must(t, err)
	return root.VKey
}

// verifies exports at a node and verifies that with these roots alone.
func verifies(t *testing.T, n *Node, roots ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bundle")
	command(t, n, nil, "audit", "export", "--channel", Channel, "--reason", "invented audit", "--out", file)
	args := []string{"verify", file}
	for _, r := range roots {
		args = append(args, "--root", r)
	}
	a, err := n.Offline(patient(t), args...)
	must(t, err)
	if a.Code != 0 {
		t.Errorf("the export of %s does not verify: exit code %d: %s%s", n.Party, a.Code, a.Out, a.Err)
	}
}

// thief is who has al's old root, and online keys of its own making.
type thief struct {
	root   *keyring.Root
	before *card.Card
}

// card signs a card in al's name that cuts the real keys off.
func (k thief) card(t *testing.T, serial uint64) []byte {
	t.Helper()
	g, err := keyring.NewGateway("al", time.Now())
	must(t, err)
	b, err := keyring.NewBroker("al", time.Now())
	must(t, err)
	b.GatewayUser, err = keyring.User(g.Own)
	must(t, err)
	c, err := card.Draft(g, b, time.Now())
	must(t, err)
	c.Name, c.Address, c.Contact = k.before.Name, k.before.Address, k.before.Contact
	c.Root, c.NextRoot, c.Serial, c.Previous = k.root.VKey, k.before.NextRoot, serial, k.before.Digest
	c.Until = time.Now().AddDate(0, 6, 0)
	file, err := card.Issue(c, k.root.Signer)
	must(t, err)
	return file
}

// withdrawal signs that al leaves the agreement.
func (k thief) withdrawal(t *testing.T, serial uint64, digest [32]byte) []byte {
	t.Helper()
	file, err := notice.Issue(notice.Notice{
		Party: "al", Serial: serial, Agreement: Channel, Digest: digest, Act: notice.Withdraw,
		Effective: time.Now().UTC().Truncate(time.Second), Reason: "invented",
	}, k.root.Signer)
	must(t, err)
	return file
}

// robbed gives the thief of al's root.
func robbed(t *testing.T, w *World) thief {
	t.Helper()
	l := node.Layout{Dir: w.AL.Dir}
	root, err := keyring.LoadRoot(l.RootKey(), nil)
	must(t, err)
	file, err := os.ReadFile(l.Card("al"))
	must(t, err)
	c, err := card.Open(file)
	must(t, err)
	return thief{root, c}
}

// registerOf opens the register of a node, beside the node.
func registerOf(t *testing.T, n *Node) *register.Register {
	t.Helper()
	reg, err := register.Open(node.Layout{Dir: n.Dir}.Register(), n.Party)
	must(t, err)
	return reg
}

func put(t *testing.T, name string, body []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, body, 0o600))
	return path
}

// The root changes on a node that runs and both sides speak: the partner believes
// it by itself, nothing is lost, and what was said before still verifies.
func TestTheRootChangesWhileBothSpeak(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 2)
	must(t, w.Settle(patient(t)))
	l, stolen := node.Layout{Dir: w.AL.Dir}, robbed(t, w)
	load := Start(t.Context(), w.AL, r["al"], 1)
	var changed rootChange
	command(t, w.AL, &changed, "key", "root", "change", "--reason", "planned", "--after", l.RootKey()+".after")
	if !changed.Announced || changed.Card == nil || *changed.Card != 2 {
		t.Errorf("changed: %+v", changed)
	}
	knows(t, w.ME, "al", 2)
	for _, err := range load.Stop() {
		t.Error(err)
	}
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 2)
	// A second change, and keys by the root that came in between.
	command(t, w.AL, nil, "key", "rotate", "--root-key", l.NextRootKey())
	knows(t, w.ME, "al", 3)
	command(t, w.AL, nil, "key", "root", "change", "--reason", "once more", "--root-key", l.NextRootKey(),
		"--next-root-key", l.RootKey()+".after", "--after", l.RootKey()+".last")
	knows(t, w.ME, "al", 4)
	send(t, w.AL, r["al"], 1)
	must(t, w.Settle(patient(t)))
	for _, n := range w.Nodes() {
		command(t, n, nil, "audit", "replay", "--reason", "invented audit")
		me := vkey(t, node.Layout{Dir: w.ME.Dir}.RootKey())
		verifies(t, n, vkey(t, l.RootKey()), vkey(t, l.NextRootKey()), vkey(t, l.RootKey()+".after"), me)
		verifies(t, n, vkey(t, l.RootKey()+".after"), me) // the change says the rest
	}

	// Who has the replaced root comes too late.
	refused(t, w.ME, 6, "by another root", "party", "add", put(t, "card", stolen.card(t, 5)))
	text := registerOf(t, w.ME).View().Agreements()[0].Agreement.Digest
	for _, serial := range []uint64{1, 1000} {
		if err := registerOf(t, w.ME).AddNotice(stolen.withdrawal(t, serial, text)); err == nil {
			t.Errorf("withdrawal %d by the replaced root was taken in", serial)
		}
	}
	settleAndWalk(t, w, r, Expect{})
}

// The root is stolen, and the thief has brought a card and a withdrawal to the
// partner, with numbers that leave no room. The link is gone by that. The change,
// carried there as a file, throws both out, and all goes on.
func TestTheThiefOfTheRootIsThrownOut(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 2)
	must(t, w.Settle(patient(t)))
	l, stolen := node.Layout{Dir: w.AL.Dir}, robbed(t, w)
	command(t, w.ME, nil, "party", "add", put(t, "card", stolen.card(t, 1<<63)))
	text := registerOf(t, w.ME).View().Agreements()[0].Agreement.Digest
	must(t, registerOf(t, w.ME).AddNotice(stolen.withdrawal(t, 1<<63, text)))
	refused(t, w.AL, 7, "", "link", "test", "me")

	command(t, w.AL, nil, "key", "root", "change", "--reason", "root stolen", "--after", l.RootKey()+".after")
	send(t, w.AL, r["al"], 2) // waits at al
	changes := registerOf(t, w.AL).View().RootChanges("al")
	file := put(t, "al.root-change", changes[0].Signed)
	refused(t, w.ME, 6, "nothing was signed", "party", "root", "al", file, "--fingerprint", stolen.before.Fingerprint())
	next, err := keyring.LoadRoot(l.NextRootKey(), nil)
	must(t, err)
	own, _ := registerOf(t, w.AL).View().Card("al")
	if own.Root != next.VKey {
		t.Fatal("al's card is not by the new root")
	}
	var accepted struct{ Notice uint64 }
	command(t, w.ME, &accepted, "party", "root", "al", "--fingerprint", own.Fingerprint())
	if accepted.Notice != 0 {
		t.Error("a change that was announced needs nobody's signature")
	}
	knows(t, w.ME, "al", 2)
	send(t, w.ME, r["me"], 2)
	if got := registerOf(t, w.ME).View().Conflicts(); len(got) != 2 {
		t.Errorf("evidence: %v", got)
	}
	refused(t, w.ME, 6, "by another root", "party", "add", put(t, "card", stolen.card(t, 3)))
	must(t, w.Settle(patient(t)))
	command(t, w.ME, nil, "audit", "replay", "--reason", "invented audit")
	f := settleAndWalk(t, w, r, Expect{})
	if f.Alerts["al"] != 4 || f.Alerts["me"] != 4 {
		t.Errorf("al said %d and me %d alerts", f.Alerts["al"], f.Alerts["me"])
	}
}

// The root is lost, or the next one too: the change waits until a person at the
// partner has compared fingerprints; meanwhile both speak under the old card.
func TestALostRootIsReplacedByTelephone(t *testing.T) {
	t.Parallel()
	for name, both := range map[string]bool{"root": false, "both": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := makeWorld(t), records()
			start(t, w)
			send(t, w.AL, r["al"], 2)
			l := node.Layout{Dir: w.AL.Dir}
			next, args := l.NextRootKey(), []string{"--lost"}
			must(t, os.Remove(l.RootKey()))
			if both {
				must(t, os.Rename(l.NextRootKey(), filepath.Join(t.TempDir(), "burnt")))
				next, args = l.RootKey()+".made", append(args, "--new")
			}
			var changed rootChange
			command(t, w.AL, &changed, append([]string{
				"key", "root", "change", "--reason", "lost", "--next-root-key", next, "--after", l.RootKey() + ".after",
			}, args...)...)
			if changed.Announced || changed.Card != nil {
				t.Errorf("changed: %+v", changed)
			}
			send(t, w.AL, r["al"], 1)
			send(t, w.ME, r["me"], 2)
			must(t, Until(patient(t), func() string {
				if got := registerOf(t, w.ME).View().WaitingRoots("al"); len(got) != 1 {
					return fmt.Sprintf("me knows of %d changes that wait", len(got))
				}
				return ""
			}))
			must(t, w.Settle(patient(t)))
			refused(t, w.ME, 10, "root.change", "doctor")
			refused(t, w.AL, 10, "root.change", "doctor")
			command(t, w.ME, nil, "party", "root", "al", "--fingerprint", changed.Next)
			must(t, Until(patient(t), func() string {
				if got := registerOf(t, w.AL).View().Notices("me"); len(got) != 1 || got[0].Act != notice.AcceptRoot {
					return "al does not know that me has accepted"
				}
				return ""
			}))
			command(t, w.AL, nil, "card", "issue", "--root-key", next)
			knows(t, w.ME, "al", 2)
			send(t, w.AL, r["al"], 2)
			send(t, w.ME, r["me"], 2)
			must(t, w.Settle(patient(t)))
			for _, n := range w.Nodes() {
				command(t, n, nil, "audit", "replay", "--reason", "invented audit")
				verifies(t, n, registerOf(t, n).View().Agreements()[0].Agreement.Parties[0].Root, changed.NextKey,
					vkey(t, node.Layout{Dir: w.ME.Dir}.RootKey()))
			}
			f := settleAndWalk(t, w, r, Expect{})
			if f.Alerts["al"] != 5 || f.Alerts["me"] != 4 {
				t.Errorf("al said %d and me %d alerts", f.Alerts["al"], f.Alerts["me"])
			}
		})
	}
}
