package setup

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/journal"
	"karaula/internal/keyring"
	"karaula/internal/ledger"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/signedtext"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// options gives what makes an invented node in a folder of the test.
func options(t *testing.T) Options {
	t.Helper()
	cfg := node.Default()
	cfg.Party, cfg.Name, cfg.Listen = "al", "Invented authority of AL", DefaultListen
	cfg.Officers = Operator()
	return Options{Dir: filepath.Join(t.TempDir(), "al"), Config: cfg, Now: now}
}

func made(t *testing.T, o Options) *Made {
	t.Helper()
	m, err := Make(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// names lists what lies in a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]string, 0, len(list))
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

func TestMakeGivesANodeThatItsPartsCanOpen(t *testing.T) {
	t.Parallel()
	o := options(t)
	m := made(t, o)
	root, err := keyring.LoadRoot(m.RootKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	next, err := keyring.LoadRoot(m.NextRootKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m.Card.Root != root.VKey || m.Card.NextRoot != signedtext.KeyDigest(next.VKey) {
		t.Error("the card names other roots than the files hold")
	}
	if !m.Card.Until.Equal(now.AddDate(1, 0, 0)) || m.Card.Serial != 1 {
		t.Errorf("card %d is valid until %s", m.Card.Serial, m.Card.Until)
	}
	g, err := keyring.LoadGateway(m.Layout.GatewayKeys(), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := keyring.LoadBroker(m.Layout.BrokerKeys(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if own, err := keyring.User(g.Own); err != nil || b.GatewayUser != own {
		t.Error("the broker knows another gateway")
	}
	if _, ok := m.Card.SignKey(g.Sign.ID[:]); !ok {
		t.Error("the card names another sign key than the gateway has")
	}
	cfg, err := node.Load(o.Dir)
	if err != nil || cfg.Party != "al" || len(cfg.Officers) != 1 || cfg.Officers[0].UID != os.Getuid() {
		t.Errorf("configuration %+v, %v", cfg, err)
	}
}

func TestSecretsAreForTheirOwnerOnly(t *testing.T) {
	t.Parallel()
	m := made(t, options(t))
	for path, want := range map[string]fs.FileMode{
		m.RootKey: 0o600, m.NextRootKey: 0o600, m.Layout.GatewayKeys(): 0o600, m.Layout.BrokerKeys(): 0o600,
		m.Layout.Config(): 0o600, m.Layout.Dir: 0o700,
	} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v (%v)", path, info.Mode().Perm(), want, err)
		}
	}
}

func TestMakeLeavesNothingBehindWhenItFails(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, o *Options){
		"root key in no folder": func(t *testing.T, o *Options) {
			t.Helper()
			o.RootKey = filepath.Join(t.TempDir(), "nowhere", "root")
		},
		"no passphrase": func(_ *testing.T, o *Options) {
			o.Passphrase = func() ([]byte, error) { return nil, problem.New(problem.Locked, "no passphrase") }
		},
		"a card that cannot be": func(_ *testing.T, o *Options) { o.Contact = "two\nlines" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			spoil(t, &o)
			if _, err := Make(o); err == nil {
				t.Fatal("a node was made")
			}
			if left := names(t, filepath.Dir(o.Dir)); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// Somebody may fill the folder while the node is being made.
func TestMakeNeverReplacesAFilledFolder(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Passphrase = func() ([]byte, error) {
		if err := os.MkdirAll(filepath.Join(o.Dir, "mine"), 0o700); err != nil {
			t.Error(err)
		}
		return nil, problem.New(problem.Failed, "late")
	}
	if _, err := Make(o); err == nil {
		t.Fatal("a node was made")
	}
	m := &maker{o: o, layout: node.Layout{Dir: o.Dir}}
	temp := t.TempDir()
	if err := m.place(temp); !problem.Is(err, problem.Conflict) {
		t.Errorf("placed over a filled folder: %v", err)
	}
	if got := names(t, o.Dir); len(got) != 1 || got[0] != "mine" {
		t.Errorf("the folder holds %v", got)
	}
}

func TestRotateKeepsTheOldKeys(t *testing.T) {
	t.Parallel()
	o := options(t)
	m := made(t, o)
	asked := 0
	c, err := IssueCard(t.Context(), o.Dir, CardOptions{Rotate: true, Now: now, Loaded: func(_ context.Context, ids [][16]byte) error {
		asked++
		g, err := keyring.LoadGateway(m.Layout.GatewayKeys(), nil)
		if err != nil || g.Sign.ID != ids[0] {
			t.Errorf("the new keys are not in the file when the node is asked for them: %v", err)
		}
		return nil
	}})
	if err != nil || asked != 1 {
		t.Fatal(err, asked)
	}
	g, err := keyring.LoadGateway(m.Layout.GatewayKeys(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.SignKey(g.Sign.ID[:]); !ok {
		t.Error("the new card does not name the new key")
	}
	for _, k := range m.Card.Keys {
		if k.Use != karaulav1.KeyUse_KEY_USE_NOTICE && !slices.ContainsFunc(g.Held(), func(h keyring.Held) bool { return h.ID == k.ID }) {
			t.Errorf("the old key of use %s is gone", k.Use)
		}
	}
}

// A revocation names the ledger of a channel that has ended, too: of what it does not
// name nothing counts.
func TestTheEndOfALedgerWhoseChannelHasEnded(t *testing.T) {
	t.Parallel()
	m := made(t, options(t))
	w := testworld.New(t, "me")
	began := now.AddDate(-9, 0, 0)
	text, err := agreement.Template("t01", []agreement.Party{
		{Code: "al", Name: m.Card.Name, Root: m.Card.Root, Next: m.Card.NextRoot},
		{Code: "me", Name: w.Parties["me"].Card.Name, Root: w.Parties["me"].Card.Root, Next: w.Parties["me"].Card.NextRoot},
	}, []karaulav1.AlertType{karaulav1.AlertType_ALERT_TYPE_VEHICLE}, began)
	must(t, err)
	root, err := keyring.LoadRoot(m.RootKey, nil)
	must(t, err)
	if text, err = signedtext.AddSignature(text, root.Signer); err != nil {
		t.Fatal(err)
	}
	reg, err := register.Open(m.Layout.Register(), "al")
	must(t, err)
	res, err := reg.AddAgreement(w.Sign(text, "me"))
	must(t, err)
	cv, ok := reg.View().Channel("t01")
	if !ok || !res.Complete || cv.PhaseAt(time.Now()) != agreement.Closed {
		t.Fatalf("the channel is not closed: %+v", res)
	}
	j, err := journal.Open(m.Layout.Journal(cv.Subject()), journal.State{Ledger: cv.Ledger("al"), Channel: "t01", Epoch: 3, Tree: new(ledger.Tree)})
	must(t, err)
	must(t, j.Close())
	own, err := OwnLedgers(t.Context(), m.Layout.Dir)
	if err != nil || len(own) != 1 || own[0].ID != cv.Ledger("al") || own[0].Epoch != 3 {
		t.Errorf("the own ledgers: %+v, %v", own, err)
	}
}

// A node that cannot open the new keys gets no card that names them.
func TestNoCardForKeysThatTheNodeHasNot(t *testing.T) {
	t.Parallel()
	o := options(t)
	m := made(t, o)
	_, err := IssueCard(t.Context(), o.Dir, CardOptions{Rotate: true, Now: now, Loaded: func(context.Context, [][16]byte) error {
		return problem.New(problem.Locked, "it does not open them")
	}})
	if !problem.Is(err, problem.Locked) {
		t.Errorf("a card was issued: %v", err)
	}
	file, err := os.ReadFile(m.Layout.Card("al"))
	if err != nil || string(file) != string(m.Card.Signed) {
		t.Errorf("the card is another one, or %v", err)
	}
}

// What the root key signs on another machine is taken in only where its keys are,
// and not if the node has gone on under the key that it revokes.
func TestARequestIsSignedElsewhere(t *testing.T) {
	t.Parallel()
	o := options(t)
	m := made(t, o)
	text, _, err := RequestCard(t.Context(), o.Dir, CardOptions{Rotate: true, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	request, err := card.OpenRequest(text)
	if err != nil {
		t.Fatal(err)
	}
	root, err := keyring.LoadRoot(m.RootKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	file, err := card.Issue(*request, root.Signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := TakeCard(t.Context(), o.Dir, file, nil, false, now)
	if err != nil || c.Serial != 2 {
		t.Fatalf("card %v, %v", c, err)
	}
	strange := *request
	strange.Serial, strange.Previous = 3, c.Digest
	other, err := keyring.NewGateway("al", now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := keyring.LoadBroker(m.Layout.BrokerKeys(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if strange.Keys, _, err = card.KeysOf(other, b); err != nil {
		t.Fatal(err)
	}
	if file, err = card.Issue(strange, root.Signer); err != nil {
		t.Fatal(err)
	}
	if _, err := TakeCard(t.Context(), o.Dir, file, nil, false, now); !problem.Is(err, problem.Conflict) {
		t.Errorf("a card with foreign keys was taken in: %v", err)
	}
}

func TestCardsFollowEachOther(t *testing.T) {
	t.Parallel()
	o := options(t)
	m := made(t, o)
	contact := "duty desk"
	c, err := IssueCard(t.Context(), o.Dir, CardOptions{Contact: &contact, Now: now.AddDate(0, 6, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if c.Serial != 2 || c.Previous != m.Card.Digest || c.Contact != contact || c.Root != m.Card.Root {
		t.Errorf("card %d, contact %q", c.Serial, c.Contact)
	}
	// A card never outlives its sign key, which is two years old by then.
	late := now.Add(keyring.Validity - time.Hour)
	if c, err = IssueCard(t.Context(), o.Dir, CardOptions{Now: late}); err != nil {
		t.Fatal(err)
	}
	if k := c.Keys[0]; !c.Until.Equal(k.Until) {
		t.Errorf("card until %s, sign key until %s", c.Until, k.Until)
	}
	file, err := os.ReadFile(m.Layout.Card("al"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := card.Open(file); err != nil || got.Digest != c.Digest {
		t.Errorf("the card file holds another card, or %v", err)
	}
}

func TestWriteFileReplacesWholeAndKeepsTheMode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("a long old body"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(path)
	if err != nil || string(body) != "new" {
		t.Errorf("file holds %q, %v", body, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode().Perm(), err)
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("left behind: %v", got)
	}
	if err := WriteFile(filepath.Join(dir, "nowhere", "file"), nil, 0o600); !problem.Is(err, problem.Failed) {
		t.Errorf("no folder: %v", err)
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		list []string
		want bool
	}{
		{[]string{"127.0.0.1:1"}, true},
		{[]string{"localhost:1", "[::1]:1"}, true},
		{[]string{"127.0.0.1:1", "gate.example.org:1"}, false},
		{[]string{"192.0.2.1:1"}, false},
	} {
		if got := Loopback(c.list); got != c.want {
			t.Errorf("Loopback(%v) = %v", c.list, got)
		}
	}
}
