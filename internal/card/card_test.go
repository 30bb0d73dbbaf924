package card

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/signedtext"
	"karaula/internal/signedtext/texttest"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func opened(t testing.TB, c Card) *Card {
	t.Helper()
	_, root := fixture(t)
	file, err := Issue(c, root)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	first, _ := fixture(t)
	for name, c := range map[string]Card{"first": first, "later": later(t), "auditor": auditor(t), "visitor": visitor(t)} {
		got := opened(t, c)
		if diff := cmp.Diff(string(c.Encode()), string(got.Encode())); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if !bytes.Equal(got.Text, c.Encode()) || got.Digest != signedtext.Digest(got.Text) {
			t.Errorf("%s: text or digest", name)
		}
		again, err := Open(got.Signed)
		if err != nil || !bytes.Equal(again.Signed, got.Signed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenCopiesItsInput(t *testing.T) {
	t.Parallel()
	c, root := fixture(t)
	file, err := Issue(c, root)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range file {
		file[i] = 'x'
	}
	if _, err := Open(got.Signed); err != nil {
		t.Errorf("the card changed with its input: %v", err)
	}
}

func TestLookUps(t *testing.T) {
	t.Parallel()
	c := opened(t, later(t))
	seal, ok := c.SealKey()
	if !ok || seal.Public != public(t)["seal-next"] || seal.Age == nil {
		t.Errorf("the current seal key is not the first one listed: %+v", seal)
	}
	to, id := c.Recipient(karaulav1.KeyUse_KEY_USE_SEAL)
	if to == nil || to.String() != seal.Public || id != seal.ID {
		t.Error("recipient")
	}
	if to, _ := c.Recipient(karaulav1.KeyUse_KEY_USE_AUDIT); to != nil {
		t.Error("a recipient that the card has not")
	}
	if to, _ := c.Recipient(karaulav1.KeyUse_KEY_USE_SIGN); to != nil {
		t.Error("a sign key passes for a recipient")
	}
	for _, word := range []string{"sign 2", "exercise 1"} {
		use := karaulav1.KeyUse_KEY_USE_SIGN
		if word == "exercise 1" {
			use = karaulav1.KeyUse_KEY_USE_EXERCISE_SIGN
		}
		want := ed25519Key(use, word)
		k, ok := c.SignKey(want.ID[:])
		if !ok || k.Public != want.Public || len(k.Ed25519) != 32 {
			t.Errorf("%s: not found", word)
		}
	}
	notice, _ := c.Current(karaulav1.KeyUse_KEY_USE_NOTICE)
	if _, ok := c.SignKey(notice.ID[:]); ok {
		t.Error("the notice key passes for a sign key")
	}
	if _, ok := c.Key(karaulav1.KeyUse_KEY_USE_NOTICE, notice.ID[:]); !ok {
		t.Error("the notice key is not found")
	}
	if _, ok := c.SignKey(nil); ok {
		t.Error("a key without an id")
	}
	if _, ok := c.ArchiveKey(); !ok {
		t.Error("no archive key")
	}
	if _, ok := c.LinkKey(); !ok {
		t.Error("no link key")
	}
	if got := len(c.Pins(keyring.RoleGateway)); got != 2 {
		t.Errorf("%d pins of the gateway", got)
	}
	if c.Auditor() || !opened(t, auditor(t)).Auditor() {
		t.Error("auditor")
	}
	if c.ValidAt(issued.Add(-time.Second)) || !c.ValidAt(issued) || c.ValidAt(until) {
		t.Error("validity")
	}
}

func TestNoticeVerifiers(t *testing.T) {
	t.Parallel()
	c, _ := fixture(t)
	verifiers := opened(t, c).NoticeVerifiers()
	signer, _ := texttest.Signer(t, signedtext.NoticeName("al"), "notice 1")
	file := signed(t, "text\n", signer)
	names, err := signedtext.Signatures(file, verifiers...)
	if err != nil || cmp.Diff([]string{"al/notice"}, names) != "" {
		t.Errorf("%v, %v", names, err)
	}
}

// A card made from a real keyring, as init does it.
func TestDraft(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 10, 0, 0, 5, time.UTC)
	g, err := keyring.NewGateway("me", now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := keyring.NewBroker("me", now)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Draft(g, b, now)
	if err != nil {
		t.Fatal(err)
	}
	root, vkey := texttest.Signer(t, "me", "me root 1")
	_, next := texttest.Signer(t, "me", "me root 2")
	c.Name, c.Root, c.NextRoot, c.Address = "Test", vkey, signedtext.KeyDigest(next), []string{"127.0.0.1:4222"}
	file, err := Issue(c, root)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := got.SignKey(g.Sign.ID[:]); !ok || !k.Ed25519.Equal(g.Sign.Public()) {
		t.Error("the gateway's sign key is not the card's")
	}
	if got.Pins(keyring.RoleBroker)[0] != keyring.Pin(b.TLS.Leaf) ||
		got.Pins(keyring.RoleGateway)[0] != keyring.Pin(g.TLS.Leaf) {
		t.Error("pins")
	}
	if user, _ := keyring.User(g.NATS); got.NATS != user {
		t.Error("user nkey")
	}
	if !got.ValidAt(now) || !got.Until.Equal(g.Sign.Until) {
		t.Errorf("valid from %v until %v", got.Issued, got.Until)
	}
	if err := g.Rotate(now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	second, err := Draft(g, b, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if len(second.Keys) != len(c.Keys) || second.Keys[0].ID == c.Keys[0].ID {
		t.Error("the second draft does not hold exactly the new keys")
	}
	if _, err := Draft(&keyring.Gateway{}, b, now); err == nil {
		t.Error("a card without keys")
	}
}

func TestIssueRefuses(t *testing.T) {
	t.Parallel()
	c, root := fixture(t)
	stranger, _ := texttest.Signer(t, "al", "somebody")
	if _, err := Issue(c, stranger); !problem.Is(err, problem.Verification) {
		t.Errorf("another root: %v", err)
	}
	bad := c
	bad.Name, bad.Serial = "two\nlines", 0
	_, err := Issue(bad, root)
	if !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), "was not signed") {
		t.Errorf("bad card: %v", err)
	}
	bad = c
	bad.Root = "al+1+2"
	if _, err := Issue(bad, root); !problem.Is(err, problem.Invalid) {
		t.Errorf("no root: %v", err)
	}
}

func TestFindingsNameEveryLine(t *testing.T) {
	t.Parallel()
	c, root := fixture(t)
	text := strings.NewReplacer("serial 1", "serial x", "speaks 1", "speaks 0", "previous none", "previous no").
		Replace(string(c.Encode()))
	_, err := Open(signed(t, text, root))
	for _, want := range []string{"line 4: serial", "line 5: previous", "line 20: speaks"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	c, root := fixture(t)
	large := append(signed(t, string(c.Encode()), root), bytes.Repeat([]byte("x"), MaxFile)...)
	if _, err := Open(large); !problem.Is(err, problem.Invalid) {
		t.Errorf("too large: %v", err)
	}
	many := c
	for i := range maxPerUse {
		many.Keys = append(many.Keys, ed25519Key(karaulav1.KeyUse_KEY_USE_LINK, "more "+string(rune('a'+i))))
	}
	if _, err := Issue(many, root); err == nil || !strings.Contains(err.Error(), "more than 4 keys of use link") {
		t.Errorf("too many keys: %v", err)
	}
	audit := auditor(t)
	audit.Address = c.Address
	if _, err := Issue(audit, root); err == nil || !strings.Contains(err.Error(), "an auditor's card has no") {
		t.Errorf("auditor with an address: %v", err)
	}
}

func TestValidAddress(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"a:1", "a-b.example.org:65535", "192.0.2.1:4222", "[2001:db8::1]:4222", "localhost:4222", "127.0.0.1:1",
	} {
		if !ValidAddress(s) {
			t.Errorf("%q is refused", s)
		}
	}
	for _, s := range []string{
		"", ":1", "a", "a:0", "a:65536", "a:01", "a:http", "A:1", "a_b:1", "-a:1", "a-:1", "a..b:1", "a.:1",
		"1.2.3:1", "0.0.0.0:1", "224.0.0.1:1", "2001:db8::1:1", "[2001:DB8::1]:1", "[fe80::1%eth0]:1",
		"[a]:1", "a b:1", "č:1",
	} {
		if ValidAddress(s) {
			t.Errorf("%q is accepted", s)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, v := range texttest.Read(f, vectorDir, ".card") {
		f.Add(v.Body)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := Open(file)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Encode(), c.Text) {
			t.Fatal("accepted a card that would be written differently")
		}
		if !bytes.HasPrefix(file, c.Text) || !bytes.Equal(c.Signed, file) {
			t.Fatal("text or file is not what was opened")
		}
	})
}

// The signature keeps a fuzzer from getting far; the form has a target of its own.
func FuzzText(f *testing.F) {
	for _, v := range texttest.Read(f, vectorDir, ".card") {
		if text, _, err := signedtext.Split(v.Body); err == nil {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := &reader{}
		if findings := r.check(text); len(findings) > 0 {
			if findings[0].Code == "spelling" {
				t.Fatal("two spellings of one card")
			}
			return
		}
		if c := r.card; !bytes.Equal(c.Encode(), text) {
			t.Fatal("accepted a text that would be written differently")
		}
	})
}
