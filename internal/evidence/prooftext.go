package evidence

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"karaula/internal/problem"
)

// Head is the first line of every proof file, before the fact and the version.
const proofHead = "karaula "

var b64 = base64.StdEncoding.Strict()

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// Marshal writes a proof as its file.
func (p *Proof) Marshal() []byte {
	if p.Bare {
		return p.marshalBare()
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%s v1\nfrom %d\nto %d\nsize %d\n", proofHead, p.Fact, p.From, p.To, p.Size)
	for _, h := range p.Hashes {
		fmt.Fprintf(&b, "hash %s\n", b64.EncodeToString(h[:]))
	}
	for _, s := range p.Statements {
		fmt.Fprintf(&b, "statement %s\n", b64.EncodeToString(s))
	}
	for _, c := range p.Cards {
		fmt.Fprintf(&b, "card %s\n", b64.EncodeToString(c))
	}
	return b.Bytes()
}

// IsProof reports whether a file begins like a proof.
func IsProof(file []byte) bool {
	for _, f := range []Fact{Inclusion, Consistency, Range, Fork} {
		if bytes.HasPrefix(file, []byte(proofHead+string(f)+" v1\n")) || bytes.HasPrefix(file, bareHead(f)) {
			return true
		}
	}
	return false
}

// ParseProof reads a proof's file: exactly what [Proof.Marshal] writes, nothing
// else. It verifies nothing. Errors are of kind Invalid.
func ParseProof(file []byte) (*Proof, error) {
	bad := func(line int, what string) error {
		return problem.New(problem.Invalid, "line %d of the proof: %s", line, what)
	}
	if len(file) > MaxProof || !IsProof(file) {
		return nil, problem.New(problem.Invalid, "not a proof, or larger than %d bytes", MaxProof)
	}
	if p, ok, err := parseBare(file); ok {
		return p, err
	}
	text, ends := strings.CutSuffix(string(file), "\n")
	lines := strings.Split(text, "\n")
	if !ends || len(lines) < 4 {
		return nil, problem.New(problem.Invalid, "the proof ends too soon")
	}
	p := &Proof{Fact: Fact(strings.TrimSuffix(strings.TrimPrefix(lines[0], proofHead), " v1"))}
	for i, f := range []struct {
		word string
		into *uint64
	}{{"from", &p.From}, {"to", &p.To}, {"size", &p.Size}} {
		n, err := strconv.ParseUint(strings.TrimPrefix(lines[i+1], f.word+" "), 10, 62)
		if err != nil || lines[i+1] != fmt.Sprintf("%s %d", f.word, n) {
			return nil, bad(i+2, "there must be "+f.word+" and a number")
		}
		*f.into = n
	}
	words := []string{"hash", "statement", "card"}
	reached := 0
	for i, line := range lines[4:] {
		word, rest, _ := strings.Cut(line, " ")
		at := slices.Index(words, word)
		data, err := b64.DecodeString(rest)
		if at < reached || err != nil || len(data) == 0 || b64.EncodeToString(data) != rest {
			return nil, bad(i+5, "there must be a hash, then statements, then cards, each in base64")
		}
		reached = at
		if err := p.add(word, data); err != nil {
			return nil, bad(i+5, err.Error())
		}
	}
	return p, nil
}

// add takes in one line.
func (p *Proof) add(word string, data []byte) error {
	most := map[string]int{"hash": maxHashes, "statement": maxStatements, "card": maxCards}[word]
	have := map[string]int{"hash": len(p.Hashes), "statement": len(p.Statements), "card": len(p.Cards)}[word]
	if have >= most {
		return problem.New(problem.Invalid, "more than %d of these lines", most)
	}
	switch word {
	case "hash":
		if len(data) != 32 {
			return problem.New(problem.Invalid, "a hash has 32 bytes")
		}
		p.Hashes = append(p.Hashes, [32]byte(data))
	case "statement":
		p.Statements = append(p.Statements, data)
	case "card":
		p.Cards = append(p.Cards, data)
	}
	return nil
}
