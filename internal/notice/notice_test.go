package notice

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"karaula/internal/problem"
	"karaula/internal/signedtext"
	"karaula/internal/signedtext/texttest"
)

// keys are al's keys, the same on every run.
type keys struct {
	root, next, online, stranger     note.Signer
	rootKey, nextKey, onlineKey      string
	rootV, onlineV, strangerV, nextV note.Verifier
}

func testKeys(t testing.TB) keys {
	t.Helper()
	var k keys
	k.root, k.rootKey = texttest.Signer(t, "al", "al root 1")
	k.next, k.nextKey = texttest.Signer(t, "al", "al root 2")
	k.online, k.onlineKey = texttest.Signer(t, signedtext.NoticeName("al"), "notice 1")
	stranger, strangerKey := texttest.Signer(t, "al", "somebody")
	k.stranger, k.strangerV = stranger, texttest.Verifier(t, strangerKey)
	k.rootV, k.nextV = texttest.Verifier(t, k.rootKey), texttest.Verifier(t, k.nextKey)
	k.onlineV = texttest.Verifier(t, k.onlineKey)
	return k
}

// suspension gives a notice like the one that is written at three in the morning.
func suspension() Notice {
	return Notice{
		Party: "al", Serial: 3, Agreement: "b01-al-me", Digest: signedtext.Digest([]byte("agreement\n")),
		Act: Suspend, Effective: time.Date(2026, 6, 1, 3, 0, 0, 0, time.UTC), Reason: "security-incident",
	}
}

// rootChange gives the notice by which al's next root takes over.
func rootChange(t testing.TB) Notice {
	t.Helper()
	n := suspension()
	k := testKeys(t)
	n.Act, n.Agreement, n.Digest, n.Root, n.Next = RootChange, AllAgreements, [32]byte{}, k.rootKey, k.nextKey
	n.After, n.Reason = signedtext.Digest([]byte("the root after the next one")), "planned change of the root"
	n.Stands = SortStands([]Stand{
		{StandsNotice, signedtext.Digest([]byte("notice"))},
		{StandsCard, signedtext.Digest([]byte("card 2"))},
		{StandsCard, signedtext.Digest([]byte("card 1"))},
		{StandsAgreement, signedtext.Digest([]byte("agreement"))},
		{StandsCard, signedtext.Digest([]byte("card 1"))},
	})
	return n
}

// acceptance gives the notice by which al believes me's new root.
func acceptance(t testing.TB) Notice {
	t.Helper()
	n := suspension()
	_, other := texttest.Signer(t, "me", "me root 2")
	n.Act, n.Agreement, n.Digest, n.Next = AcceptRoot, AllAgreements, signedtext.Digest([]byte("change")), other
	n.Reason = "compared by telephone"
	return n
}

// ofAct gives a notice of an act, and who signs it.
func ofAct(t testing.TB, act Act) (Notice, []note.Signer) {
	t.Helper()
	k := testKeys(t)
	n := suspension()
	n.Act = act
	switch act {
	case RootChange:
		return rootChange(t), []note.Signer{k.root, k.next}
	case AcceptRoot:
		n = acceptance(t)
	}
	return n, []note.Signer{k.root}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	for _, act := range Acts() {
		n, signers := ofAct(t, act)
		file, err := Issue(n, signers...)
		if err != nil {
			t.Fatalf("%s: %v", act, err)
		}
		got, err := Open(file, k.rootV, k.onlineV)
		if err != nil {
			t.Fatalf("%s: %v", act, err)
		}
		if diff := cmp.Diff(string(n.Encode()), string(got.Text)); diff != "" {
			t.Errorf("%s: %s", act, diff)
		}
		if !got.RootSaid || got.TextID != signedtext.Digest(got.Text) || !bytes.Equal(got.Signed, file) {
			t.Errorf("%s: %+v", act, got)
		}
		peeked, err := Peek(file)
		if err != nil || peeked.Act != act || peeked.RootSaid {
			t.Errorf("%s: peek %+v, %v", act, peeked, err)
		}
	}
}

func TestWhoMaySign(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	for _, act := range Acts() {
		n, _ := ofAct(t, act)
		// By hand, past what Issue refuses.
		file, err := signedtext.AddSignature(n.Encode(), k.online)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Open(file, k.rootV, k.onlineV)
		allowed := act == Suspend || act == Resume || act == Object
		if (err == nil) != allowed {
			t.Errorf("%s by the notice key: %v", act, err)
		}
		if err == nil && got.RootSaid {
			t.Errorf("%s: the root did not sign", act)
		}
		if err != nil && !problem.Is(err, problem.Verification) {
			t.Errorf("%s: %v, want kind verification", act, err)
		}
		_, err = Issue(n, k.online)
		if (err == nil) != allowed {
			t.Errorf("issuing %s with the notice key: %v", act, err)
		}
		if NeedsRoot(act) == allowed {
			t.Errorf("NeedsRoot(%s)", act)
		}
	}
}

func TestOpenKnowsNobodyByItself(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	file, err := Issue(suspension(), k.root)
	if err != nil {
		t.Fatal(err)
	}
	me, meKey := texttest.Signer(t, "me", "me root 1")
	for name, verifiers := range map[string][]note.Verifier{
		"none":          nil,
		"another root":  {k.strangerV},
		"another party": {texttest.Verifier(t, meKey)},
		"only online":   {k.onlineV},
	} {
		if _, err := Open(file, verifiers...); !problem.Is(err, problem.Verification) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Another party's key cannot act for al, even where its verifier is known.
	n := suspension()
	foreign, err := signedtext.AddSignature(n.Encode(), me)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(foreign, k.rootV, texttest.Verifier(t, meKey)); !problem.Is(err, problem.Verification) {
		t.Errorf("signed by me: %v", err)
	}
}

func TestRootChange(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	n := rootChange(t)
	good, err := Issue(n, k.root, k.next)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Open(good, k.rootV)
	if err != nil {
		t.Fatal(err)
	}
	if !got.IsNext(signedtext.KeyDigest(k.nextKey)) || got.IsNext(signedtext.KeyDigest(k.rootKey)) ||
		got.IsNext([32]byte{}) {
		t.Error("IsNext")
	}
	sign := func(n Notice, signers ...note.Signer) []byte {
		file := n.Encode()
		for _, s := range signers {
			if file, err = signedtext.AddSignature(file, s); err != nil {
				t.Fatal(err)
			}
		}
		return file
	}
	if !got.RootSaid || !got.HasStand(StandsCard, signedtext.Digest([]byte("card 1"))) ||
		got.HasStand(StandsNotice, signedtext.Digest([]byte("card 1"))) {
		t.Error("what stands")
	}
	alone, err := Open(sign(n, k.next))
	if err != nil || alone.RootSaid {
		t.Errorf("only the next root: %+v, %v", alone, err)
	}
	for name, file := range map[string][]byte{
		"only the old root":    sign(n, k.root),
		"a thief as next root": sign(n, k.root, k.stranger),
		"a thief as old root":  sign(n, k.stranger, k.next),
		"online and next":      sign(n, k.online, k.next),
		"three signatures":     sign(n, k.root, k.next, k.stranger),
	} {
		if _, err := Open(file, k.rootV, k.onlineV, k.strangerV); !problem.Is(err, problem.Verification) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, edit := range map[string]func(*Notice){
		"the root follows itself":   func(n *Notice) { n.Next = n.Root },
		"nothing after the next":    func(n *Notice) { n.After = [32]byte{} },
		"the next is also after":    func(n *Notice) { n.After = signedtext.KeyDigest(n.Next) },
		"the old one comes back":    func(n *Notice) { n.After = signedtext.KeyDigest(n.Root) },
		"what stands is not sorted": func(n *Notice) { n.Stands[0], n.Stands[1] = n.Stands[1], n.Stands[0] },
		"another thing stands":      func(n *Notice) { n.Stands[0].Kind = "alert" },
	} {
		bad := rootChange(t)
		edit(&bad)
		if _, err := Issue(bad, k.root, k.next); !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Issue(n, k.root); !problem.Is(err, problem.Verification) {
		t.Errorf("only the old root signs: %v", err)
	}
	if _, err := Issue(n, k.root, k.root); err == nil {
		t.Error("the same signer twice")
	}
	if suspended := suspension(); suspended.IsNext([32]byte{}) {
		t.Error("a suspension names no root")
	}
}

func TestIssueRefusesBadNotices(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	for name, change := range map[string]func(*Notice){
		"party":         func(n *Notice) { n.Party = "AL" },
		"serial":        func(n *Notice) { n.Serial = 0 },
		"agreement":     func(n *Notice) { n.Agreement = "" },
		"all":           func(n *Notice) { n.Agreement = AllAgreements },
		"digest":        func(n *Notice) { n.Digest = [32]byte{} },
		"act":           func(n *Notice) { n.Act = "pause" },
		"next":          func(n *Notice) { n.Next = k.nextKey },
		"no reason":     func(n *Notice) { n.Reason = "" },
		"long reason":   func(n *Notice) { n.Reason = strings.Repeat("č", MaxReason+1) },
		"quoted reason": func(n *Notice) { n.Reason = `a "b"` },
		"two lines":     func(n *Notice) { n.Reason = "a\nact resume" },
		"no time":       func(n *Notice) { n.Effective = time.Time{} },
	} {
		n := suspension()
		change(&n)
		if _, err := Issue(n, k.root); !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	n := suspension()
	n.Reason = strings.Repeat("č", MaxReason)
	if _, err := Issue(n, k.online); err != nil {
		t.Errorf("longest reason: %v", err)
	}
	if _, err := Issue(suspension()); !problem.Is(err, problem.Invalid) {
		t.Errorf("no signer: %v", err)
	}
	me, _ := texttest.Signer(t, "me", "me root 1")
	if _, err := Issue(suspension(), me); !problem.Is(err, problem.Locked) {
		t.Errorf("another party's root: %v", err)
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	n := rootChange(t)
	got, err := OpenRequest(n.Request())
	if err != nil {
		t.Fatal(err)
	}
	if got.Root != n.Root || got.Next != "" || !cmp.Equal(got.Stands, n.Stands) {
		t.Errorf("%+v", got)
	}
	withdrawal := suspension()
	withdrawal.Act = Withdraw
	for name, text := range map[string][]byte{
		"nothing":         nil,
		"too much":        bytes.Repeat([]byte("x"), MaxFile+1),
		"a whole change":  n.Encode(),
		"another act":     withdrawal.Encode(),
		"what follows it": append(n.Request(), "x\n"...),
	} {
		if _, err := OpenRequest(text); !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
