package register

import (
	"cmp"
	"math"
	"path"
	"slices"

	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/notice"
	"karaula/internal/problem"
)

// rootOf names a root of a party by its verifier key.
type rootOf struct{ party, vkey string }

// ownRootFile holds the verifier key that a person at this machine has put in
// the place of the node's own root; see [Register.TakeOwnRoot].
const ownRootFile = "own-root"

// takeChange keeps a root change that verifies by itself. Whether it has effect
// is found out by [state.settleRoots].
func (s *state) takeChange(n *notice.Notice) {
	same := func(o *notice.Notice) bool { return o.TextID == n.TextID }
	if !slices.ContainsFunc(s.claims[n.Party], same) {
		s.claims[n.Party] = append(s.claims[n.Party], n)
	}
}

// settleRoots finds out which changes of a party's root have effect. One has if
//
//   - the replaced root has signed it and had announced the next root, or
//   - self's root has accepted it, or, for self, a person at this machine has.
//
// What was accepted goes before what was announced, or else whoever stole both
// roots could never be got rid of; among equals the highest serial rules.
func (s *state) settleRoots(party string, accepted map[[32]byte]uint64) {
	for again := true; again; {
		again = false
		for _, n := range s.claims[party] {
			at := rootOf{party, n.Root}
			if !s.hasEffect(n, accepted) || s.changes[at] == n {
				continue
			}
			if have := s.changes[at]; have == nil || s.outranks(n, have, accepted) {
				s.changes[at], again = n, true
			}
		}
	}
}

func (s *state) hasEffect(n *notice.Notice, accepted map[[32]byte]uint64) bool {
	if _, ok := accepted[n.TextID]; ok || s.named(n) {
		return true
	}
	return n.RootSaid && slices.ContainsFunc(s.announced(n.Party, n.Root), n.IsNext)
}

func (s *state) outranks(n, have *notice.Notice, accepted map[[32]byte]uint64) bool {
	rank := func(n *notice.Notice) uint64 {
		if s.named(n) {
			return math.MaxUint64
		}
		return accepted[n.TextID]
	}
	return cmp.Or(cmp.Compare(rank(n), rank(have)), cmp.Compare(n.Serial, have.Serial),
		slices.Compare(n.TextID[:], have.TextID[:])) > 0
}

// named reports whether a person has named the root that takes over.
func (s *state) named(n *notice.Notice) bool {
	return slices.Contains(s.believed, n.Next) || n.Party == s.self && n.Next == s.ownRoot
}

// acceptances gives, by the digest of its text, the serial with which self has
// accepted a change. Who reads somebody's files believes only what it names itself.
func (s *state) acceptances() map[[32]byte]uint64 {
	out := map[[32]byte]uint64{}
	if len(s.believed) > 0 {
		return out
	}
	for _, n := range s.notices[s.self] {
		if n.Act == notice.AcceptRoot {
			out[n.Digest] = n.Serial
		}
	}
	return out
}

// waiting gives the changes of a party's present root that have no effect.
func (s *state) waiting(party string) []*notice.Notice {
	var out []*notice.Notice
	for _, n := range s.claims[party] {
		if slices.Contains(s.rootKeys(party), n.Root) {
			out = append(out, n)
		}
	}
	return out
}

// inEffect reports whether a change is the one that replaced its root.
func (s *state) inEffect(n *notice.Notice) bool {
	have := s.changes[rootOf{n.Party, n.Root}]
	return have != nil && have.TextID == n.TextID
}

// checkClaim refuses a root change that concerns no root that the party has here.
func (s *state) checkClaim(n *notice.Notice) error {
	if slices.Contains(s.everyRoot(n.Party), n.Root) {
		return nil
	}
	return problem.New(problem.Verification, "notice %d of %s replaces a root that %s does not have here",
		n.Serial, n.Party, n.Party).WithHint("call the authority of %s", n.Party)
}

// everyRoot gives all roots that count or counted for a party.
func (s *state) everyRoot(party string) []string {
	var out []string
	for _, list := range s.texts {
		for _, t := range list {
			if root := t.rootOf(party); root != "" && t.whole {
				out = append(out, s.lineage(party, root)...)
			}
		}
	}
	if keys, _ := s.pinned(party); len(keys) == 0 {
		for _, c := range s.cards[party] {
			out = append(out, s.lineage(party, c.Root)...)
		}
	}
	return out
}

// signedStanding refuses a notice by a root that was replaced, unless the change
// lets it stand.
func (s *state) signedStanding(n *notice.Notice) error {
	if !n.RootSaid {
		return nil // a notice key counts as far as its card does
	}
	for _, root := range s.everyRoot(n.Party) {
		if signedBy(n, root) && s.disowned(n.Party, root, notice.StandsNotice, n.TextID) {
			return problem.Wrap(problem.Verification, errDisowned, "notice %d of %s", n.Serial, n.Party)
		}
	}
	return nil
}

// errDisowned is why something that is validly signed counts no more.
var errDisowned = problem.New(problem.Verification,
	"signed by a root that was replaced, and not among what its replacement lets stand")

// RootChanges gives the changes of a party's root that have effect, in order.
func (v *View) RootChanges(party string) []*notice.Notice {
	var out []*notice.Notice
	for _, n := range v.s.claims[party] {
		if v.s.inEffect(n) {
			out = append(out, n)
		}
	}
	return out
}

// WaitingRoots gives the changes of a party's present root that have no effect
// here: its replaced root has not signed them, or never announced the next one.
// A person compares fingerprints, and accepts ([notice.AcceptRoot]).
func (v *View) WaitingRoots(party string) []*notice.Notice { return v.s.waiting(party) }

// Announced reports whether the next root of a change was announced by the root
// that it replaces.
func (v *View) Announced(n *notice.Notice) bool {
	return slices.ContainsFunc(v.s.announced(n.Party, n.Root), n.IsNext)
}

// Root gives the root that counts for a party, by the agreements or else its
// newest card.
func (v *View) Root(party string) (vkey string, ok bool) {
	if keys := v.s.index.pins[party].keys; len(keys) > 0 {
		return keys[0], true
	}
	list := v.s.cards[party]
	if len(list) == 0 {
		return "", false
	}
	return v.s.changed(party, list[len(list)-1].Root), true
}

// Follows reports whether one root of a party is another, or was changed into it.
func (v *View) Follows(party, from, to string) bool {
	return slices.Contains(v.s.lineage(party, from), to)
}

// Disowned reports whether a card, here or not, counts no more because its root was
// replaced, and the change does not let it stand.
func (v *View) Disowned(c *card.Card) bool {
	return v.s.disowned(c.Party, c.Root, notice.StandsCard, c.Digest)
}

// Standing gives all that a party's present root has signed and that the register
// holds: what its replacement must name.
func (v *View) Standing(party string) []notice.Stand {
	root, ok := v.Root(party)
	if !ok {
		return nil
	}
	var out []notice.Stand
	for _, list := range v.s.texts {
		for _, t := range list {
			if t.rootOf(party) == root && slices.Contains(t.SignedBy, party) {
				out = append(out, notice.Stand{Kind: notice.StandsAgreement, Digest: t.Agreement.Digest})
			}
		}
	}
	for _, n := range v.s.notices[party] {
		if n.RootSaid && n.Act != notice.RootChange && signedBy(n, root) {
			out = append(out, notice.Stand{Kind: notice.StandsNotice, Digest: n.TextID})
		}
	}
	for _, c := range slices.Backward(v.s.cards[party]) { // the newest first: there is room for so many
		if c.Root == root && len(out) < notice.MaxStands {
			out = append(out, notice.Stand{Kind: notice.StandsCard, Digest: c.Digest})
		}
	}
	return notice.SortStands(out)
}

// FallsWith gives the agreements here that the replaced root of a change has signed
// and that the change does not name: they go out of force when it has effect.
func (v *View) FallsWith(change *notice.Notice) []*agreement.Agreement {
	var out []*agreement.Agreement
	for _, list := range v.s.texts {
		for _, t := range list {
			signed := t.rootOf(change.Party) == change.Root && slices.Contains(t.SignedBy, change.Party)
			if signed && !change.HasStand(notice.StandsAgreement, t.Agreement.Digest) {
				out = append(out, t.Agreement)
			}
		}
	}
	slices.SortFunc(out, func(a, b *agreement.Agreement) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Version, b.Version))
	})
	return out
}

// Fallen is an agreement that everybody has signed, and that is out of force because
// changes of the roots of some parties do not name it.
type Fallen struct {
	Agreement *agreement.Agreement
	By        []string // those parties
}

// Fallen gives the agreements of this party that have fallen so and were not replaced by
// another text, nor come to their end.
func (v *View) Fallen() []Fallen {
	var out []Fallen
	for _, id := range sortedKeys(v.s.texts) {
		list := v.s.texts[id]
		t := list[len(list)-1]
		if _, in := t.Agreement.Party(v.s.self); !in || !t.whole || t.complete || !v.at.Before(t.Agreement.ValidUntil) {
			continue
		}
		out = append(out, Fallen{t.Agreement, slices.Compact(slices.Sorted(slices.Values(t.missing)))})
	}
	return out
}

// TakeOwnRoot takes in a change of the node's own root that the replaced root has
// not signed, because it is lost. Nobody else can say that it is meant, so a
// person at the machine does, on every machine of the node.
func (r *Register) TakeOwnRoot(file []byte) error {
	n, err := notice.Open(file)
	if err != nil {
		return err
	}
	if n.Act != notice.RootChange || n.Party != r.self {
		return problem.New(problem.Invalid, "this is no change of the root of %s; nothing was changed", r.self)
	}
	err = r.change(func(e *editor) error {
		if err := e.state.checkClaim(n); err != nil {
			return err
		}
		if err := e.write(ownRootFile, []byte(n.Next+"\n")); err != nil {
			return err
		}
		return e.write(noticePath(n), file)
	})
	if err != nil {
		return err
	}
	return r.throwOut()
}

// throwOut moves what a change of a root disowns to the evidence.
func (r *Register) throwOut() error {
	return r.change(func(e *editor) error {
		for _, f := range e.state.thrown {
			if err := e.keepEvidence("disowned-"+f.party+"-"+path.Base(f.path), f.body); err != nil {
				return err
			}
			if err := e.remove(f.path); err != nil {
				return err
			}
		}
		return nil
	})
}

// thrown is a file that counts no more, since its root was replaced.
type thrown struct {
	party, path string
	body        []byte
}

// throw leaves a file out.
func (s *state) throw(party, at string, body []byte) {
	s.thrown = append(s.thrown, thrown{party, at, body})
}

// dropCards leaves out the cards that the changes of their roots disown.
func (s *state) dropCards() {
	for party, list := range s.cards {
		s.cards[party] = slices.DeleteFunc(list, func(c *card.Card) bool {
			gone := s.disowned(party, c.Root, notice.StandsCard, c.Digest)
			if gone {
				s.throw(party, cardPath(c), c.Signed)
			}
			return gone
		})
	}
}
