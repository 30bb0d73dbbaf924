package card

import (
	"karaula/internal/problem"
	"karaula/internal/signedtext"
)

// human names the lines of a card that may hold letters outside ASCII.
var human = signedtext.Human{"name": signedtext.Quoted, "contact": signedtext.Quoted}

// Open parses a card file and verifies its one signature, by the root named
// inside. Form faults are one problem of kind Invalid that names every line; a
// missing, foreign or bad signature is one of kind Verification. Whether the
// root is the party's real one is not decided here.
func Open(file []byte) (*Card, error) {
	if len(file) > MaxFile {
		return nil, problem.New(problem.Invalid, "card of %d bytes is above the limit of %d", len(file), MaxFile)
	}
	text, block, err := signedtext.Split(file)
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "card")
	}
	r := &reader{}
	findings := r.check(text)
	if len(findings) > 0 {
		return nil, signedtext.Problem(problem.Invalid, "card", findings)
	}
	c := &r.card
	if len(block) == 0 {
		return nil, problem.New(problem.Verification, "card of %s is not signed", c.Party)
	}
	claimed, err := signedtext.Claimed(file)
	if err != nil {
		return nil, err
	}
	if len(claimed) != 1 {
		return nil, problem.New(problem.Verification, "card of %s has %d signatures instead of one", c.Party, len(claimed))
	}
	v, err := c.Verifier()
	if err != nil {
		return nil, err
	}
	names, err := signedtext.Signatures(file, v)
	if err != nil {
		return nil, problem.Wrap(problem.Verification, err, "card of %s", c.Party)
	}
	if len(names) != 1 {
		return nil, problem.New(problem.Verification, "card of %s is not signed by the root that it names", c.Party)
	}
	c.Text = append([]byte(nil), text...)
	c.Digest = signedtext.Digest(text)
	c.Signed = append([]byte(nil), file...)
	return c, nil
}

// check gives everything that is wrong with a card's text.
func check(text []byte) []signedtext.Finding { return (&reader{}).check(text) }

// check reads the text into r.card and gives everything that is wrong.
func (r *reader) check(text []byte) []signedtext.Finding {
	findings := signedtext.CheckText(text, human)
	if len(findings) > 0 {
		return findings
	}
	findings = signedtext.ReadForm(text, Head, r.rules())
	if len(findings) > 0 {
		return findings
	}
	findings = r.whole()
	if len(findings) == 0 && string(r.card.Encode()) != string(text) {
		// Unreachable while the readers accept one spelling only; a second lock.
		findings = append(findings, signedtext.Finding{Code: "spelling", Text: "the card is not in its only spelling"})
	}
	return findings
}

// OpenRequest parses the text of a card that nobody has signed yet: what a node
// asks the machine with the root key to sign. Nothing in it is proven.
func OpenRequest(text []byte) (*Card, error) {
	if len(text) > MaxFile {
		return nil, problem.New(problem.Invalid, "card request of %d bytes is above the limit of %d", len(text), MaxFile)
	}
	r := &reader{}
	if findings := r.check(text); len(findings) > 0 {
		return nil, signedtext.Problem(problem.Invalid, "card request", findings)
	}
	c := &r.card
	c.Text, c.Digest = append([]byte(nil), text...), signedtext.Digest(text)
	return c, nil
}
