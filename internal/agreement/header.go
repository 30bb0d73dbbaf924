package agreement

import (
	"fmt"
	"strconv"

	"karaula/internal/signedtext"
	"karaula/internal/terms"
)

// The readers of the header lines: each takes the parts after its keyword.

func (p *parser) id(line int, args []field) error {
	id, err := args[0].word("")
	if err != nil {
		return err
	}
	p.validID(line, "agreement id", id)
	p.a.ID = id
	return nil
}

// validID reports an id that can't name an agreement or a channel.
func (p *parser) validID(line int, what, id string) {
	if !terms.ValidID(id) {
		p.fail(line, "bad-id", "%q can't be an %s", clip(id), what).
			hint("1 to %d of a-z, 0-9 and single inner hyphens, beginning with a letter, not a reserved word", terms.MaxID)
	}
}

func (p *parser) version(_ int, args []field) error {
	s, err := args[0].word("")
	if err != nil {
		return err
	}
	v, err := strconv.ParseUint(s, 10, 32)
	if err != nil || v == 0 || strconv.FormatUint(v, 10) != s {
		return fmt.Errorf("%q is not a version, a whole number from 1", clip(s))
	}
	p.a.Version = v
	return nil
}

func (p *parser) supersedes(_ int, args []field) (err error) {
	p.a.Supersedes, err = args[0].digest("")
	return err
}

func (p *parser) first(_ int, args []field) (err error) {
	p.a.First, err = args[0].digest("")
	return err
}

func (p *parser) title(_ int, args []field) (err error) {
	p.a.Title, err = args[0].quoted("")
	return err
}

func (p *parser) basis(_ int, args []field) error {
	s, err := args[0].quoted("")
	p.a.Basis = append(p.a.Basis, s)
	return err
}

func (p *parser) validFrom(_ int, args []field) (err error) {
	p.a.ValidFrom, err = args[0].time()
	return err
}

func (p *parser) validUntil(_ int, args []field) (err error) {
	p.a.ValidUntil, err = args[0].time()
	return err
}

func (p *parser) windingDown(_ int, args []field) (err error) {
	p.a.WindingDown, err = args[0].duration("")
	return err
}

func (p *parser) party(line int, args []field) (err error) {
	// A party with a broken line is one too: clauses may name it.
	p.a.Parties = append(p.a.Parties, Party{Line: line})
	party := &p.a.Parties[len(p.a.Parties)-1]
	if err := p.who(line, args, &party.Code, &party.Name, &party.Root); err != nil {
		return err
	}
	party.Next, err = args[3].digest("next=")
	return err
}

func (p *parser) auditor(line int, args []field) error {
	p.a.Auditors = append(p.a.Auditors, Auditor{Line: line})
	auditor := &p.a.Auditors[len(p.a.Auditors)-1]
	return p.who(line, args, &auditor.Code, &auditor.Name, &auditor.Root)
}

// who reads code, name and root key of a party or auditor.
func (p *parser) who(line int, args []field, code, name, root *string) (err error) {
	if *code, err = args[0].word(""); err != nil {
		return err
	}
	if !terms.ValidParty(*code) {
		p.fail(line, "bad-id", "%q can't be a party code", clip(*code)).
			hint("2 to 12 of a-z and 0-9, beginning with a letter, not a reserved word")
	}
	if *name, err = args[1].quoted(""); err != nil {
		return err
	}
	if *root, err = args[2].word("root="); err != nil {
		return err
	}
	keyName, _, keyErr := signedtext.ParseVKey(*root)
	switch {
	case keyErr != nil:
		p.fail(line, "bad-root", "the root of %s: %s", clip(*code), keyErr).hint("copy the root from the party's card")
	case keyName != *code:
		p.fail(line, "bad-root", "the root key of %s is named %q", clip(*code), clip(keyName)).
			hint("the name before the first + of a root key is the party's code")
	}
	return nil
}

func (p *parser) minAlgs(line int, args []field) (err error) {
	if p.a.MinSign, err = args[0].word("sign="); err != nil {
		return err
	}
	if p.a.MinSeal, err = args[1].word("seal="); err != nil {
		return err
	}
	if p.a.MinSign != "ed25519" {
		p.fail(line, "unknown-algorithm", "no signatures by %q", clip(p.a.MinSign)).hint("sign=ed25519")
	}
	if p.a.MinSeal != "age-hybrid" {
		p.fail(line, "unknown-algorithm", "no sealing by %q", clip(p.a.MinSeal)).hint("seal=age-hybrid")
	}
	return nil
}

func (p *parser) maxSize(_ int, args []field) (err error) {
	p.a.MaxSize, err = args[0].size()
	return err
}

func (p *parser) quota(_ int, args []field) (err error) {
	p.a.Quota, err = args[0].size()
	return err
}

func (p *parser) withdraw(_ int, args []field) (err error) {
	p.a.WithdrawNotice, err = args[0].duration("notice=")
	return err
}

func (p *parser) continuesWithout(_ int, args []field) error {
	s, err := args[0].word("")
	if err != nil {
		return err
	}
	n, err := parseCount(s)
	if err != nil || n > maxParties {
		return fmt.Errorf("%q is not a number of parties", clip(s))
	}
	p.a.ContinuesWithout = int(n)
	return nil
}

func (p *parser) exercise(_ int, args []field) (err error) {
	p.a.Exercise, err = args[0].yesNo("")
	return err
}
