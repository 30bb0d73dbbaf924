package signedtext

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"karaula/internal/problem"
)

// b64 is base64 that accepts one spelling only.
var b64 = base64.StdEncoding.Strict()

// Signature is one signature line, not yet verified.
type Signature struct {
	Name string // note name of the signer, for example "al" or "al/notice"
	Hash uint32 // note key hash
	Sig  []byte // the signature itself: 64 bytes for Ed25519
}

// line renders the signature as its line of the file.
func (s Signature) line() []byte {
	raw := append(binary.BigEndian.AppendUint32(nil, s.Hash), s.Sig...)
	return []byte(sigPrefix + s.Name + " " + b64.EncodeToString(raw) + "\n")
}

// same reports whether both lines are by the same key.
func (s Signature) same(o Signature) bool { return s.Name == o.Name && s.Hash == o.Hash }

// parseBlock reads a signature block; first is the number of its first line.
func parseBlock(block []byte, first int) ([]Signature, error) {
	var out []Signature
	for n := first; len(block) > 0; n++ {
		line, rest, ok := bytes.Cut(block, []byte{'\n'})
		block = rest
		s, good := parseSignature(string(line))
		if !ok || !good {
			return nil, problem.New(problem.Invalid, "line %d: malformed signature line", n)
		}
		if out = append(out, s); len(out) > MaxSignatures {
			return nil, problem.New(problem.Invalid, "line %d: more than %d signature lines", n, MaxSignatures)
		}
	}
	return out, nil
}

// parseSignature reads one line without its newline.
func parseSignature(line string) (Signature, bool) {
	body, found := strings.CutPrefix(line, sigPrefix)
	name, text, two := strings.Cut(body, " ")
	if !found || !two || len(line) > maxSigLine || !ValidName(name) {
		return Signature{}, false
	}
	raw, err := b64.DecodeString(text)
	if err != nil || len(raw) < 5 {
		return Signature{}, false
	}
	return Signature{Name: name, Hash: binary.BigEndian.Uint32(raw), Sig: raw[4:]}, true
}

// Claimed gives the signature lines of a file, in order and unverified; nil for an unsigned
// file. Only good for showing who claims to have signed.
func Claimed(file []byte) ([]Signature, error) {
	_, block, err := Split(file)
	if err != nil {
		return nil, err
	}
	return parseBlock(block, 1)
}

// AddSignature signs the file's text and gives the file with the signature
// line added. An earlier line of the same key is replaced where it stands,
// lines of others are kept, the text is kept byte for byte. Signing twice with
// Ed25519 changes nothing.
func AddSignature(file []byte, signer note.Signer) ([]byte, error) {
	text, block, err := Split(file)
	if err != nil {
		return nil, err
	}
	have, err := parseBlock(block, 1)
	if err != nil {
		return nil, err
	}
	if !ValidName(signer.Name()) {
		return nil, problem.New(problem.Invalid, "signer name %q is not valid, nothing was signed", signer.Name())
	}
	sig, err := signer.Sign(text)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "signing as %s failed", signer.Name())
	}
	own := Signature{Name: signer.Name(), Hash: signer.KeyHash(), Sig: sig}
	return assemble(text, put(have, own))
}

// put replaces the lines by own's key with own, at the place of the first, or
// adds it at the end.
func put(have []Signature, own Signature) []Signature {
	out, done := make([]Signature, 0, len(have)+1), false
	for _, s := range have {
		switch {
		case !s.same(own):
			out = append(out, s)
		case !done:
			out, done = append(out, own), true
		}
	}
	if !done {
		out = append(out, own)
	}
	return out
}

// assemble makes a file of a text and signatures.
func assemble(text []byte, sigs []Signature) ([]byte, error) {
	if len(sigs) > MaxSignatures {
		return nil, problem.New(problem.Invalid, "a file holds at most %d signature lines, nothing was signed", MaxSignatures)
	}
	out := slices.Clone(text)
	if len(sigs) > 0 {
		out = append(out, '\n')
	}
	for _, s := range sigs {
		out = append(out, s.line()...)
	}
	return out, nil
}

// Signatures gives the distinct names of those of the verifiers whose valid
// signature the file carries, in the order of the lines. Lines by unknown keys
// prove nothing and are passed over. A line by a known key that does not
// verify is an error of kind Verification, also if another line of that key
// does.
func Signatures(file []byte, verifiers ...note.Verifier) ([]string, error) {
	_, sigs, err := verified(file, verifiers)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range sigs {
		if !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	return names, nil
}

// verified gives the text and the valid lines of known keys, one per key.
func verified(file []byte, verifiers []note.Verifier) ([]byte, []Signature, error) {
	text, block, err := Split(file)
	if err != nil {
		return nil, nil, err
	}
	lines, err := parseBlock(block, 1)
	if err != nil {
		return nil, nil, err
	}
	known := note.VerifierList(verifiers...)
	var out []Signature
	for _, s := range lines {
		v, err := known.Verifier(s.Name, s.Hash)
		if _, ok := errors.AsType[*note.UnknownVerifierError](err); ok {
			continue
		}
		if err != nil {
			return nil, nil, problem.Wrap(problem.Verification, err, "two different keys claim to be %s", s.Name)
		}
		if !v.Verify(text, s.Sig) {
			return nil, nil, problem.New(problem.Verification, "the signature of %s does not verify", s.Name).
				WithHint("the text was changed after signing: get the file again from %s", s.Name)
		}
		if !slices.ContainsFunc(out, s.same) {
			out = append(out, s)
		}
	}
	return text, out, nil
}

// Merge unites the valid signatures of known verifiers over one and the same
// text into one file, sorted by name and key, one line per key. Lines by
// unknown keys are dropped. Different texts are a Conflict.
func Merge(verifiers []note.Verifier, files ...[]byte) ([]byte, error) {
	var text []byte
	var all []Signature
	for i, file := range files {
		t, sigs, err := verified(file, verifiers)
		if err != nil {
			return nil, err
		}
		if i > 0 && !bytes.Equal(t, text) {
			return nil, problem.New(problem.Conflict, "the files hold different texts, their signatures cannot be merged")
		}
		text = t
		for _, s := range sigs {
			if !slices.ContainsFunc(all, s.same) {
				all = append(all, s)
			}
		}
	}
	slices.SortFunc(all, func(a, b Signature) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return int(int64(a.Hash) - int64(b.Hash))
	})
	return assemble(text, all)
}
