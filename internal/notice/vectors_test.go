package notice

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"karaula/internal/problem"
	"karaula/internal/signedtext"
	"karaula/internal/signedtext/texttest"
)

const vectorDir = "../../docs/spec/vectors/notice"

// edits are single changes of a suspension's text that must be refused as
// invalid, although the root signed the changed text.
var edits = []struct{ name, comment, old, new string }{
	{"head", "another format version", "notice v1", "notice v2"},
	{"order", "serial above party", "party al\nserial 3\n", "serial 3\nparty al\n"},
	{"missing", "no effective line", "effective 2026-06-01T03:00:00Z\n", ""},
	{"twice", "two acts", "act suspend\n", "act suspend\nact resume\n"},
	{"unknown-line", "a line that the format has not", "act suspend\n", "act suspend\nuntil tomorrow\n"},
	{"party", "not a party code", "party al\n", "party a-l\n"},
	{"serial-zero", "serials count from 1", "serial 3\n", "serial 0\n"},
	{"agreement", "not an agreement id", "agreement b01-al-me\n", "agreement B01-AL-ME\n"},
	{"agreement-all", "a suspension of all agreements", "agreement b01-al-me\n", "agreement all\n"},
	{"digest-none", "a suspension of no text", digestLine(), "digest none\n"},
	{"act", "an act that does not exist", "act suspend\n", "act pause\n"},
	{"root-change-without-next", "a root change that names no next root", "act suspend\n", "act root-change\n"},
	{"time", "a time with an offset", "effective 2026-06-01T03:00:00Z", "effective 2026-06-01T03:00:00+00:00"},
	{"reason-empty", "no reason", `reason "security-incident"`, `reason ""`},
	{"reason-unquoted", "a reason without quotes", `reason "security-incident"`, `reason security-incident`},
	{"reason-long", "a reason of 201 characters", "security-incident", strings.Repeat("č", 201)},
	{"articles", "free text below a fence", "", "---\nmore\n"},
	{"carriage-return", "a line ends with CR LF", "act suspend\n", "act suspend\r\n"},
	{"invisible", "a zero width joiner in the reason", "security-incident", "security\u200Dincident"},
}

// digestLine is the digest line of a suspension.
func digestLine() string { return "digest " + signedtext.FormatDigest(suspension().Digest) + "\n" }

// vectors makes all vectors.
func vectors(t testing.TB) []texttest.Vector {
	t.Helper()
	k := testKeys(t)
	var out []texttest.Vector
	add := func(name, expect, comment string, body []byte) {
		out = append(out, texttest.Vector{Name: name, Body: body, Headers: []texttest.Header{
			{Name: "expect", Value: expect},
			{Name: "comment", Value: comment},
			{Name: "root", Value: k.rootKey},
			{Name: "key", Value: k.onlineKey},
		}})
	}
	sign := func(text []byte, signers ...note.Signer) []byte {
		for _, s := range signers {
			var err error
			if text, err = signedtext.AddSignature(text, s); err != nil {
				t.Fatal(err)
			}
		}
		return text
	}
	as := func(act Act) []byte {
		n := suspension()
		n.Act = act
		return n.Encode()
	}
	change, accept := rootChange(t), acceptance(t)
	for _, act := range []Act{Suspend, Resume, Object} {
		add("ok-"+act+"-key", "ok", "act "+act+", signed by the notice key", sign(as(act), k.online))
	}
	for _, act := range []Act{Suspend, Withdraw, Repudiate} {
		add("ok-"+act+"-root", "ok", "act "+act+", signed by the root", sign(as(act), k.root))
	}
	add("ok-root-change", "ok", "the next root takes over, signed by both roots", sign(change.Encode(), k.root, k.next))
	add("ok-root-change-next", "ok", "the next root takes over, signed by itself alone: counts where it is accepted",
		sign(change.Encode(), k.next))
	add("ok-accept-root", "ok", "another party's changed root is believed", sign(accept.Encode(), k.root))
	for _, act := range []Act{Withdraw, Repudiate} {
		add("verification-"+act+"-key", "verification", "act "+act+" takes the root, signed by the notice key",
			sign(as(act), k.online))
	}
	good := sign(as(Suspend), k.online)
	add("verification-unsigned", "verification", "no signature", as(Suspend))
	add("verification-stranger", "verification", "signed by another key of the same name", sign(as(Suspend), k.stranger))
	add("verification-two", "verification", "two signatures where one belongs", sign(as(Suspend), k.online, k.root))
	add("verification-changed", "verification", "the act was changed after signing",
		bytes.Replace(good, []byte("act suspend"), []byte("act resume"), 1))
	add("verification-root-change-old", "verification", "a root change without the next root's signature",
		sign(change.Encode(), k.root))
	add("verification-root-change-three", "verification", "a third signature below a root change",
		sign(change.Encode(), k.root, k.next, k.stranger))
	add("verification-accept-root-key", "verification", "an accepted root takes the root, signed by the notice key",
		sign(accept.Encode(), k.online))
	add("verification-root-change-thief", "verification", "a root change to a key that did not sign",
		sign(change.Encode(), k.root, k.stranger))
	for _, e := range []struct {
		name, comment string
		edit          func(*Notice)
	}{
		{"root-change-same", "the root follows itself", func(n *Notice) { n.Next = n.Root }},
		{"root-change-root", "it does not say which root is replaced", func(n *Notice) { n.Root = "" }},
		{"root-change-after", "it announces no root after the next one", func(n *Notice) { n.After = [32]byte{} }},
		{"root-change-after-next", "it announces the next root once more", func(n *Notice) { n.After = signedtext.KeyDigest(n.Next) }},
		{"stands-order", "what stands is not in order", func(n *Notice) { n.Stands[0], n.Stands[1] = n.Stands[1], n.Stands[0] }},
		{"stands-twice", "one thing stands twice", func(n *Notice) { n.Stands[1] = n.Stands[0] }},
		{"stands-kind", "nobody knows what stands", func(n *Notice) { n.Stands[0].Kind = "alert" }},
	} {
		n := rootChange(t)
		e.edit(&n)
		add("invalid-"+e.name, "invalid", e.comment, sign(n.Encode(), k.root, k.next))
	}
	own := accept
	own.Next = k.nextKey
	add("invalid-accept-root-own", "invalid", "nobody accepts an own root", sign(own.Encode(), k.root))
	stray := suspension()
	stray.Stands = change.Stands
	add("invalid-stands-elsewhere", "invalid", "something stands in a suspension", sign(stray.Encode(), k.root))
	text := as(Suspend)
	for _, e := range edits {
		changed := append(bytes.Clone(text), e.new...)
		if e.old != "" {
			changed = bytes.Replace(text, []byte(e.old), []byte(e.new), 1)
		}
		if bytes.Equal(changed, text) {
			t.Fatalf("%s changes nothing", e.name)
		}
		add("invalid-"+e.name, "invalid", e.comment, sign(changed, k.root))
	}
	return out
}

func TestVectors(t *testing.T) {
	t.Parallel()
	texttest.Check(t, vectorDir, ".notice", vectors(t))
	for _, v := range texttest.Read(t, vectorDir, ".notice") {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(v.Body, texttest.Verifier(t, v.Get("root")[0]), texttest.Verifier(t, v.Get("key")[0]))
			want := map[string]problem.Kind{"ok": 0, "invalid": problem.Invalid, "verification": problem.Verification}
			kind, known := want[v.Get("expect")[0]]
			if !known || problem.KindOf(err) != kind {
				t.Errorf("%v, want %s", err, v.Get("expect")[0])
			}
		})
	}
}

func FuzzOpen(f *testing.F) {
	k := testKeys(f)
	for _, v := range texttest.Read(f, vectorDir, ".notice") {
		f.Add(v.Body)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		peeked, err := Peek(file)
		if err != nil {
			if _, err := Open(file, k.rootV, k.onlineV); err == nil {
				t.Fatal("opened what cannot be read")
			}
			return
		}
		if !bytes.Equal(peeked.Encode(), peeked.Text) || !bytes.HasPrefix(file, peeked.Text) {
			t.Fatal("accepted a notice that would be written differently")
		}
		if n, err := Open(file, k.rootV, k.onlineV); err == nil && NeedsRoot(n.Act) && n.Act != RootChange && !n.RootSaid {
			t.Fatalf("act %s without the root", n.Act)
		}
	})
}

func FuzzOpenRequest(f *testing.F) {
	change := rootChange(f)
	f.Add(change.Request())
	f.Add(change.Encode())
	f.Fuzz(func(t *testing.T, text []byte) {
		if n, err := OpenRequest(text); err == nil && !bytes.Equal(n.Request(), text) {
			t.Fatal("accepted a request that would be written differently")
		}
	})
}
