package register

import (
	"fmt"
	"slices"
	"strings"

	"karaula/internal/agreement"
	"karaula/internal/problem"
	"karaula/internal/terms"
)

// AgreementResult says what became of an agreement's file.
type AgreementResult struct {
	// Agreement is its text.
	Agreement *agreement.Agreement
	// Complete: all parties have signed, also those of the version before that
	// this one leaves out. It is then in force when its time comes.
	Complete bool
	// SignedBy and Missing list who has signed and who has not, by all files so far.
	SignedBy, Missing []string
	// Known: nothing in the file was new.
	Known bool
	// Warnings for people.
	Warnings []string
}

// maxProposals bounds how many texts lie here that self has not signed and
// that are not complete.
const maxProposals = 100

// AddAgreement takes in an agreement's file and unites its signatures with
// those of earlier files of the same text. It must be signed by somebody, and
// self must be a party (also of the version before) or an auditor. Refused
// are: a bad signature, a text that names another root for self than self's
// card (Verification), another mode for a channel than it had (Invalid), and what contradicts a text that self or everybody has
// signed: the same id and version with another digest, an id or a channel
// that belongs or belonged to another agreement (Conflict; kept as evidence).
func (r *Register) AddAgreement(file []byte) (AgreementResult, error) {
	signed, err := agreement.Open(file)
	if err != nil {
		return AgreementResult{}, err
	}
	res := AgreementResult{Agreement: signed.Agreement}
	err = r.change(func(e *editor) error { return e.addAgreement(file, &res) })
	return res, err
}

func (e *editor) addAgreement(file []byte, res *AgreementResult) error {
	s := e.state
	t, err := s.openText(file)
	if err != nil {
		return err
	}
	if err := s.mayKeep(t); err != nil {
		return err
	}
	old := s.text(t.Agreement.ID, t.Agreement.Digest)
	if old != nil {
		merged, err := agreement.Merge(t.Agreement, t.former, old.File, file)
		if err != nil {
			return err
		}
		if t, err = s.openText(merged); err != nil {
			return err
		}
		if err := t.keepUnknown(old.File); err != nil {
			return err
		}
		if err := t.keepUnknown(file); err != nil {
			return err
		}
	}
	res.SignedBy, res.Missing, res.Complete = t.SignedBy, t.missing, t.complete
	if len(t.SignedBy) == 0 {
		return problem.New(problem.Invalid, "nobody has signed agreement %s; it was not taken in", t.Agreement.ID).
			WithHint("karaula agreement sign FILE --dir DIR")
	}
	if old != nil && slices.Equal(old.SignedBy, t.SignedBy) {
		res.Known = true
		return nil
	}
	if why := s.contradicts(t); why != nil {
		name := fmt.Sprintf("%s-%d-%s.agreement", t.Agreement.ID, t.Agreement.Version, short(t.Agreement.Digest))
		if err := e.keepEvidence(name, t.File); err != nil {
			return err
		}
		return why
	}
	if old == nil && !t.binding(s.self) && s.proposals() >= maxProposals {
		return problem.New(problem.Conflict, "%d proposals are here that were never signed; this one was not taken in",
			maxProposals).WithHint("karaula agreement remove ID --dir DIR")
	}
	res.Warnings = s.warnings(t)
	if err := e.setAside(t, res); err != nil {
		return err
	}
	return e.write(t.path, t.File)
}

// mayKeep checks what concerns self: that it is somebody in the text, under
// its own root, and that the version before is here if it must be.
func (s *state) mayKeep(t *text) error {
	a := t.Agreement
	var root string
	if p, ok := a.Party(s.self); ok {
		root = p.Root
	} else if d, ok := a.Auditor(s.self); ok {
		root = d.Root
	} else if i := slices.IndexFunc(t.former, func(p agreement.Party) bool { return p.Code == s.self }); i >= 0 {
		root = t.former[i].Root
	} else {
		return problem.New(problem.Invalid, "%s is not a party of agreement %s; it was not taken in", s.self, a.ID).
			WithHint("parties: %s", strings.Join(a.Codes(), ", "))
	}
	own := s.cards[s.self]
	if len(own) == 0 {
		return problem.New(problem.NotFound, "the node's own card is not in the register; the agreement was not taken in").
			WithHint("karaula party add DIR/%s.card --dir DIR", s.self)
	}
	if !slices.ContainsFunc(s.lineage(s.self, root), func(k string) bool { return k == own[len(own)-1].Root }) {
		return problem.New(problem.Verification,
			"agreement %s names another root key for %s than its own card; it was not taken in", a.ID, s.self).
			WithHint("the party line of %s must hold the root of DIR/%s.card", s.self, s.self)
	}
	before, known := s.text(a.ID, a.Supersedes), s.text(a.ID, a.Digest) != nil
	if a.Version > 1 && before == nil && !known && len(s.texts[a.ID]) > 0 && s.bound(a.ID) {
		return problem.New(problem.NotFound,
			"the text that version %d of %s supersedes is not here; it was not taken in", a.Version, a.ID).
			WithHint("add the versions in their order")
	} else if before != nil && (before.Agreement.Version >= a.Version || before.Agreement.First != a.First) {
		return problem.New(problem.Invalid, "version %d of %s does not follow the text that it supersedes", a.Version, a.ID)
	}
	return s.keepsModes(a)
}

// keepsModes refuses a text that gives a channel another mode than a version before
// it: what was said to practise must never stand among what was meant, nor the other
// way round.
func (s *state) keepsModes(a *agreement.Agreement) error {
	for _, t := range s.texts[a.ID] {
		o := t.Agreement
		if o.Version >= a.Version || !t.binding(s.self) {
			continue
		}
		for _, c := range o.Channels {
			if now, ok := a.Channel(c.ID); ok && now.Mode != c.Mode {
				return problem.New(problem.Invalid, "channel %s has mode %s since version %d of %s; version %d gives it mode %s, and was not taken in",
					c.ID, terms.ModeWord(c.Mode), o.Version, a.ID, a.Version, terms.ModeWord(now.Mode)).
					WithHint("a channel keeps its mode for ever: give the new text a channel with another id")
			}
		}
	}
	return nil
}

// warnings compares the keys of a text with the cards that are here.
func (s *state) warnings(t *text) []string {
	var out []string
	warn := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, p := range t.Agreement.Parties {
		list := s.cards[p.Code]
		switch {
		case s.changes[rootOf{p.Code, p.Root}] != nil:
			warn("the root that the text names for %s was replaced: it must sign a text that names its new one", p.Code)
		case len(list) == 0:
			warn("there is no card of %s yet", p.Code)
		case list[len(list)-1].Root != s.changed(p.Code, p.Root):
			warn("the card of %s is by another root than the text names: compare fingerprints before signing", p.Code)
		case list[len(list)-1].Root == p.Root && list[len(list)-1].NextRoot != p.Next:
			warn("the card of %s announces another next root than the text", p.Code)
		}
	}
	for _, o := range s.texts[t.Agreement.ID] {
		if o.Agreement.Version == t.Agreement.Version && o.Agreement.Digest != t.Agreement.Digest {
			warn("another proposal for version %d of %s is here (%s); signed both: %s", t.Agreement.Version,
				t.Agreement.ID, short(o.Agreement.Digest), both(o.SignedBy, t.SignedBy))
		}
	}
	return out
}

// setAside moves proposals that a binding text leaves no room for to the evidence.
func (e *editor) setAside(t *text, res *AgreementResult) error {
	if !t.binding(e.state.self) {
		return nil
	}
	for id, list := range e.state.texts {
		for _, o := range list {
			a := o.Agreement
			rival := id == t.Agreement.ID && (a.First != t.Agreement.First || a.Version == t.Agreement.Version)
			if !rival || a.Digest == t.Agreement.Digest {
				continue
			}
			name := fmt.Sprintf("%s-%d-%s.agreement", a.ID, a.Version, short(a.Digest))
			if err := e.keepEvidence(name, o.File); err != nil {
				return err
			}
			if err := e.remove(o.path); err != nil {
				return err
			}
			res.Warnings = append(res.Warnings, fmt.Sprintf("the proposal %s for version %d of %s was set aside as evidence",
				short(a.Digest), a.Version, a.ID))
		}
	}
	return nil
}
