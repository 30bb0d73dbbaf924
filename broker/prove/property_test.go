package prove

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"karaula/internal/notice"
	"karaula/internal/subject"
	"karaula/internal/testworld"
)

// Whatever agreements there are, and however they stand, the text permits what
// they say and nothing else. The live broker is not asked: this is for breadth.
func TestRandomAgreementsPermitWhatTheySay(t *testing.T) {
	t.Parallel()
	codes := []string{"al", "me", "xk", "rs"}
	rapid.Check(t, func(rt *rapid.T) {
		w := testworld.New(t, codes...)
		at := w.Now
		for i := range rapid.IntRange(1, 3).Draw(rt, "agreements") {
			parties := rapid.Permutation(codes).Draw(rt, "parties")[:rapid.IntRange(2, 4).Draw(rt, "size")]
			says := rapid.SampledFrom(parties).Draw(rt, "says")
			typ := rapid.SampledFrom([]string{"vehicle", "patrol", "person", "firearm"}).Draw(rt, "type")
			a := w.Agree(w.Text(fmt.Sprintf("a%d", i), parties,
				fmt.Sprintf("say %s trafficking", parties[0]), fmt.Sprintf("say %s %s", says, typ)))
			if rapid.Bool().Draw(rt, "suspended") {
				by := rapid.SampledFrom(parties).Draw(rt, "by")
				w.Give(w.Notice(by, a, notice.Suspend), parties...)
			}
			at = rapid.SampledFrom([]time.Time{
				at, a.ValidFrom.Add(-time.Second), a.ValidUntil.Add(-time.Second), a.ValidUntil, a.ClosesAt(),
			}).Draw(rt, "at")
		}
		code := rapid.SampledFrom(codes).Draw(rt, "broker")
		b := &bench{law: newLaw(w.View(code), at), site: site(t, w, code, at)}
		if _, err := b.read(t.TempDir()); err != nil {
			rt.Fatal(err)
		}
		if b.askText(rt) == 0 {
			rt.Fatal("nothing was asked")
		}
	})
}

// askText compares the agreements with the text alone.
func (b *bench) askText(rt *rapid.T) (asked int) {
	for _, w := range b.law.everybody() {
		for _, q := range b.law.questions(w) {
			asked++
			if got := b.text(w, q); got != q.law.yes {
				rt.Errorf("%s at %s's: %s by %s: text %v, agreements %v: %s", w, b.law.owner, q.means, q.subject, got, q.law.yes, q.law.why)
			}
		}
	}
	gw := b.cast.actors[who{b.law.owner, subject.RoleGateway}]
	for _, d := range b.law.deliveries() {
		asked++
		if got := b.config.delivers(gw, b.cast.actors[who{d.reader, partner}], d); got != d.law.yes {
			rt.Errorf("%s on %s from %s to %s: text %v: %s", d.token, d.channel.ID, d.origin, d.reader, got, d.law.why)
		}
	}
	for _, text := range b.config.structure(b.law, b.known()) {
		rt.Error(text)
	}
	if len(b.law.streams()) < 5 || !slices.Contains(b.law.parties, b.law.owner) {
		rt.Error("the scene is empty")
	}
	return asked
}
