package agreement

import (
	"slices"
	"time"

	"karaula/internal/signedtext"
	"karaula/internal/subject"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Bounds of an agreement.
const (
	maxParties  = 32
	maxChannels = 32
	maxClauses  = 128
	minMaxSize  = 4 << 10
	minQuota    = 1 << 20
	maxQuota    = 1 << 40
)

// Lint checks a text and gives everything that is wrong with it at once,
// ordered by line. Signature lines below the text are left aside, not checked.
// The agreement is nil if the text is hopeless; it may be signed and taken in
// only if no finding is an error ([Errors] is 0).
func Lint(file []byte) (*Agreement, []Finding) {
	p := &parser{a: &Agreement{}, seen: map[string]int{}}
	text, _, err := signedtext.Split(file)
	if err != nil {
		p.fail(0, "text", "%s", err)
		return nil, p.findings
	}
	if len(text) > MaxText {
		p.fail(0, "text", "the text has %d bytes, the limit is %d", len(text), MaxText)
		return nil, p.findings
	}
	for _, f := range signedtext.CheckText(text, human) {
		p.fail(f.Line, "text", "%s", f.Text).Hint = f.Hint
	}
	if !p.parse(text) {
		return nil, p.sorted()
	}
	p.a.Text = slices.Clone(text)
	p.a.Digest = signedtext.Digest(text)
	p.checkVersions()
	p.checkTimes()
	p.checkParties()
	p.checkLimits()
	p.checkChannels()
	if p.a.Version == 1 {
		p.a.First = p.a.Digest
	}
	return p.a, p.sorted()
}

// at gives the line where a keyword first stood, 0 if nowhere.
func (p *parser) at(word string) int { return p.seen[word] }

// checkVersions: version 1 names no other text, a later one names two.
func (p *parser) checkVersions() {
	for _, word := range []string{"supersedes", "first"} {
		line := p.at(word)
		switch {
		case p.a.Version == 1 && line != 0:
			p.fail(line, "version", "version 1 has no line %s", word)
		case p.a.Version > 1 && line == 0:
			p.fail(p.at("version"), "version", "version %d needs a line %s", p.a.Version, word).
				hint("%s sha256:<digest of %s>", word,
					map[string]string{"supersedes": "the version before", "first": "version 1"}[word])
		}
	}
	none := [32]byte{}
	if p.a.Version == 2 && p.a.Supersedes != none && p.a.First != none && p.a.Supersedes != p.a.First {
		p.fail(p.at("first"), "version", "version 2 supersedes version 1, but the lines supersedes and first differ")
	}
}

// checkTimes: validity is an interval, and not an absurd one.
func (p *parser) checkTimes() {
	from, until := p.at("valid-from"), p.at("valid-until")
	if from == 0 || until == 0 || p.a.ValidFrom.IsZero() || p.a.ValidUntil.IsZero() {
		return
	}
	if !p.a.ValidUntil.After(p.a.ValidFrom) {
		p.fail(until, "validity", "valid-until is not after valid-from in line %d", from)
	}
	if p.a.ValidUntil.Sub(p.a.ValidFrom) > 10*365*24*time.Hour {
		p.warn(until, "validity", "the agreement is valid for more than 10 years")
	}
	if p.a.WindingDown > 365*24*time.Hour {
		p.warn(p.at("winding-down"), "validity", "winding down takes more than a year")
	}
}

// checkParties: enough of them, each code and key once.
func (p *parser) checkParties() {
	if n := len(p.a.Parties); p.at("party") != 0 && (n < 2 || n > maxParties) {
		p.fail(p.at("party"), "parties", "an agreement has 2 to %d parties, not %d", maxParties, n)
	}
	codes, roots := map[string]int{}, map[string]int{}
	unique := func(code, root string, line int) {
		if first, ok := codes[code]; ok {
			p.fail(line, "duplicate", "%s stands already in line %d", clip(code), first)
		} else {
			codes[code] = line
		}
		// The key data behind the last + tells keys apart, whatever their names.
		_, key, err := signedtext.ParseVKey(root)
		if err != nil {
			return
		}
		if first, ok := roots[string(key)]; ok {
			p.fail(line, "duplicate", "the root key stands already in line %d", first)
		} else {
			roots[string(key)] = line
		}
	}
	for _, party := range p.a.Parties {
		unique(party.Code, party.Root, party.Line)
	}
	for _, auditor := range p.a.Auditors {
		unique(auditor.Code, auditor.Root, auditor.Line)
	}
	if n := p.a.ContinuesWithout; n == 1 || n > 0 && n >= len(p.a.Parties) {
		p.fail(p.at("continues-without"), "parties",
			"after a withdrawal 2 to %d parties can remain, not %d", max(2, len(p.a.Parties)-1), n).
			hint("continues-without 0 ends the agreement with the first withdrawal")
	}
}

// checkLimits: sizes within what every node can carry.
func (p *parser) checkLimits() {
	if n := p.a.MaxSize; p.at("max-size") != 0 && n != 0 && (n < minMaxSize || n > subject.MaxEnvelope) {
		p.fail(p.at("max-size"), "limit", "max-size is %s to %s", FormatSize(minMaxSize), FormatSize(subject.MaxEnvelope))
	}
	if n := p.a.Quota; p.at("quota") != 0 && n != 0 && (n < minQuota || n > maxQuota) {
		p.fail(p.at("quota"), "limit", "quota is %s to %s", FormatSize(minQuota), FormatSize(maxQuota))
	}
}

// checkChannels: ids once, clauses that mean something.
func (p *parser) checkChannels() {
	if n := len(p.a.Channels); n > maxChannels {
		p.fail(p.a.Channels[maxChannels].Line, "limit", "an agreement has at most %d channels", maxChannels)
	}
	if p.says > maxClauses {
		p.fail(0, "limit", "an agreement has at most %d clauses, not %d", maxClauses, p.says)
	}
	ids := map[string]int{}
	for i := range p.a.Channels {
		c := &p.a.Channels[i]
		if first, ok := ids[c.ID]; ok && c.ID != "" {
			p.fail(c.Line, "duplicate", "the channel %s stands already in line %d", clip(c.ID), first)
		} else {
			ids[c.ID] = c.Line
		}
		if c.Mode == karaulav1.Mode_MODE_EXERCISE && !p.a.Exercise {
			p.fail(c.Line, "exercise", "a channel for exercises in an agreement with exercise no").hint("exercise yes")
		}
		if len(c.Says) == 0 {
			p.fail(c.Line, "no-clause", "nobody may say anything on channel %s", clip(c.ID)).
				hint("say %s vehicle personal=no handling<=H1 retain<=1y", "al,me")
		}
		for _, s := range c.Says {
			p.checkSay(s)
		}
		p.checkOverlap(c)
	}
}

// checkSay checks one clause by itself.
func (p *parser) checkSay(s Say) {
	for _, code := range s.Parties {
		if _, ok := p.a.Party(code); !ok {
			p.fail(s.Line, "unknown-party", "%s is not a party of this agreement", clip(code)).
				hint("parties: %s", joined(p.a.Codes()))
		}
	}
	if s.Retain == 0 {
		p.fail(s.Line, "retention", "nothing can be said that is kept for no time")
	}
	for _, t := range s.Types {
		word := terms.TypeWord(t)
		if s.Personal && terms.NeverPersonal(t) {
			p.fail(s.Line, "never-personal", "%s never holds personal data", word).
				hint("a say line of its own with personal=no for %s", word)
		}
		if !s.Personal && t == karaulav1.AlertType_ALERT_TYPE_PERSON {
			p.warn(s.Line, "always-personal", "a person alert always holds personal data: none can be said under this clause")
		}
		if limit := retention(t, s.Personal); limit > 0 && s.Retain > limit {
			p.warn(s.Line, "retention", "%s is kept for %s, the usual limit is %s", word,
				FormatDuration(s.Retain), FormatDuration(limit))
		}
	}
}

// checkOverlap warns where a clause repeats what another one grants.
func (p *parser) checkOverlap(c *Channel) {
	type grant struct {
		party    string
		typ      karaulav1.AlertType
		personal bool
	}
	had := map[grant]Say{}
	for _, s := range c.Says {
		told := map[int]bool{}
		for _, code := range s.Parties {
			for _, t := range s.Types {
				g := grant{code, t, s.Personal}
				before, ok := had[g]
				if !ok {
					had[g] = s
					continue
				}
				if !told[before.Clause] {
					told[before.Clause] = true
					p.warn(s.Line, "overlap", "clause %d in line %d already lets %s say %s",
						before.Clause, before.Line, code, terms.TypeWord(t)).hint("the wider one of the two counts")
				}
			}
		}
	}
}
