package prove

import (
	"fmt"
	"slices"
	"time"

	"karaula/internal/agreement"
	"karaula/internal/register"
	"karaula/internal/subject"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// law is the first judge: what the agreements say about one party's broker at
// one moment. It reads clauses, phases and notices, and nothing that a broker
// was made from.
type law struct {
	view     *register.View // as the broker's owner sees it
	at       time.Time
	owner    string
	channels []*register.ChannelView
	parties  []string // everybody who is known, by code
	links    map[string]answer
}

func newLaw(view *register.View, at time.Time) *law {
	l := &law{view: view.At(at), at: at, owner: view.Self(), links: map[string]answer{}}
	l.channels = l.view.AllChannels()
	for _, p := range l.view.Parties() {
		l.parties = append(l.parties, p.Code)
	}
	for _, p := range l.parties {
		l.links[p] = l.link(p)
	}
	return l
}

// channel finds a channel.
func (l *law) channel(id string) *register.ChannelView {
	for _, c := range l.channels {
		if c.ID == id {
			return c
		}
	}
	return nil
}

// open says whether anything travels on a channel for the owner.
func (l *law) open(c *register.ChannelView) answer {
	phase := c.PhaseAt(l.at)
	if phase == agreement.InForce && !slices.Contains(c.Parties, l.owner) {
		phase = agreement.Closed
		if _, leaving := c.Leaving[l.owner]; leaving {
			phase = agreement.WindingDown
		}
	}
	text := fmt.Sprintf("%s version %d is %s", c.Agreement.ID, c.Agreement.Version, phase)
	return answer{phase == agreement.InForce || phase == agreement.WindingDown, text}
}

// link says whether a party may log in to the owner's broker: the two share an
// agreement under which something travels, and its card says with which keys.
func (l *law) link(party string) answer {
	if party == l.owner {
		return no("nobody is its own partner")
	}
	why := ""
	for _, c := range l.channels {
		_, leaving := c.Leaving[party]
		if !leaving && !slices.Contains(c.Parties, party) {
			continue
		}
		open := l.open(c)
		if !open.yes {
			why = open.why
			continue
		}
		if card, ok := l.view.Card(party); !ok || !card.ValidAt(l.at) || card.NATS == "" {
			return no("no card of " + party + " is known that is valid now")
		}
		return yes(open.why + ", and " + party + " is a party")
	}
	if why == "" {
		why = "no agreement binds " + l.owner + " and " + party
	}
	return no(why)
}

// guest is the role in which a party that is known might come: an auditor's card
// makes it one, everywhere.
func (l *law) guest(party string) who {
	if card, ok := l.view.Card(party); ok && card.Auditor() {
		return who{party, auditor}
	}
	return who{party, partner}
}

// audits says whether an auditor may read a channel: the text names it, is open
// for the owner, and the auditor's card says with which keys it comes.
func (l *law) audits(c *register.ChannelView, code string) answer {
	named := slices.ContainsFunc(c.Agreement.Auditors, func(a agreement.Auditor) bool { return a.Code == code })
	open := l.open(c)
	card, ok := l.view.Card(code)
	switch {
	case !named:
		return no(fmt.Sprintf("%s does not name %s as an auditor", c.Agreement.ID, code))
	case !open.yes:
		return open
	case !ok || !card.Auditor() || !card.ValidAt(l.at) || card.NATS == "":
		return no("no card of the auditor " + code + " with a login is known that is valid now")
	}
	return yes(fmt.Sprintf("%s names %s as an auditor", c.Agreement.ID, code))
}

// audit says whether an auditor may log in to the owner's broker: it may read one
// of its channels.
func (l *law) audit(code string) answer {
	why := no("no agreement of " + l.owner + " names " + code + " as an auditor")
	for _, c := range l.channels {
		may := l.audits(c, code)
		if may.yes {
			return may
		}
		why = may
	}
	return why
}

// fetch says whether a party may fetch what the owner says on a channel.
func (l *law) fetch(c *register.ChannelView, reader string) answer {
	open := l.open(c)
	switch {
	case reader == l.owner || !slices.Contains(c.Parties, reader):
		return no(fmt.Sprintf("%s is not a party of %s", reader, c.Agreement.ID))
	case !open.yes:
		return open
	case c.Suspended[l.owner] != nil:
		return no(fmt.Sprintf("%s has suspended %s", l.owner, c.Agreement.ID))
	case !l.links[reader].yes:
		return l.links[reader]
	}
	return yes(fmt.Sprintf("%s is a party of %s, which is %s", reader, c.Agreement.ID, c.PhaseAt(l.at)))
}

// say says whether the owner may say something on a channel: an alert of a type
// by a clause, or another kind, which every party may.
func (l *law) say(c *register.ChannelView, token string) answer {
	open := l.open(c)
	if _, party := c.Agreement.Party(l.owner); !party {
		return no(fmt.Sprintf("%s is not a party of %s", l.owner, c.Agreement.ID))
	}
	if !alert(token) {
		if !open.yes {
			return open
		}
		if token == terms.KindWord(karaulav1.Kind_KIND_EXERCISE) && !c.Subject().Exercise {
			return no(c.ID + " is not for exercises")
		}
		return yes("every party of " + c.Agreement.ID + " may say " + token)
	}
	clause := l.clause(c, token)
	if clause == "" {
		return no(fmt.Sprintf("no clause of %s lets %s say %s on %s", c.Agreement.ID, l.owner, token, c.ID))
	}
	if c.PhaseAt(l.at) != agreement.InForce || !slices.Contains(c.Parties, l.owner) {
		return no(fmt.Sprintf("%s allows it, but %s is not in force for %s", clause, c.Agreement.ID, l.owner))
	}
	if c.Suspended[l.owner] != nil {
		return no(fmt.Sprintf("%s allows it, but %s has suspended %s", clause, l.owner, c.Agreement.ID))
	}
	for _, p := range c.Parties {
		if p != l.owner && c.Suspended[p] == nil {
			return yes(clause)
		}
	}
	return no(fmt.Sprintf("%s allows it, but nobody is left to read it", clause))
}

// clause finds the first clause that lets the owner say an alert with this token.
func (l *law) clause(c *register.ChannelView, token string) string {
	for _, s := range c.Channel.Says {
		if !slices.Contains(s.Parties, l.owner) {
			continue
		}
		if c.Channel.SealedTypes {
			if token == terms.TypeWord(0) {
				return s.Ref(c.Agreement.ID)
			}
			continue
		}
		for _, t := range s.Types {
			if terms.TypeWord(t) == token {
				return s.Ref(c.Agreement.ID)
			}
		}
	}
	return ""
}

// alert reports whether a token is the word of an alert's type.
func alert(token string) bool {
	_, ok := terms.ParseType(token)
	return ok || token == terms.TypeWord(0)
}

// tokens are all words that can stand last in the subject of a statement.
func tokens() []string {
	out := append([]string{terms.TypeWord(0)}, terms.TypeWords()...)
	for n := range karaulav1.Kind_name {
		if k := karaulav1.Kind(n); k > karaulav1.Kind_KIND_ALERT {
			out = append(out, terms.KindWord(k))
		}
	}
	slices.Sort(out)
	return out
}

// coarser says where the broker cannot hold what an agreement says, by design,
// and the seal and the border check alone do.
func (l *law) coarser() []string {
	var list []string
	for _, c := range l.channels {
		if !l.open(c).yes {
			continue
		}
		if c.Channel.SealedTypes {
			list = append(list, fmt.Sprintf("%s at %s: types are sealed, so any alert passes whose type no clause names; "+
				"the border check refuses it", c.ID, l.owner))
		}
		for _, p := range c.Parties {
			if p != l.owner && c.Suspended[p] != nil && l.fetch(c, p).yes {
				list = append(list, fmt.Sprintf("%s at %s: %s has suspended it and may still fetch notices and receipts; "+
					"alerts are not sealed to it", c.ID, l.owner, p))
			}
		}
	}
	return list
}

// streams are the streams that the owner's broker should have, and one that it
// should not.
func (l *law) streams() []stream {
	list := []stream{
		{subject.VerdictStream, "", own},
		{subject.StubStream, "", own},
		{subject.DeskStream, "", desk},
		{subject.QuarantineStream, "", quarantine},
		{"STRAY", "", stray},
	}
	for _, c := range l.channels {
		list = append(list, stream{subject.Out(c.Subject()), c.ID, out})
		for _, p := range l.members(c) {
			if p != l.owner {
				list = append(list, stream{subject.InStream(c.Subject(), p), c.ID, in})
			}
		}
	}
	return list
}

// members are all parties that a channel has or had under any complete text
// that has begun, and those of the text that rules.
func (l *law) members(c *register.ChannelView) []string {
	list := slices.Clone(c.Agreement.Codes())
	for _, e := range l.view.Agreements() {
		if _, has := e.Agreement.Channel(c.ID); !has || !e.Complete || e.Agreement.ID != c.Agreement.ID ||
			l.at.Before(e.Agreement.ValidFrom) {
			continue
		}
		list = append(list, e.Agreement.Codes()...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
