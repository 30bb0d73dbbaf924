package agreement

import (
	"slices"

	"golang.org/x/mod/sumdb/note"

	"karaula/internal/problem"
	"karaula/internal/signedtext"
)

// Signed is an agreement's file: its text and who has validly signed it.
type Signed struct {
	// Agreement is the text, without errors.
	Agreement *Agreement
	// SignedBy lists parties, then auditors and former parties, whose root
	// signature is valid; in the order of the text.
	SignedBy []string
	// File is the text with its valid signature lines, one per signer.
	File []byte
}

// Open reads an agreement file, signed by all, some or none of its parties.
// Every signature line that names a party's or auditor's root key must verify,
// otherwise the error is of kind Verification; lines by unknown keys prove
// nothing and are left out of File. former lists parties of the version before
// that are no parties of this one, whose consent to that counts too. A text
// with errors is of kind Invalid.
func Open(file []byte, former ...Party) (*Signed, error) {
	a, findings := Lint(file)
	if err := lintProblem(findings); err != nil {
		return nil, err
	}
	verifiers, err := a.verifiers(former)
	if err != nil {
		return nil, err
	}
	names, err := signedtext.Signatures(file, verifiers...)
	if err != nil {
		return nil, err
	}
	clean, err := signedtext.Merge(verifiers, file)
	if err != nil {
		return nil, err
	}
	order := make([]string, len(verifiers))
	for i, v := range verifiers {
		order[i] = v.Name()
	}
	slices.SortFunc(names, func(x, y string) int { return slices.Index(order, x) - slices.Index(order, y) })
	return &Signed{Agreement: a, SignedBy: names, File: clean}, nil
}

// verifiers gives the root keys that may sign: parties, auditors, former
// parties whose code the text does not use again.
func (a *Agreement) verifiers(former []Party) ([]note.Verifier, error) {
	var keys []string
	for _, p := range a.Parties {
		keys = append(keys, p.Root)
	}
	for _, d := range a.Auditors {
		keys = append(keys, d.Root)
	}
	for _, p := range former {
		_, party := a.Party(p.Code)
		_, auditor := a.Auditor(p.Code)
		if !party && !auditor {
			keys = append(keys, p.Root)
		}
	}
	out := make([]note.Verifier, len(keys))
	for i, k := range keys {
		v, err := signedtext.Verifier(k)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// Merge unites the signatures of several files of the same text.
func Merge(a *Agreement, former []Party, files ...[]byte) ([]byte, error) {
	verifiers, err := a.verifiers(former)
	if err != nil {
		return nil, err
	}
	return signedtext.Merge(verifiers, files...)
}

// Missing lists the parties that have not signed, in the order of the text.
func (s *Signed) Missing() []string {
	var out []string
	for _, code := range s.Agreement.Codes() {
		if !slices.Contains(s.SignedBy, code) {
			out = append(out, code)
		}
	}
	return out
}

// Complete reports whether all parties of the text have signed. Whether the
// parties of an earlier version have consented too is the register's to know.
func (s *Signed) Complete() bool { return len(s.Missing()) == 0 }

// Sign adds a signature line by a party's or auditor's root key to a file and
// keeps the lines that are there. A text with errors is never signed; neither
// is one that names another root for the signer. A former party that consents
// to a new version without it passes the version before to [SignFormer].
func Sign(file []byte, signer note.Signer) ([]byte, error) { return SignFormer(file, signer) }

// SignFormer is [Sign] for a signer that may be a party of the version before.
func SignFormer(file []byte, signer note.Signer, former ...Party) ([]byte, error) {
	a, findings := Lint(file)
	if err := lintProblem(findings); err != nil {
		return nil, err
	}
	verifiers, err := a.verifiers(former)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(verifiers, func(v note.Verifier) bool { return v.Name() == signer.Name() })
	switch {
	case i < 0:
		return nil, problem.New(problem.Invalid, "%s is not a party of agreement %s, nothing was signed",
			signer.Name(), a.ID).
			WithHint("parties: %s", joined(a.Codes()))
	case verifiers[i].KeyHash() != signer.KeyHash():
		return nil, problem.New(problem.Verification,
			"agreement %s names another root key for %s than this one, nothing was signed", a.ID, signer.Name()).
			WithHint("compare the party line with the root line of the card")
	}
	out, err := signedtext.AddSignature(file, signer)
	if err != nil {
		return nil, err
	}
	// The key hash has 32 bits only: what counts is that the line verifies.
	if _, err := signedtext.Signatures(out, verifiers[i]); err != nil {
		return nil, problem.Wrap(problem.Verification, err,
			"agreement %s names another root key for %s than this one, nothing was signed", a.ID, signer.Name())
	}
	return out, nil
}
