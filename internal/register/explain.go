package register

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"karaula/internal/agreement"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Explain says by which channels one party may tell another one a type at a
// moment: first those that allow it, then the others that bind both, the
// nearest to being allowed first. There is always at least one decision. If
// none allows it, the first one's reason says so with the nearest reason why.
func (v *View) Explain(from, to string, typ karaulav1.AlertType, at time.Time) []Decision {
	v = v.At(at)
	var both, other []Decision
	for _, c := range v.AllChannels() {
		d := v.decide(c, from, typ)
		if !c.readBy(to) || from == to {
			if d.Clause != nil {
				d.Allowed, d.Code = false, CodeNotParty
				d.Reason = fmt.Sprintf("%s covers %s, but %s is not a party of %s", d.Ref, terms.TypeWord(typ), to, d.Agreement)
				other = append(other, d)
			}
			continue
		}
		if d.Code == CodeNotParty {
			continue
		}
		if n := c.Suspended[to]; n != nil && d.Allowed {
			d.Allowed, d.Code = false, CodeSuspended
			d.Reason = fmt.Sprintf("%s allows it, but %s suspended %s since %s (notice %d)", d.Ref, to, d.Agreement,
				agreement.FormatTime(n.Effective), n.Serial)
		}
		both = append(both, d)
	}
	both = append(both, v.proposed(from, to, typ)...)
	slices.SortStableFunc(both, func(a, b Decision) int {
		return cmp.Compare(slices.Index(codeOrder, a.Code), slices.Index(codeOrder, b.Code))
	})
	if len(both) > 0 && both[0].Allowed {
		return both
	}
	return refusal(both, other, from, to, typ)
}

// readBy reports whether somebody reads a channel.
func (c *ChannelView) readBy(code string) bool {
	return slices.Contains(c.Parties, code) || slices.Contains(c.Auditors, code)
}

// refusal says first that nothing allows it, and names what comes nearest.
func refusal(both, other []Decision, from, to string, typ karaulav1.AlertType) []Decision {
	none := fmt.Sprintf("no agreement between %s and %s covers %s", from, to, terms.TypeWord(typ))
	switch {
	case from == to:
		return []Decision{{Code: CodeNoAgreement, Reason: fmt.Sprintf("%s needs no agreement with itself", from)}}
	case len(both) > 0:
		if both[0].Code == CodeNoClause {
			both[0].Reason = none + "; nearest: " + both[0].Reason
		}
		return both
	case len(other) > 0:
		first := other[0]
		first.Code, first.Reason = CodeNoAgreement, none+"; nearest: "+first.Reason
		return []Decision{first}
	default:
		return []Decision{{Code: CodeNoAgreement, Reason: none}}
	}
}

// proposed gives decisions about channels of texts that lack signatures and
// would let from say the type to to.
func (v *View) proposed(from, to string, typ karaulav1.AlertType) []Decision {
	var out []Decision
	for _, e := range v.Agreements() {
		if e.Complete || !reads(e.Agreement, to) || from == to {
			continue
		}
		for _, c := range e.Agreement.Channels {
			clauses := c.Clauses(from, typ)
			if len(clauses) == 0 {
				continue
			}
			d := notSigned(e, c.ID)
			d.Clause, d.Others, d.Ref = clauses[0], clauses[1:], clauses[0].Ref(e.Agreement.ID)
			d.Reason = fmt.Sprintf("%s would allow it, but %s", d.Ref, d.Reason)
			out = append(out, d)
		}
	}
	return out
}

// Matrix says who may tell whom what at the view's time: by clauses of
// complete agreements in force that nobody concerned has suspended.
func (v *View) Matrix() []agreement.Row {
	var texts []*agreement.Agreement
	seen := map[[32]byte]bool{}
	for _, c := range v.Channels() {
		if !seen[c.Agreement.Digest] {
			seen[c.Agreement.Digest] = true
			texts = append(texts, c.Agreement)
		}
	}
	var out []agreement.Row
	for _, r := range agreement.Matrix(texts...) {
		r.Grants = slices.DeleteFunc(r.Grants, func(g agreement.Grant) bool {
			c, ok := v.Channel(g.Channel)
			if !ok || c.Agreement.ID != g.Agreement || !c.readBy(r.To) || c.Suspended[r.To] != nil {
				return true
			}
			return !v.decide(c, r.From, r.Type).Allowed
		})
		if len(r.Grants) > 0 {
			out = append(out, r)
		}
	}
	return out
}
