package register

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/notice"
	"karaula/internal/signedtext"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// The types that tests speak about most.
const (
	vehicle = karaulav1.AlertType_ALERT_TYPE_VEHICLE
	hit     = karaulav1.AlertType_ALERT_TYPE_HIT
	route   = karaulav1.AlertType_ALERT_TYPE_ROUTE
	patrol  = karaulav1.AlertType_ALERT_TYPE_PATROL
)

var (
	start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	end   = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	tick  = time.Microsecond
	day   = 24 * time.Hour
)

// actor is a party with all its keys. Keys take time to make, so the tests of
// the package share them.
type actor struct {
	code              string
	root, next, rogue *keyring.Root
	gateway           *keyring.Gateway
	broker            *keyring.Broker
}

var (
	actorsMu sync.Mutex
	actors   = map[string]*actor{}
)

// who gives the actor of a party code, always the same one.
func who(t testing.TB, code string) *actor {
	t.Helper()
	actorsMu.Lock()
	defer actorsMu.Unlock()
	if a, ok := actors[code]; ok {
		return a
	}
	a := &actor{code: code}
	for _, into := range []**keyring.Root{&a.root, &a.next, &a.rogue} {
		private, _, err := keyring.NewRoot(code)
		must(t, err)
		*into, err = keyring.ParseRoot(private)
		must(t, err)
	}
	var err error
	a.gateway, err = keyring.NewGateway(code, start)
	must(t, err)
	a.broker, err = keyring.NewBroker(code, start)
	must(t, err)
	actors[code] = a
	return a
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cardFile issues a card; change may alter it before it is signed.
func (a *actor) cardFile(t testing.TB, serial uint64, change func(*card.Card)) []byte {
	t.Helper()
	c, err := card.Draft(a.gateway, a.broker, start)
	must(t, err)
	c.Name, c.Contact = "Invented authority of "+strings.ToUpper(a.code), "nobody"
	c.Serial, c.Address = serial, []string{"127.0.0.1:4222"}
	c.Root, c.NextRoot = a.root.VKey, signedtext.KeyDigest(a.next.VKey)
	if serial > 1 {
		c.Previous = [32]byte{1}
	}
	signer := a.root.Signer
	if change != nil {
		change(&c)
	}
	switch c.Root {
	case a.rogue.VKey:
		signer = a.rogue.Signer
	case a.next.VKey:
		signer = a.next.Signer
	}
	file, err := card.Issue(c, signer)
	must(t, err)
	return file
}

// byRoot makes a card one of another root of its party.
func byRoot(root *keyring.Root) func(*card.Card) {
	return func(c *card.Card) { c.Root, c.NextRoot = root.VKey, [32]byte{7} }
}

// party is the party line of an actor.
func (a *actor) party() agreement.Party {
	return agreement.Party{
		Code: a.code, Name: "Invented authority of " + strings.ToUpper(a.code), Root: a.root.VKey,
		Next: signedtext.KeyDigest(a.next.VKey),
	}
}

// draft writes a text of these parties that allows these types on one channel;
// replacements come in pairs.
func draft(t testing.TB, id, parties string, types []karaulav1.AlertType, replacements ...string) []byte {
	t.Helper()
	var list []agreement.Party
	for code := range strings.SplitSeq(parties, ",") {
		list = append(list, who(t, code).party())
	}
	text, err := agreement.Template(id, list, types, start)
	must(t, err)
	s := string(text)
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(s, replacements[i]) {
			t.Fatalf("the text has no %q:\n%s", replacements[i], s)
		}
		s = strings.Replace(s, replacements[i], replacements[i+1], 1)
	}
	return []byte(s)
}

// follow makes a text version n after the one before.
func follow(t testing.TB, text, before []byte, version string) []byte {
	t.Helper()
	b, findings := agreement.Lint(before)
	if agreement.Errors(findings) > 0 {
		t.Fatal(findings)
	}
	lines := "version " + version + "\nsupersedes " + agreement.FormatDigest(b.Digest) +
		"\nfirst " + agreement.FormatDigest(b.First)
	return []byte(strings.Replace(string(text), "version 1", lines, 1))
}

// sign adds the signature lines of these parties.
func sign(t testing.TB, file []byte, codes ...string) []byte {
	t.Helper()
	for _, code := range codes {
		var err error
		file, err = signedtext.AddSignature(file, who(t, code).root.Signer)
		must(t, err)
	}
	return file
}

// signAll adds the signature lines of all parties.
func signAll(t testing.TB, file []byte) []byte {
	t.Helper()
	a, findings := agreement.Lint(file)
	if agreement.Errors(findings) > 0 {
		t.Fatal(findings)
	}
	return sign(t, file, a.Codes()...)
}

// noticeFile issues a notice about a text.
func (a *actor) noticeFile(t testing.TB, serial uint64, act notice.Act, text []byte, effective time.Time) []byte {
	t.Helper()
	ag, findings := agreement.Lint(text)
	if agreement.Errors(findings) > 0 {
		t.Fatal(findings)
	}
	n := notice.Notice{
		Party: a.code, Serial: serial, Agreement: ag.ID, Digest: ag.Digest, Act: act, Effective: effective, Reason: "test",
	}
	var signer note.Signer = a.gateway.Notice
	if notice.NeedsRoot(act) {
		signer = a.root.Signer
	}
	file, err := notice.Issue(n, signer)
	must(t, err)
	return file
}

// node opens a new register of a party in an empty folder that holds the cards
// of these parties, its own among them, at the start of the agreements.
func node(t testing.TB, self string, cards ...string) *Register {
	t.Helper()
	r, err := Open(filepath.Join(t.TempDir(), "register"), self)
	must(t, err)
	r.SetClock(func() time.Time { return start.Add(day) })
	for _, code := range append([]string{self}, cards...) {
		_, err := r.AddCard(who(t, code).cardFile(t, 1, nil), AddCardOptions{})
		must(t, err)
	}
	return r
}

// bilateral gives al's register with an agreement with me in force, and its text.
func bilateral(t testing.TB) (r *Register, text []byte) {
	t.Helper()
	r, text = node(t, "al", "me"), draft(t, "b01", "al,me", someTypes)
	add(t, r, signAll(t, text))
	return r, text
}

// add takes in an agreement that must be taken in.
func add(t testing.TB, r *Register, file []byte) AgreementResult {
	t.Helper()
	res, err := r.AddAgreement(file)
	must(t, err)
	return res
}

// tree lists the files below the register folder that are no bookkeeping.
func tree(t testing.TB, r *Register) []string {
	t.Helper()
	var out []string
	must(t, filepath.WalkDir(r.dir, func(path string, d os.DirEntry, err error) error {
		name := strings.TrimPrefix(path, r.dir+"/")
		if err == nil && !d.IsDir() && !slices.Contains([]string{generationFile, lockFile}, name) {
			out = append(out, name)
		}
		return err
	}))
	return out
}

// fresh makes new online keys of a party.
func (a *actor) fresh() (*keyring.Gateway, error) { return keyring.NewGateway(a.code, start) }
