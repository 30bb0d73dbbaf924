package border

import (
	"time"

	"karaula/internal/envelope"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// sealedKind reports whether statements of a kind carry a sealed part.
func sealedKind(kind karaulav1.Kind) bool {
	return opened(kind) || kind == karaulav1.Kind_KIND_NULL
}

// opened reports whether somebody is to read what a kind carries sealed.
func opened(kind karaulav1.Kind) bool {
	return kind == karaulav1.Kind_KIND_ALERT || kind == karaulav1.Kind_KIND_ACT
}

// checkParts wants one main part where the kind is sealed and none elsewhere,
// and the digests that the statement states. Compartments are a feature that
// this reader does not have.
func (j *judging) checkParts() *outcome {
	want := 0
	if sealedKind(j.st.GetKind()) {
		want = 1
	}
	if n := len(j.st.GetParts()); n != want {
		return refuse(karaulav1.Code_CODE_MUST_UNDERSTAND, "%d sealed parts in a statement of kind %s, %d are understood",
			n, terms.KindWord(j.st.GetKind()), want)
	}
	if r := asRefusal(j.p.Parsed.CheckParts()); r != nil {
		return refuse(r.Code, "%s", r.Detail)
	}
	return nil
}

// reader is one party's way to read a main part.
type reader struct {
	party string
	use   karaulav1.KeyUse
}

// readers gives everybody who must be able to read a main part, and nobody
// else: every other party that has not left, the origin's own copy, the
// auditors of the text.
func (j *judging) readers() map[reader]bool {
	_, receive := terms.KeyUses(j.led.Mode)
	out := make(map[reader]bool)
	said := time.UnixMicro(j.st.GetSaidAt())
	for _, p := range j.text.Parties {
		if left, ok := j.entry.Withdrawals[p.Code]; ok && !said.Before(left) {
			continue
		}
		if p.Code == j.led.Origin {
			out[reader{p.Code, terms.OwnUse(j.led.Mode)}] = true
		} else {
			out[reader{p.Code, receive}] = true
		}
	}
	for _, a := range j.text.Auditors {
		out[reader{a.Code, karaulav1.KeyUse_KEY_USE_AUDIT}] = true
	}
	return out
}

// checkRecipients holds the recipients against the channel's readers: each
// once, in any order. Of the keys only our own are looked at: the origin may
// know a newer card of a third party than we do.
func (j *judging) checkRecipients() *outcome {
	if len(j.st.GetParts()) == 0 {
		return nil
	}
	want := j.readers()
	j.own = -1
	for i, r := range j.st.GetParts()[0].GetRecipients() {
		who := reader{r.GetParty(), r.GetUse()}
		if across(j.led.Mode, who.use) {
			return refuse(karaulav1.Code_CODE_MODE_KEY, "sealed to a key of %s with use %s, in mode %s",
				who.party, terms.UseWord(who.use), terms.ModeWord(j.led.Mode))
		}
		if !want[who] {
			return refuse(karaulav1.Code_CODE_WRONG_RECIPIENTS, "sealed to a key of %s with use %s, which no reader has",
				who.party, terms.UseWord(who.use))
		}
		delete(want, who)
		if who.party == j.Self {
			j.own = i
		}
	}
	for who := range want {
		if who.party != j.Self {
			return refuse(karaulav1.Code_CODE_WRONG_RECIPIENTS, "not sealed to every reader of the channel")
		}
	}
	if j.Self == "" {
		return nil // a witness opens nothing
	}
	if j.own < 0 || !j.ownKey(j.st.GetParts()[0].GetRecipients()[j.own]) {
		return refuse(karaulav1.Code_CODE_WRONG_RECIPIENTS, "not sealed to a key of %s", j.Self)
	}
	return nil
}

// ownKey reports whether one of our own cards has this key for this use.
func (j *judging) ownKey(r *karaulav1.Recipient) bool {
	for _, c := range j.view.Cards(j.Self) {
		if _, ok := c.Key(r.GetUse(), r.GetKeyId()); ok {
			return true
		}
	}
	return false
}

// checkRetention wants an end for every content, not after the longest that a
// clause allows. Which clause it is turns out after opening.
func (j *judging) checkRetention() *outcome {
	kind := j.st.GetKind()
	if !opened(kind) {
		return nil
	}
	var longest time.Duration
	for _, s := range j.channel.Says {
		longest = max(longest, s.Retain)
	}
	if kind == karaulav1.Kind_KIND_ALERT {
		longest = 0
		for _, s := range j.channel.Clauses(j.led.Origin, j.st.GetType()) {
			longest = max(longest, s.Retain)
		}
	}
	if !j.keptWithin(j.keptAtMost(longest)) {
		return refuse(karaulav1.Code_CODE_RETENTION, "erase_after must be after said_at and within the clause's limit")
	}
	return nil
}

// keptWithin reports whether content is erased at most d after it was said.
func (j *judging) keptWithin(d time.Duration) bool {
	said, end := time.UnixMicro(j.st.GetSaidAt()), time.UnixMicro(j.st.GetEraseAfter())
	return end.After(said) && !end.After(said.Add(d))
}

// checkLapsed ends the judging of content that is not there any more or must
// not be read any more.
func (j *judging) checkLapsed() *outcome {
	if !opened(j.st.GetKind()) {
		return nil
	}
	switch {
	case !j.now.Before(time.UnixMicro(j.st.GetEraseAfter())):
		return &outcome{class: karaulav1.VerdictClass_VERDICT_CLASS_EXPIRED, detail: "its retention has ended"}
	case j.p.Parsed.IsStub():
		return &outcome{class: karaulav1.VerdictClass_VERDICT_CLASS_ERASED, detail: "erased before it arrived"}
	default:
		return nil
	}
}

// maxInner is the limit of an inner message, in bytes; its frame is no longer.
const maxInner = envelope.MaxEnvelope
