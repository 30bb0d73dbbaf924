package register

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"karaula/internal/agreement"
	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Codes of a [Decision]: stable words for programs. The order is from what is
// allowed to what is furthest from it.
const (
	CodeAllowed     = "allowed"
	CodeSuspended   = "suspended"    // somebody has suspended the agreement
	CodeNotYet      = "not-yet"      // complete, but before valid-from
	CodeExpired     = "expired"      // winding down or closed
	CodeWithdrawn   = "withdrawn"    // the sayer has left, or the agreement ended with a withdrawal
	CodeSuperseded  = "superseded"   // a newer version rules at that moment
	CodeNotSigned   = "not-signed"   // somebody has not signed
	CodeNoClause    = "no-clause"    // no clause lets the sayer say the type there
	CodeNotParty    = "not-party"    // the sayer, or the reader asked about, is no party
	CodeNoChannel   = "no-channel"   // there is no such channel
	CodeNoAgreement = "no-agreement" // no agreement binds the two
)

var codeOrder = []string{
	CodeAllowed, CodeSuspended, CodeNotYet, CodeExpired, CodeWithdrawn, CodeSuperseded, CodeNotSigned,
	CodeNoClause, CodeNotParty, CodeNoChannel, CodeNoAgreement,
}

// Decision says whether somebody may say something, and why.
type Decision struct {
	// Allowed: some clause allows it at that moment.
	Allowed bool
	// Clause is the widest clause that names party and type, also if it is not
	// in effect; nil if there is none.
	Clause *agreement.Say
	// Others are further clauses that do, widest first.
	Others []*agreement.Say
	// Ref names the clause: "b01-al-me clause 2 (Art. 5)"; empty without one.
	Ref string
	// Reason says why, for people: the clause in words, or the nearest reason
	// why not.
	Reason string
	// Code is the reason's stable word.
	Code string
	// Agreement and Channel are the ids that the decision is about; may be empty.
	Agreement, Channel string
}

// Problem is the decision as an error: nil if allowed, else of kind NotAllowed.
func (d Decision) Problem() error {
	if d.Allowed {
		return nil
	}
	return problem.New(problem.NotAllowed, "not allowed: %s", d.Reason)
}

// For finds the clause under which an alert may be said that holds personal
// data or not and has this handling code. If the decision allows the type but
// no clause these, the new decision says what is above the clause's limit.
func (d Decision) For(personal bool, handling karaulav1.Handling) Decision {
	if !d.Allowed {
		return d
	}
	all := append([]*agreement.Say{d.Clause}, d.Others...)
	for _, s := range all {
		if (s.Personal || !personal) && handling <= s.Handling {
			d.Clause, d.Ref = s, s.Ref(d.Agreement)
			d.Reason = d.Ref + ": " + s.Describe()
			return d
		}
	}
	d.Allowed, d.Code = false, CodeNoClause
	switch {
	case personal && !d.Clause.Personal:
		d.Reason = d.Ref + " allows no personal data"
	case handling > d.Clause.Handling:
		d.Reason = fmt.Sprintf("%s allows handling up to %s, not %s", d.Ref,
			terms.HandlingWord(d.Clause.Handling), terms.HandlingWord(handling))
	default:
		d.Reason = fmt.Sprintf("no clause on %s allows personal data with handling %s", d.Channel,
			terms.HandlingWord(handling))
	}
	return d
}

// Decide says whether a party may say an alert of a type on a channel at a
// moment, and by which clause, or the nearest reason why not. A type of zero
// is a sealed type: allowed if the channel seals its types and any clause
// names the party. Only agreements that all have signed count.
func (v *View) Decide(from, channel string, typ karaulav1.AlertType, at time.Time) Decision {
	c, ok := v.ChannelAt(channel, at)
	if !ok {
		return v.At(at).noChannel(channel)
	}
	return v.At(at).decide(c, from, typ)
}

// DecideUnder is [View.Decide] for a statement that names the text under which
// it was said. A text that a newer version has replaced by then gives
// [CodeSuperseded].
func (v *View) DecideUnder(digest [32]byte, from, channel string, typ karaulav1.AlertType, at time.Time) Decision {
	v = v.At(at)
	e, ok := v.AgreementByDigest(digest)
	if !ok {
		return Decision{Code: CodeNoAgreement, Channel: channel, Reason: "the agreement text is not here"}
	}
	if _, has := e.Agreement.Channel(channel); !has {
		return Decision{
			Code: CodeNoChannel, Channel: channel, Agreement: e.Agreement.ID,
			Reason: fmt.Sprintf("version %d of %s has no channel %s", e.Agreement.Version, e.Agreement.ID, channel),
		}
	}
	if !e.Complete {
		return notSigned(e, channel)
	}
	d := v.decide(v.channelView(e, channel), from, typ)
	if e.SupersededBy != 0 && !at.Before(e.SupersededFrom) {
		d.Allowed, d.Code = false, CodeSuperseded
		d.Reason = fmt.Sprintf("version %d of %s took the place of version %d on %s", e.SupersededBy, e.Agreement.ID,
			e.Agreement.Version, agreement.FormatTime(e.SupersededFrom))
	}
	return d
}

// noChannel says why a channel is not there: perhaps a text that has it lacks
// signatures.
func (v *View) noChannel(channel string) Decision {
	for _, e := range v.Agreements() {
		if _, has := e.Agreement.Channel(channel); has && !e.Complete {
			return notSigned(e, channel)
		}
	}
	return Decision{Code: CodeNoChannel, Channel: channel, Reason: fmt.Sprintf("there is no channel %q", channel)}
}

func notSigned(e *Entry, channel string) Decision {
	return Decision{
		Code: CodeNotSigned, Channel: channel, Agreement: e.Agreement.ID,
		Reason: fmt.Sprintf("%s is not signed by %s", e.Agreement.ID, strings.Join(e.Missing, ", ")),
	}
}

// decide judges on a channel as it stands at the view's time.
func (v *View) decide(c *ChannelView, from string, typ karaulav1.AlertType) Decision {
	d := Decision{Agreement: c.Agreement.ID, Channel: c.ID}
	no := func(code, format string, args ...any) Decision {
		d.Code, d.Reason = code, fmt.Sprintf(format, args...)
		return d
	}
	if _, ok := c.Agreement.Party(from); !ok {
		return no(CodeNotParty, "%s is not a party of %s", from, c.Agreement.ID)
	}
	clauses := c.Channel.Clauses(from, typ)
	if len(clauses) == 0 {
		return no(CodeNoClause, "no clause lets %s say %s on %s%s", from, terms.TypeWord(typ), c.ID, c.mayInstead(from))
	}
	d.Clause, d.Others = clauses[0], clauses[1:]
	d.Ref = d.Clause.Ref(c.Agreement.ID)
	if code, why := v.hindrance(c, from); code != "" {
		return no(code, "%s allows it, but %s", d.Ref, why)
	}
	d.Allowed = true
	return no(CodeAllowed, "%s: %s", d.Ref, d.Clause.Describe())
}

// mayInstead lists what a party may say on a channel.
func (c *ChannelView) mayInstead(from string) string {
	var words []string
	for _, s := range c.Channel.Says {
		if !slices.Contains(s.Parties, from) {
			continue
		}
		for _, t := range s.Types {
			if w := terms.TypeWord(t); !slices.Contains(words, w) {
				words = append(words, w)
			}
		}
	}
	if len(words) == 0 {
		return ""
	}
	return " (it may say " + strings.Join(words, ", ") + ")"
}

// hindrance says what keeps a clause from having effect; empty if nothing does.
func (v *View) hindrance(c *ChannelView, from string) (code, why string) {
	id := c.Agreement.ID
	switch phase := c.PhaseAt(v.at); {
	case phase == agreement.NotYet:
		return CodeNotYet, fmt.Sprintf("%s comes into force on %s", id, agreement.FormatTime(c.Agreement.ValidFrom))
	case !slices.Contains(c.Parties, from):
		return CodeWithdrawn, fmt.Sprintf("%s has withdrawn from %s", from, id)
	case phase != agreement.InForce && c.EndsAt.Before(c.Agreement.ValidUntil):
		return CodeWithdrawn, fmt.Sprintf("%s ended on %s (%s)", id, agreement.FormatTime(c.EndsAt), phase)
	case phase != agreement.InForce:
		return CodeExpired, fmt.Sprintf("%s expired on %s (%s)", id, agreement.FormatTime(c.EndsAt), phase)
	}
	suspended := func(party string) (string, string) {
		n := c.Suspended[party]
		return CodeSuspended, fmt.Sprintf("%s suspended %s since %s (notice %d)", party, id,
			agreement.FormatTime(n.Effective), n.Serial)
	}
	if c.Suspended[from] != nil {
		return suspended(from)
	}
	if c.Suspended[v.s.self] != nil {
		return suspended(v.s.self)
	}
	reader := false
	last := ""
	for _, p := range c.Parties {
		switch {
		case p == from:
		case c.Suspended[p] != nil:
			last = p
		default:
			reader = true
		}
	}
	if !reader && last != "" {
		return suspended(last)
	}
	if !reader {
		return CodeWithdrawn, "nobody is left to read it"
	}
	return "", ""
}

// Retain says when the content of an alert must be erased at the latest: when
// the clause's longest retention is over, or when the alert expires if that is
// earlier. A zero expires is none.
func (v *View) Retain(say *agreement.Say, said, expires time.Time) time.Time {
	latest := said.Add(say.Retain)
	if !expires.IsZero() && expires.Before(latest) {
		return expires
	}
	return latest
}
