package card

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/signedtext"
	"karaula/internal/signedtext/texttest"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

const vectorDir = "../../docs/spec/vectors/card"

// later gives al's second card: everything in it that a first card has not.
func later(t testing.TB) Card {
	t.Helper()
	c, _ := fixture(t)
	p := public(t)
	first := signedtext.Digest(c.Encode())
	c.Serial, c.Previous = 2, first
	c.Keys = append([]Key{ed25519Key(karaulav1.KeyUse_KEY_USE_SIGN, "sign 2")}, c.Keys[1:]...)
	c.Keys = append(c.Keys[:1:1], append([]Key{ageKey(karaulav1.KeyUse_KEY_USE_SEAL, p["seal-next"])}, c.Keys[1:]...)...)
	c.Keys = append(c.Keys, ed25519Key(karaulav1.KeyUse_KEY_USE_EXERCISE_SIGN, "exercise 1"))
	c.TLS = append(c.TLS, TLSCert{Role: keyring.RoleGateway, DER: der(t, p["gateway-next"])})
	c.Speaks = []uint32{1, 2}
	lost := ed25519Key(karaulav1.KeyUse_KEY_USE_SIGN, "sign 1").ID
	for i := range 2 {
		c.Revoked = append(c.Revoked, Revocation{
			Key: lost, Ledger: signedtext.Digest([]byte{byte(i)}), Epoch: 1, Seq: uint64(i) * 4711,
		})
	}
	c.Address = []string{"[2001:db8::1]:4222"}
	c.Contact = ""
	return c
}

// auditor gives the card of an auditor.
func auditor(t testing.TB) Card {
	t.Helper()
	c, _ := fixture(t)
	c.Keys = []Key{ageKey(karaulav1.KeyUse_KEY_USE_AUDIT, public(t)["audit"])}
	c.NATS, c.TLS, c.Address = "", nil, nil
	return c
}

// visitor gives the card of an auditor who may log in.
func visitor(t testing.TB) Card {
	t.Helper()
	c := auditor(t)
	c.NATS = userKey(t, "al auditor user")
	c.TLS = []TLSCert{{Role: keyring.RoleAuditor, DER: certificateFor(t, "auditor", "al auditor")}}
	return c
}

// edits are single changes of the first card's text that Open must refuse as
// invalid, although the root signed the changed text.
func edits(t testing.TB) []struct{ name, comment, old, new string } {
	t.Helper()
	p := public(t)
	c, _ := fixture(t)
	sign := ed25519Key(karaulav1.KeyUse_KEY_USE_SIGN, "sign 1")
	signLine := line(t, c.Encode(), "key sign")
	weak := base64.StdEncoding.EncodeToString(make([]byte, 32))
	weakID := keyring.KeyID(karaulav1.KeyUse_KEY_USE_SIGN, keyring.AlgEd25519, make([]byte, 32))
	_, other := texttest.Signer(t, "me", "al root 1")
	rootRaw := rootBytes(c.Root)
	rootID := keyring.KeyID(karaulav1.KeyUse_KEY_USE_SIGN, keyring.AlgEd25519, []byte(rootRaw))
	gateway := "tls gateway " + p["gateway"]
	return []struct{ name, comment, old, new string }{
		{"head", "another format version", "card v1", "card v2"},
		{
			"order", "party and name stand the wrong way round",
			"party al\nname \"Policia e Shtetit – test\"\n", "name \"Policia e Shtetit – test\"\nparty al\n",
		},
		{"missing", "no until line", line(t, c.Encode(), "until"), ""},
		{"twice", "two serial lines", "serial 1\n", "serial 1\nserial 1\n"},
		{"unknown-line", "a line that the format has not", "serial 1\n", "serial 1\nmotto x\n"},
		{"blank-line", "a blank line", "serial 1\n", "serial 1\n\n"},
		{"articles", "free text below a fence", "", "---\nmore\n"},
		{"carriage-return", "a line ends with CR LF", "serial 1\n", "serial 1\r\n"},
		{"byte-order-mark", "a byte order mark", "karaula card", "\uFEFFkaraula card"},
		{"trailing-space", "a space at the end of a line", "serial 1\n", "serial 1 \n"},
		{"two-spaces", "two spaces between words", "serial 1\n", "serial  1\n"},
		{"not-nfc", "a letter of the name is decomposed", "Policia", "Poli\u0107ia\u0301"},
		{"bidi", "a bidirectional override in the name", "Policia", "Poli\u202Ecia"},
		{"invisible", "a zero width space in the contact", "Test desk", "Test\u200Bdesk"},
		{"homoglyph", "the party's a is Cyrillic", "party al", "party \u0430l"},
		{"party", "a party code in upper case", "party al", "party AL"},
		{"name-unquoted", "the name has no quotes", `name "Policia e Shtetit – test"`, "name Policia"},
		{"name-empty", "the name is empty", `name "Policia e Shtetit – test"`, `name ""`},
		{"serial-zero", "serials count from 1", "serial 1\n", "serial 0\n"},
		{"serial-leading-zero", "one spelling per number", "serial 1\n", "serial 01\n"},
		{"serial-gap", "previous is none, serial is not 1", "serial 1\n", "serial 2\n"},
		{
			"previous-on-first", "serial is 1, previous is not none",
			"previous none", "previous sha256:" + strings.Repeat("ab", 32),
		},
		{"previous-upper", "a digest in upper case", "previous none", "previous sha256:" + strings.Repeat("AB", 32)},
		{"root-name", "the root is named like another party", c.Root, other},
		{"root-damaged", "the root's key hash is wrong", c.Root, c.Root[:3] + "00000000" + c.Root[11:]},
		{
			"next-root-same", "the next root is the present one",
			signedtext.FormatDigest(c.NextRoot), signedtext.FormatDigest(signedtext.KeyDigest(c.Root)),
		},
		{
			"time-offset", "a time with an offset instead of Z",
			"issued 2026-05-01T00:00:00Z", "issued 2026-05-01T02:00:00+02:00",
		},
		{"time-fraction", "a time with a fraction", "issued 2026-05-01T00:00:00Z", "issued 2026-05-01T00:00:00.5Z"},
		{"until-before-issued", "the card ends before it begins", "until 2028-05-01", "until 2026-04-30"},
		{"until-far", "the card is valid for more than ten years", "until 2028-05-01", "until 2036-05-02"},
		{"key-id", "the id is not that of the key", fmt.Sprintf("%x", sign.ID), strings.Repeat("0", 32)},
		{"key-use", "a use that does not exist", "key sign ", "key speak "},
		{"key-algorithm", "an algorithm that the use does not allow", "key sign ed25519", "key sign age-hybrid"},
		{"key-classic", "a recipient that is not post-quantum", p["seal"], p["classic"]},
		{
			"key-weak", "a signing key of small order",
			signLine, signAs(weakID, weak),
		},
		{
			"key-is-root", "the root key serves as signing key",
			signLine, signAs(rootID, base64.StdEncoding.EncodeToString([]byte(rootRaw))),
		},
		{"key-twice", "one key stands twice", signLine, signLine + signLine},
		{
			"key-order", "the sign key stands below the seal key",
			signLine + line(t, c.Encode(), "key seal"), line(t, c.Encode(), "key seal") + signLine,
		},
		{"key-missing", "no key of use link", line(t, c.Encode(), "key link"), ""},
		{
			"key-past", "a key that ended before the card began",
			signLine, strings.Replace(signLine, "2026-05-01T00:00:00Z..2028", "2024-05-01T00:00:00Z..2026", 1),
		},
		{"nats-account", "an account's nkey instead of a user's", c.NATS, "A" + c.NATS[1:]},
		{"nats-missing", "no nats line", "nats " + c.NATS + "\n", ""},
		{"tls-role", "a role that does not exist", "tls gateway", "tls server"},
		{"tls-missing", "no certificate of the broker", "tls broker " + p["broker"] + "\n", ""},
		{
			"tls-order", "the gateway's certificate above the broker's",
			"tls broker " + p["broker"] + "\n" + gateway + "\n", gateway + "\n" + "tls broker " + p["broker"] + "\n",
		},
		{"tls-authority", "a certificate that could sign others", p["gateway"], p["authority"]},
		{"tls-short-lived", "a certificate that ends before the card", p["gateway"], p["short-lived"]},
		{"tls-named", "a certificate that names an organisation too", p["gateway"], p["named"]},
		{"tls-twice", "one certificate for both roles", p["gateway"], p["broker"]},
		{"tls-damaged", "not a certificate", gateway, "tls gateway AAAA"},
		{"address-port", "an address without a port", "al.example.org:4222", "al.example.org"},
		{"address-case", "an address in upper case", "al.example.org:4222", "AL.example.org:4222"},
		{"address-ip", "an address with a zero in front", "192.0.2.1:4222", "192.0.2.01:4222"},
		{"address-twice", "one address twice", "192.0.2.1:4222", "al.example.org:4222"},
		{"speaks-order", "versions do not ascend", "speaks 1\n", "speaks 2 1\n"},
		{"speaks-nothing", "no version", "speaks 1\n", "speaks\n"},
		{
			"revoked-in-use", "a revoked key is in use",
			"speaks 1\n", fmt.Sprintf("speaks 1\nrevoked %x last-good %064x:1:5\n", sign.ID, 1),
		},
		{
			"revoked-epoch", "epochs count from 1",
			"speaks 1\n", fmt.Sprintf("speaks 1\nrevoked %032x last-good %064x:0:5\n", 1, 1),
		},
		{"contact-quote", "a quote inside the contact", "Test desk", `Test "desk"`},
		{"signature-like", "a line of the text begins like a signature", "speaks 1\n", "— al x\nspeaks 1\n"},
	}
}

// lame are cards of auditors, and one with an auditor's certificate, that no
// reader may take.
func lame(t testing.TB) map[string]struct {
	comment string
	card    Card
} {
	t.Helper()
	type bad = struct {
		comment string
		card    Card
	}
	addressed, keyless, certless, gated := visitor(t), visitor(t), visitor(t), visitor(t)
	addressed.Address = []string{"192.0.2.1:4222"}
	keyless.NATS, certless.TLS = "", nil
	party, _ := fixture(t)
	gated.TLS = []TLSCert{party.TLS[1]}
	party.TLS = append(visitor(t).TLS, party.TLS...)
	return map[string]bad{
		"auditor-address": {"an auditor's card names a broker", addressed},
		"auditor-no-nats": {"an auditor's certificate without an nkey", keyless},
		"auditor-no-tls":  {"an auditor's nkey without a certificate", certless},
		"auditor-gateway": {"an auditor's card with a gateway's certificate", gated},
		"auditor-in-card": {"a party's card with an auditor's certificate", party},
	}
}

// signAs gives a key line of use sign.
func signAs(id [16]byte, public string) string {
	return fmt.Sprintf("key sign ed25519 %x %s 2026-05-01T00:00:00Z..2028-05-01T00:00:00Z\n", id, public)
}

// line gives the line of a text that begins so, with its newline.
func line(t testing.TB, text []byte, start string) string {
	t.Helper()
	for l := range strings.Lines(string(text)) {
		if strings.HasPrefix(l, start+" ") {
			return l
		}
	}
	t.Fatalf("no line begins with %q", start)
	return ""
}

// vectors makes all vectors.
func vectors(t testing.TB) []texttest.Vector {
	t.Helper()
	first, root := fixture(t)
	var out []texttest.Vector
	add := func(name, expect, comment string, body []byte, more ...texttest.Header) {
		h := []texttest.Header{{Name: "expect", Value: expect}, {Name: "comment", Value: comment}}
		out = append(out, texttest.Vector{Name: name, Headers: append(h, more...), Body: body})
	}
	cyrillic := first
	cyrillic.Name, cyrillic.Contact = "Гранична полиција Ђ, тест", "Тест, дежурни"
	for _, g := range []struct {
		name, comment string
		card          Card
	}{
		{"ok-first", "a first card", first},
		{"ok-second", "a second card with current and next keys, revocations and an IPv6 address", later(t)},
		{"ok-auditor", "the card of an auditor", auditor(t)},
		{"ok-auditor-login", "the card of an auditor who logs in at parties' brokers", visitor(t)},
		{"ok-cyrillic", "a name and contact in Cyrillic", cyrillic},
	} {
		file, err := Issue(g.card, root)
		if err != nil {
			t.Fatalf("%s: %v", g.name, err)
		}
		add(g.name, "ok", g.comment, file,
			texttest.Header{Name: "digest", Value: signedtext.FormatDigest(signedtext.Digest(g.card.Encode()))},
			texttest.Header{Name: "fingerprint", Value: g.card.Fingerprint()})
	}
	text := string(first.Encode())
	for _, e := range edits(t) {
		changed := text + e.new
		if e.old != "" {
			changed = strings.Replace(text, e.old, e.new, 1)
		}
		if changed == text {
			t.Fatalf("%s changes nothing", e.name)
		}
		body := changed
		if e.name != "signature-like" {
			body = string(signed(t, changed, root))
		}
		add("invalid-"+e.name, "invalid", e.comment, []byte(body))
	}
	file := signed(t, text, root)
	for name, c := range lame(t) {
		add("invalid-"+name, "invalid", c.comment, signed(t, string(c.card.Encode()), root))
	}
	stranger, _ := texttest.Signer(t, "al", "somebody")
	notice, _ := texttest.Signer(t, signedtext.NoticeName("al"), "notice 1")
	add("invalid-no-newline", "invalid", "the last newline is missing", file[:len(file)-1])
	add("invalid-cut", "invalid", "the second half is missing", file[:len(file)/2])
	add("verification-unsigned", "verification", "no signature", []byte(text))
	add("verification-stranger", "verification", "signed by another key of the same name", signed(t, text, stranger))
	add("verification-notice-key", "verification", "signed by the notice key instead of the root", signed(t, text, notice))
	add("verification-two", "verification", "a second signature beside the root's", signed(t, text, root, stranger))
	add("verification-changed", "verification", "the name was changed after signing",
		[]byte(strings.Replace(string(file), "Policia", "Polizia", 1)))
	return out
}

func TestVectors(t *testing.T) {
	t.Parallel()
	texttest.Check(t, vectorDir, ".card", vectors(t))
	for _, v := range texttest.Read(t, vectorDir, ".card") {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			c, err := Open(v.Body)
			switch expect := v.Get("expect")[0]; expect {
			case "ok":
				if err != nil {
					t.Fatal(err)
				}
				if got := signedtext.FormatDigest(c.Digest); got != v.Get("digest")[0] {
					t.Errorf("digest %s", got)
				}
				if got := c.Fingerprint(); got != v.Get("fingerprint")[0] {
					t.Errorf("fingerprint %s", got)
				}
			case "invalid":
				if !problem.Is(err, problem.Invalid) {
					t.Errorf("%v, want kind invalid", err)
				}
			case "verification":
				if !problem.Is(err, problem.Verification) {
					t.Errorf("%v, want kind verification", err)
				}
			default:
				t.Errorf("expect: %s", expect)
			}
		})
	}
}
