package register

import (
	"slices"
	"strings"

	"karaula/internal/agreement"
	"karaula/internal/problem"
	"karaula/internal/signedtext"
)

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
	if err := s.rootTaken(t); err != nil {
		return err
	}
	return s.channelTaken(a)
}

// rootTaken refuses a text that self has signed and that names another root for
// somebody than an agreement that pins it already. A code has one root at a
// node: what is sealed to the party, and who may connect as it, follows from its
// card. Otherwise one partner could put its own key in place of another
// partner's, in a text of which a reader compares the articles and not the keys.
func (s *state) rootTaken(t *text) error {
	if !slices.Contains(t.SignedBy, s.self) {
		return nil // a proposal pins nothing; a warning tells whoever may sign it
	}
	check := func(code, root string) error {
		for _, id := range sortedKeys(s.texts) {
			o := s.newestSigned(id)
			if id == t.Agreement.ID || o == nil {
				continue
			}
			if other := o.rootOf(code); other != "" && !s.sameRoot(code, root, other) {
				return problem.New(problem.Conflict,
					"%s names another root for %s than agreement %s, which pins it; it was not taken in",
					t.Agreement.ID, code, id).
					WithHint("pinned: %s; this text: %s; call the authority of %s", fingerprints([]string{other}),
						fingerprints([]string{root}), code)
			}
		}
		return nil
	}
	for _, p := range t.Agreement.Parties {
		if err := check(p.Code, p.Root); err != nil {
			return err
		}
	}
	for _, d := range t.Agreement.Auditors {
		if err := check(d.Code, d.Root); err != nil {
			return err
		}
	}
	return nil
}

// sameRoot reports whether two roots of a party are one, or one was changed into
// the other, or announced it as the next.
func (s *state) sameRoot(party, x, y string) bool {
	if s.changed(party, x) == s.changed(party, y) {
		return true
	}
	return slices.Contains(s.announced(party, y), signedtext.KeyDigest(x)) ||
		slices.Contains(s.announced(party, x), signedtext.KeyDigest(y))
}

// rootOf gives the root that a text names for a party or auditor; empty if it
// names neither.
func (t *text) rootOf(code string) string {
	if p, ok := t.Agreement.Party(code); ok {
		return p.Root
	}
	if d, ok := t.Agreement.Auditor(code); ok {
		return d.Root
	}
	return ""
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
