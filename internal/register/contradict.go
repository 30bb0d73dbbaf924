package register

import (
	"slices"
	"strings"

	"karaula/internal/agreement"
	"karaula/internal/problem"
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
