// Package notice reads, checks and issues notices: one party's own signed act
// about an agreement, such as suspending it tonight.
//
// A notice is a signed text (docs/spec/notice.md). It comes from outside; which
// keys count as its party's is the caller's knowledge, from the party's card
// and from the agreement that pins its root.
//
// The package must never decide what a notice leads to, consult a clock, or
// take the party's word for which key may sign which act. The reason stands in
// clear for every partner and auditor: it must never hold personal data.
package notice

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"karaula/internal/problem"
	"karaula/internal/signedtext"
)

// Head is the first line of a notice.
const Head = "karaula notice v1"

// Limits of a notice; part of the format.
const (
	MaxFile   = 32 << 10 // bytes of the file
	MaxReason = 200      // characters of the reason
	MaxStands = 320      // what the roots before have signed and still counts
)

// Act is what a notice does.
type Act = string

// The acts. Suspend, resume and object may be signed by the notice key or by
// the root; the others by the root only.
const (
	Suspend    Act = "suspend"     // its author says and accepts nothing new under the agreement
	Resume     Act = "resume"      // ends its author's suspension
	Withdraw   Act = "withdraw"    // its author leaves the agreement, after the text's notice period
	Object     Act = "object"      // its author disputes something; changes nothing by itself
	Repudiate  Act = "repudiate"   // its author disowns what was said in its name
	RootChange Act = "root-change" // its author's next root takes over; about all its agreements
	AcceptRoot Act = "accept-root" // its author believes another party's change of its root
)

// Acts lists all acts.
func Acts() []Act { return []Act{Suspend, Resume, Withdraw, Object, Repudiate, RootChange, AcceptRoot} }

// NeedsRoot reports whether only the root may sign this act.
func NeedsRoot(act Act) bool { return act != Suspend && act != Resume && act != Object }

// AllAgreements stands in place of an agreement's id where the act is about roots.
const AllAgreements = "all"

// aboutRoots reports whether the act is about a root and no agreement.
func aboutRoots(act Act) bool { return act == RootChange || act == AcceptRoot }

// Notice is one act of one party.
type Notice struct {
	Party     string    // whose act it is
	Serial    uint64    // from 1; counts all notices of the party, may only grow
	Agreement string    // agreement id; "all" exactly for acts about roots
	Digest    [32]byte  // of the text the act is about, the notice of the change for AcceptRoot; zero exactly for a root change
	Act       Act       // one of the acts above
	Effective time.Time // UTC, whole seconds; from when on
	Root      string    // verifier key of the root that is replaced; set exactly for a root change
	Next      string    // verifier key of the root that takes over; set exactly for acts about roots
	After     [32]byte  // signedtext.KeyDigest of the root after the next; set exactly for a root change
	Stands    []Stand   // all that the replaced root has signed and that still counts, in order; only in a root change
	Reason    string    // a code or a short text, 1 to 200 characters, no personal data

	Text      []byte   // the exact signed text; set by Open
	TextID    [32]byte // SHA-256 of Text; set by Open
	Signed    []byte   // the exact whole file; set by Open
	RootSaid  bool     // a root given to Open signed, or the replaced one; set by Open
	KeySigned []string // names of the keys that signed validly; set by Open
}

// Encode writes the notice's text, unsigned, in the only spelling that Open
// accepts.
func (n *Notice) Encode() []byte {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(Head)
	line("party %s", n.Party)
	line("serial %d", n.Serial)
	line("agreement %s", n.Agreement)
	if n.Digest == [32]byte{} {
		line("digest none")
	} else {
		line("digest %s", signedtext.FormatDigest(n.Digest))
	}
	line("act %s", n.Act)
	line("effective %s", signedtext.FormatTime(n.Effective))
	if n.Root != "" {
		line("root %s", n.Root)
	}
	if n.Next != "" {
		line("next %s", n.Next)
	}
	if n.After != [32]byte{} {
		line("after %s", signedtext.FormatDigest(n.After))
	}
	for _, d := range n.Stands {
		line("stands %s %s", d.Kind, signedtext.FormatDigest(d.Digest))
	}
	line(`reason "%s"`, n.Reason)
	return []byte(b.String())
}

// Issue encodes a notice and signs it: with the notice key or the root where
// the act allows both, with the root where it does not. A root change is signed by
// the replaced root and the next one, or, where the replaced one is lost, by the
// next one alone.
func Issue(n Notice, signers ...note.Signer) ([]byte, error) {
	text := n.Encode()
	if _, findings := check(text); len(findings) > 0 {
		return nil, signedtext.Problem(problem.Invalid, "the notice was not signed", findings)
	}
	if want := len(signers); want == 0 || want > maxSignatures(n.Act) {
		return nil, problem.New(problem.Invalid, "a notice of act %s takes %d signatures, got %d, it was not signed",
			n.Act, maxSignatures(n.Act), len(signers))
	}
	file := text
	for _, s := range signers {
		switch {
		case s.Name() == n.Party:
		case s.Name() == signedtext.NoticeName(n.Party) && !NeedsRoot(n.Act):
		default:
			return nil, problem.New(problem.Locked, "a notice of act %s cannot be signed by %s", n.Act, s.Name()).
				WithHint("bring the root key")
		}
		var err error
		if file, err = signedtext.AddSignature(file, s); err != nil {
			return nil, err
		}
	}
	if n.Act == RootChange {
		if _, err := Open(file); err != nil {
			return nil, problem.Wrap(problem.KindOf(err), err, "the notice was not signed")
		}
	}
	return file, nil
}

// maxSignatures is how many signature lines a notice of this act may have.
func maxSignatures(act Act) int {
	if act == RootChange {
		return 2
	}
	return 1
}

// Peek parses a notice file without verifying anything, to learn whose keys to
// verify it with.
func Peek(file []byte) (*Notice, error) {
	n, _, err := parse(file)
	return n, err
}

// Open parses a notice file and verifies its signatures. The verifiers are
// those of the party's pinned root and of the notice keys of its current card;
// others are passed over. A root change brings its own two keys: it is signed by
// the next root, and RootSaid tells whether also by the replaced one. Whether that
// one is the party's root, and the next one announced ([Notice.IsNext]) or
// accepted, is for the caller to know.
func Open(file []byte, verifiers ...note.Verifier) (*Notice, error) {
	n, count, err := parse(file)
	if err != nil {
		return nil, err
	}
	if n.Act == RootChange {
		return n, n.openChange(file, count)
	}
	root, online := n.Party, signedtext.NoticeName(n.Party)
	var known []note.Verifier
	for _, v := range verifiers {
		if v.Name() == root || (v.Name() == online && !NeedsRoot(n.Act)) {
			known = append(known, v)
		}
	}
	if n.KeySigned, err = signedtext.Signatures(file, known...); err != nil {
		return nil, problem.Wrap(problem.Verification, err, "notice %d of %s", n.Serial, n.Party)
	}
	n.RootSaid = slices.Contains(n.KeySigned, root)
	switch {
	case count != 1:
		return nil, problem.New(problem.Verification, "notice %d of %s has %d signatures instead of 1",
			n.Serial, n.Party, count)
	case len(n.KeySigned) == 0:
		return nil, problem.New(problem.Verification, "notice %d of %s is not signed by a key that may sign it",
			n.Serial, n.Party).WithHint("fetch the party's newest card; %q takes the root key: %v", n.Act, NeedsRoot(n.Act))
	}
	return n, nil
}

// openChange verifies a root change by the keys that it names itself.
func (n *Notice) openChange(file []byte, count int) error {
	next, err := n.signed(file, n.Next)
	if err != nil {
		return err
	}
	if n.RootSaid, err = n.signed(file, n.Root); err != nil {
		return err
	}
	want := 1
	if n.RootSaid {
		want = 2
	}
	switch {
	case !next:
		return problem.New(problem.Verification, "notice %d of %s is not signed by the next root", n.Serial, n.Party)
	case count != want:
		return problem.New(problem.Verification, "notice %d of %s has a signature by neither the replaced nor the next root",
			n.Serial, n.Party)
	}
	return nil
}

// signed reports whether a key that the notice names has signed it.
func (n *Notice) signed(file []byte, vkey string) (bool, error) {
	v, err := signedtext.Verifier(vkey)
	if err != nil {
		return false, err
	}
	names, err := signedtext.Signatures(file, v)
	if err != nil {
		return false, problem.Wrap(problem.Verification, err, "notice %d of %s", n.Serial, n.Party)
	}
	n.KeySigned = append(n.KeySigned, names...)
	return len(names) == 1, nil
}

// IsNext reports whether the root that takes over is the one that a card or an
// agreement announced by this digest.
func (n *Notice) IsNext(announced [32]byte) bool {
	return n.Act == RootChange && signedtext.KeyDigest(n.Next) == announced
}
