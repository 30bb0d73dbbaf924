// Package testworld makes small worlds for tests: parties with real root keys,
// online keys, cards and registers, agreements that all of them have signed,
// and voices that say real statements, or broken ones, in real ledgers.
//
// Nothing is faked but the clock, which stands still until a test moves it. All
// names and contents are invented. The package must never be imported by
// anything but tests.
package testworld

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/notice"
	"karaula/internal/register"
	"karaula/internal/signedtext"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Start is when every world begins.
var Start = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// World is a set of parties that have each other's cards.
type World struct {
	T testing.TB
	// Now is the world's clock.
	Now time.Time
	// Parties are the parties and auditors by code.
	Parties map[string]*Party
	codes   []string
}

// Party is one party with everything that it keeps secret.
type Party struct {
	Code string
	// Root signs its cards and agreements; Next is the root that will follow.
	Root, Next *keyring.Root
	Gateway    *keyring.Gateway
	Broker     *keyring.Broker
	// Audit is set if the party is an auditor.
	Audit *keyring.SealKey
	// Login is what it logs in with at parties' brokers.
	Login *keyring.Auditor
	// Card is its newest card; Cards are all that it ever had.
	Card  *card.Card
	Cards []*card.Card

	w      *World
	given  [][]byte           // what the register will hold
	mu     sync.Mutex         // of opened and folder: a test's broker may ask while the test loses a file
	opened *register.Register // nil until somebody looks
	folder string             // of the register, once it is opened
}

// New makes a world of these parties. A code that begins with "audit" makes an
// auditor.
func New(t testing.TB, codes ...string) *World {
	t.Helper()
	w := &World{T: t, Now: Start, Parties: map[string]*Party{}, codes: codes}
	for i, code := range codes {
		w.Parties[code] = w.newParty(code, 40000+i)
	}
	for _, from := range codes {
		w.Give(w.Parties[from].Card.Signed, codes...)
	}
	return w
}

// Adopt takes in a party that was made elsewhere: its code, root, gateway keys and
// card. The world's registers do not know it by that.
func (w *World) Adopt(p *Party) *Party {
	p.w, p.Cards = w, append(p.Cards, p.Card)
	w.Parties[p.Code] = p
	w.codes = append(w.codes, p.Code)
	return p
}

func (w *World) newParty(code string, port int) *Party {
	w.T.Helper()
	p := &Party{Code: code, Root: w.NewRoot(code), Next: w.NewRoot(code), w: w}
	if strings.HasPrefix(code, "audit") {
		p.Login = ok(keyring.NewAuditor(code, w.Now.Add(-time.Hour)))(w.T)
		p.Audit = &p.Login.Audit[0]
		w.issue(p, ok(card.DraftAuditor(p.Login, true, w.Now.Add(-time.Hour)))(w.T))
		return p
	}
	p.Gateway = ok(keyring.NewGateway(code, w.Now.Add(-time.Hour)))(w.T)
	p.Broker = ok(keyring.NewBroker(code, w.Now.Add(-time.Hour)))(w.T)
	draft := w.draft(p)
	draft.Address = []string{fmt.Sprintf("127.0.0.1:%d", port)}
	w.issue(p, draft)
	return p
}

// draft gives a card with the party's present keys.
func (w *World) draft(p *Party) card.Card {
	w.T.Helper()
	c := ok(card.Draft(p.Gateway, p.Broker, w.Now.Add(-time.Hour)))(w.T)
	if p.Card != nil {
		c.Address = p.Card.Address
	}
	return c
}

// issue signs a card as the party's next one and keeps it.
func (w *World) issue(p *Party, c card.Card) {
	w.T.Helper()
	c.Party, c.Name, c.Contact = p.Code, "Invented authority of "+strings.ToUpper(p.Code), "duty desk, extension 000"
	c.Root, c.NextRoot, c.Speaks = p.Root.VKey, signedtext.KeyDigest(p.Next.VKey), []uint32{1}
	c.Serial = uint64(len(p.Cards)) + 1
	if p.Card != nil {
		c.Serial, c.Previous = p.Card.Serial+1, p.Card.Digest
	}
	if c.Issued.IsZero() {
		c.Issued = w.Now.Add(-time.Hour)
	}
	if c.Until.IsZero() {
		c.Until = c.Issued.Add(keyring.Validity)
	}
	file := ok(card.Issue(c, p.Root.Signer))(w.T)
	p.Card = ok(card.Open(file))(w.T)
	p.Cards = append(p.Cards, p.Card)
}

// Rotate gives a party new online keys and a new card, which edit may change
// before it is signed. Only the party itself gets it; see [World.Give].
func (w *World) Rotate(code string, edit func(*card.Card)) *card.Card {
	w.T.Helper()
	p := w.Parties[code]
	if err := p.Gateway.Rotate(w.Now.Add(-time.Hour)); err != nil {
		w.T.Fatal(err)
	}
	c := w.draft(p)
	if edit != nil {
		edit(&c)
	}
	w.issue(p, c)
	w.Give(p.Card.Signed, code)
	return p.Card
}

// ChangeRoot puts a party's next root in the place of its root, and gives the
// first card that it signed and the notice of the change.
func (w *World) ChangeRoot(code string) (fresh *card.Card, change []byte) {
	w.T.Helper()
	p := w.Parties[code]
	n := notice.Notice{
		Party: code, Serial: w.View(code).NextNoticeSerial(code), Agreement: notice.AllAgreements, Act: notice.RootChange,
		Effective: w.Now, Root: p.Root.VKey, Next: p.Next.VKey, Stands: w.View(code).Standing(code), Reason: "invented for a test",
	}
	after := w.NewRoot(code)
	n.After = signedtext.KeyDigest(after.VKey)
	change = ok(notice.Issue(n, p.Root.Signer, p.Next.Signer))(w.T)
	p.Root, p.Next = p.Next, after
	if err := p.Gateway.Rotate(w.Now.Add(-time.Hour)); err != nil {
		w.T.Fatal(err)
	}
	w.issue(p, w.draft(p))
	return p.Card, change
}

// Give hands a card, agreement or notice to parties, by its first line.
func (w *World) Give(file []byte, to ...string) {
	w.T.Helper()
	for _, code := range to {
		w.Parties[code].give(file)
	}
}

// give keeps a file for the register, or adds it to the one that is open.
func (p *Party) give(file []byte) {
	p.w.T.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.opened == nil {
		p.given = append(p.given, file)
		return
	}
	p.takeIn(file)
}

// takeIn adds a file to the party's register, which is open.
func (p *Party) takeIn(file []byte) {
	p.w.T.Helper()
	var err error
	switch {
	case strings.HasPrefix(string(file), card.Head):
		_, err = p.opened.AddCard(file, register.AddCardOptions{})
	case strings.HasPrefix(string(file), notice.Head):
		err = p.opened.AddNotice(file)
	default:
		_, err = p.opened.AddAgreement(file)
	}
	if err != nil {
		p.w.T.Fatalf("%s does not take it in: %v", p.Code, err)
	}
}

// Register is what the party knows, in a folder of the test. It is made when
// somebody first asks, because most tests look through one party's eyes.
func (p *Party) Register() *register.Register {
	t := p.w.T
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.opened == nil {
		p.folder = filepath.Join(t.TempDir(), "register")
		p.opened = ok(register.Open(p.folder, p.Code))(t)
		p.opened.SetClock(func() time.Time { return p.w.Now })
		for _, file := range p.given {
			p.takeIn(file)
		}
	}
	return p.opened
}

// Lay puts a file into the folder of the party's register by hand, past the
// checks of taking it in. It counts from the register's next change on.
func (p *Party) Lay(path string, file []byte) {
	t := p.w.T
	t.Helper()
	p.Register()
	full := filepath.Join(p.folder, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, file, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Lose removes a file of the party's register by hand, and opens the register again,
// as a start of its node does.
func (p *Party) Lose(path string) {
	t := p.w.T
	t.Helper()
	p.Register()
	if err := os.Remove(filepath.Join(p.folder, path)); err != nil {
		t.Fatal(err)
	}
	again := ok(register.Open(p.folder, p.Code))(t)
	again.SetClock(func() time.Time { return p.w.Now })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opened = again
}

// View gives what a party knows now.
func (w *World) View(code string) *register.View { return w.Parties[code].Register().View() }

// Text writes an agreement of some parties, from a year before [Start] until a
// year after, with three channels: id (open types), id-s (sealed types) and id-x
// (exercise). Everybody may say vehicle (with personal data, up to H2, a year),
// route (without, up to H1, 90 days); the first party may also say trafficking.
// Auditors among the codes read everything. Pairs of replacements follow.
func (w *World) Text(id string, codes []string, replacements ...string) []byte {
	w.T.Helper()
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("karaula agreement v1\nid %s\nversion 1", id)
	line("title \"Exchange of invented alerts\"\nbasis \"Illustrative, not a legal text\"")
	line("valid-from %s", agreement.FormatTime(Start.AddDate(-1, 0, 0)))
	line("valid-until %s", agreement.FormatTime(Start.AddDate(1, 0, 0)))
	line("winding-down 30d")
	var parties []string
	for _, code := range codes {
		if p := w.Parties[code]; p.Audit == nil {
			parties = append(parties, code)
			line(`party %s "%s" root=%s next=%s`, code, p.Card.Name, p.Root.VKey, agreement.FormatDigest(p.Card.NextRoot))
		}
	}
	for _, code := range codes {
		if p := w.Parties[code]; p.Audit != nil {
			line(`auditor %s "%s" root=%s`, code, p.Card.Name, p.Root.VKey)
		}
	}
	line("min-algs sign=ed25519 seal=age-hybrid\nmax-size 256KiB\nquota 1GiB\nwithdraw notice=90d")
	line("continues-without 0\nexercise yes")
	all := strings.Join(parties, ",")
	channels := []string{" mode=actual types=open", "-s mode=actual types=sealed", "-x mode=exercise types=open"}
	for _, rest := range channels {
		line("channel %s%s", id, rest)
		line(`say %s vehicle personal=yes handling<=H2 retain<=1y article="Art. 5"`, all)
		line("say %s route personal=no handling<=H1 retain<=90d", all)
		line("say %s trafficking personal=yes handling<=H3 retain<=1y", parties[0])
	}
	text := b.String()
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(text, replacements[i]) {
			w.T.Fatalf("the text has no %q", replacements[i])
		}
		text = strings.Replace(text, replacements[i], replacements[i+1], 1)
	}
	return []byte(text)
}

// Amend writes the next version of a text, with replacements.
func (w *World) Amend(before *agreement.Agreement, replacements ...string) []byte {
	w.T.Helper()
	text := string(before.Text)
	if before.Version > 1 {
		w.T.Fatal("testworld amends version 1 only")
	}
	digest := agreement.FormatDigest(before.Digest)
	text = strings.Replace(text, "version 1\n", "version 2\nsupersedes "+digest+"\nfirst "+digest+"\n", 1)
	for i := 0; i < len(replacements); i += 2 {
		text = strings.Replace(text, replacements[i], replacements[i+1], 1)
	}
	return []byte(text)
}

// Sign adds the root signatures of parties to a text.
func (w *World) Sign(text []byte, codes ...string) []byte {
	w.T.Helper()
	for _, code := range codes {
		text = ok(agreement.Sign(text, w.Parties[code].Root.Signer))(w.T)
	}
	return text
}

// SignFormer adds the consent of a party of the version before that is none of
// this one.
func (w *World) SignFormer(text []byte, before *agreement.Agreement, code string) []byte {
	w.T.Helper()
	return ok(agreement.SignFormer(text, w.Parties[code].Root.Signer, before.Parties...))(w.T)
}

// Agree has the parties of a text sign it, and hands it to them and to the
// auditors of the world.
func (w *World) Agree(text []byte) *agreement.Agreement {
	w.T.Helper()
	a, findings := agreement.Lint(text)
	if agreement.Errors(findings) > 0 {
		w.T.Fatalf("the text is not one: %v", findings)
	}
	file := w.Sign(text, a.Codes()...)
	to := a.Codes()
	for _, d := range a.Auditors {
		to = append(to, d.Code)
	}
	w.Give(file, to...)
	return a
}

// Identity gives a party's private key for a recipient, for opening parts.
func (p *Party) Identity(use karaulav1.KeyUse, id []byte) (keyring.SealKey, bool) {
	if k := p.Audit; k != nil && k.Use == use && string(k.ID[:]) == string(id) {
		return *k, true
	}
	if p.Gateway == nil {
		return keyring.SealKey{}, false
	}
	return p.Gateway.Identity(use, id)
}

// ok gives the value of a call that must not fail.
func ok[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// Lint gives the agreement of a file that must be one.
func (w *World) Lint(file []byte) *agreement.Agreement {
	w.T.Helper()
	signed := ok(agreement.Open(file))(w.T)
	return signed.Agreement
}
