package register

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"karaula/internal/agreement"
	"karaula/internal/problem"
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
// card (Verification), and what contradicts a text that self or everybody has
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
	root := ""
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
	if before := s.text(a.ID, a.Supersedes); a.Version > 1 && before == nil && len(s.texts[a.ID]) > 0 && s.bound(a.ID) {
		return problem.New(problem.NotFound,
			"the text that version %d of %s supersedes is not here; it was not taken in", a.Version, a.ID).
			WithHint("add the versions in their order")
	} else if before != nil && (before.Agreement.Version >= a.Version || before.Agreement.First != a.First) {
		return problem.New(problem.Invalid, "version %d of %s does not follow the text that it supersedes", a.Version, a.ID)
	}
	return nil
}

// bound reports whether any text of an id is binding.
func (s *state) bound(id string) bool {
	return slices.ContainsFunc(s.texts[id], func(t *text) bool { return t.binding(s.self) })
}

// contradicts says why a text can't stand beside what self or everybody has
// signed. A proposal that nobody but its author stands behind blocks nothing.
func (s *state) contradicts(t *text) error {
	a := t.Agreement
	for _, o := range s.texts[a.ID] {
		if !o.binding(s.self) || o.Agreement.Digest == a.Digest {
			continue
		}
		if o.Agreement.Version == a.Version {
			return problem.New(problem.Conflict, "another text is already version %d of %s; "+
				"this one (%s) was kept as evidence, not taken in", a.Version, a.ID, short(a.Digest)).
				WithHint("signed here: %s; by both: %s", short(o.Agreement.Digest), both(o.SignedBy, t.SignedBy))
		}
		if o.Agreement.First != a.First {
			return idTaken(a.ID)
		}
	}
	if stone, ok := s.tombstones[a.ID]; ok && stone.first != a.First {
		return idTaken(a.ID)
	}
	return s.channelTaken(a)
}

func idTaken(id string) error {
	return problem.New(problem.Conflict, "the id %s belongs or belonged to another agreement; it was not taken in", id).
		WithHint("ids are never used again: choose another id, or write the next version of that agreement")
}

// channelTaken refuses a channel that another agreement has or had.
func (s *state) channelTaken(a *agreement.Agreement) error {
	taken := func(channel, by string) error {
		return problem.New(problem.Conflict, "the channel %s belongs or belonged to agreement %s; %s was not taken in",
			channel, by, a.ID).WithHint("choose another channel id")
	}
	for _, c := range a.Channels {
		for id, list := range s.texts {
			for _, o := range list {
				if _, has := o.Agreement.Channel(c.ID); has && id != a.ID && o.binding(s.self) {
					return taken(c.ID, id)
				}
			}
		}
		for id, stone := range s.tombstones {
			if id != a.ID && slices.Contains(stone.channels, c.ID) {
				return taken(c.ID, id)
			}
		}
	}
	return nil
}

// both lists who is in both lists.
func both(x, y []string) string {
	var out []string
	for _, s := range x {
		if slices.Contains(y, s) {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return "nobody"
	}
	return strings.Join(out, ", ")
}

// proposals counts the texts that bind nobody here.
func (s *state) proposals() int {
	n := 0
	for _, list := range s.texts {
		for _, t := range list {
			if !t.binding(s.self) {
				n++
			}
		}
	}
	return n
}

// warnings compares the keys of a text with the cards that are here.
func (s *state) warnings(t *text) []string {
	var out []string
	warn := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, p := range t.Agreement.Parties {
		list := s.cards[p.Code]
		switch {
		case len(list) == 0:
			warn("there is no card of %s yet", p.Code)
		case list[len(list)-1].Root != s.changed(p.Code, p.Root, latest):
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

// RemoveAgreement forgets an agreement. Its id stays reserved for ever if self
// or everybody had signed it. While it is in force or winding down and not
// suspended or withdrawn from by self, only proposals of the id are removed;
// without any the answer is a Conflict. at is the moment of the request.
func (r *Register) RemoveAgreement(id string) error {
	return r.change(func(e *editor) error {
		v := &View{s: e.state, at: r.now()}
		list := e.state.texts[id]
		if len(list) == 0 {
			return problem.New(problem.NotFound, "there is no agreement %q", id)
		}
		if why := v.inUse(id); why != "" {
			return e.removeProposals(id, why)
		}
		if e.state.bound(id) {
			if err := e.bury(id); err != nil {
				return err
			}
		}
		return e.remove(filepath.Join(agreementsDir, id))
	})
}

// inUse says why an agreement can't be removed as a whole; empty if it can.
func (v *View) inUse(id string) string {
	for _, e := range v.entries(id) {
		phase := e.PhaseAt(v.at)
		if !e.Complete || phase == agreement.Closed {
			continue
		}
		if _, out := e.Suspensions[v.s.self]; out {
			continue
		}
		if from, out := e.Withdrawals[v.s.self]; out && !v.at.Before(from) {
			continue
		}
		return phase.String()
	}
	return ""
}

// removeProposals removes the texts of an id that bind nobody.
func (e *editor) removeProposals(id, why string) error {
	removed := false
	for _, t := range e.state.texts[id] {
		if !t.complete {
			removed = true
			if err := e.remove(t.path); err != nil {
				return err
			}
		}
	}
	if removed {
		return nil
	}
	return problem.New(problem.Conflict, "agreement %s is %s; it was not removed", id, why).
		WithHint("karaula agreement suspend %s --reason … --dir DIR stops it at once", id)
}

// bury writes the tombstone of an id.
func (e *editor) bury(id string) error {
	var b strings.Builder
	seen := map[string]bool{}
	for i, t := range e.state.texts[id] {
		if i == 0 {
			fmt.Fprintf(&b, "first %s\n", agreement.FormatDigest(t.Agreement.First))
		}
		for _, c := range t.Agreement.Channels {
			if !seen[c.ID] {
				seen[c.ID] = true
				fmt.Fprintf(&b, "channel %s\n", c.ID)
			}
		}
	}
	return e.write(filepath.Join(tombstonesDir, id), []byte(b.String()))
}
