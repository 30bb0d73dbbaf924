package register

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"karaula/internal/card"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/signedtext"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// maxNotices bounds how many notices of one partner are kept. A partner can make
// as many as it likes, and each is read at every change of the register.
const maxNotices = 1000

// maxChanges bounds how many changes of one root are kept that wait for a person, and
// how many that could have effect by themselves.
const maxChanges = 100

// AddNotice takes in a party's notice about an agreement that is here. It must
// be signed by the party's root, or, where the act allows that, by a notice
// key of the party's newest card here: who finds a key that the party has
// retired must not be able to suspend. A notice that was taken in before stays,
// until a card revokes its key or a root change disowns it. The same notice again changes nothing;
// another one with its serial is a Conflict and is kept
// as evidence. A lower serial than the highest one is taken in: for each party
// and agreement the highest serial in effect rules, whatever came first.
//
// A root change is kept whether it has effect or not ([View.WaitingRoots]); what
// it disowns is moved to the evidence.
//
// A text, card or root that is not here yet is of kind NotFound: try again
// when it is.
func (r *Register) AddNotice(file []byte) error { return r.takeNotice(file, false) }

// BringNotice is [Register.AddNotice] for a file that a person has brought: it is kept
// however many others of its party are here.
func (r *Register) BringNotice(file []byte) error { return r.takeNotice(file, true) }

func (r *Register) takeNotice(file []byte, brought bool) error {
	n, err := notice.Peek(file)
	if err != nil {
		return err
	}
	if err := r.change(func(e *editor) error { return e.addNotice(n, file, brought) }); err != nil || n.Next == "" {
		return err
	}
	return r.throwOut()
}

func (e *editor) addNotice(claimed *notice.Notice, file []byte, brought bool) error {
	s := e.state
	known := func(o *notice.Notice) bool { return o.Serial == claimed.Serial && bytes.Equal(o.Signed, file) }
	if slices.ContainsFunc(s.notices[claimed.Party], known) || slices.ContainsFunc(s.claims[claimed.Party], known) {
		return nil
	}
	n, err := s.openNotice(claimed, file, newest)
	if err != nil {
		return err
	}
	for _, other := range s.notices[n.Party] {
		if other.Serial != n.Serial || n.Act == notice.RootChange || other.Act == notice.RootChange {
			continue
		}
		if other.TextID == n.TextID {
			return nil
		}
		if err := e.keepEvidence(fmt.Sprintf("%s-%d-%s.notice", n.Party, n.Serial, short(n.TextID)), file); err != nil {
			return err
		}
		return problem.New(problem.Conflict,
			"%s signed two different notices with serial %d; this one was kept as evidence, not taken in", n.Party, n.Serial)
	}
	if n.Party != s.self && !brought && s.full(n) {
		return problem.New(problem.Conflict, "as many notices of %s are here already as are kept; no more are taken in", n.Party).
			WithHint("call the authority of %s", n.Party)
	}
	return e.write(noticePath(n), file)
}

// full reports whether as many notices of a party are here as are kept. Changes of a
// root are counted for themselves, and those that wait apart from the others: anybody
// can make some that no root has signed, and who has stolen a root some that it has.
// Neither may keep out a notice, or the change that has effect.
func (s *state) full(n *notice.Notice) bool {
	if n.Act == notice.RootChange {
		accepted := s.acceptances()
		effect, same := s.hasEffect(n, accepted), 0
		for _, o := range s.claims[n.Party] {
			if o.Root == n.Root && s.hasEffect(o, accepted) == effect {
				same++
			}
		}
		return same >= maxChanges
	}
	most := maxNotices
	if n.RootSaid {
		most *= 2 // who has stolen a notice key must not keep a withdrawal out
	}
	return len(s.notices[n.Party]) >= most
}

// openNotice verifies a notice with what is known about its party and checks
// that it is about something here.
func (s *state) openNotice(claimed *notice.Notice, file []byte, of cards) (*notice.Notice, error) {
	verifiers := s.noticeKeys(claimed.Party, of)
	if len(verifiers) == 0 {
		return nil, problem.New(problem.NotFound, "no key of %q is known that could sign a notice", claimed.Party).
			WithHint("karaula party add CARD --dir DIR")
	}
	n, err := notice.Open(file, verifiers...)
	if err != nil {
		return nil, err
	}
	switch n.Act {
	case notice.RootChange:
		return n, s.checkClaim(n)
	case notice.AcceptRoot:
		return n, s.signedStanding(n)
	}
	if err := s.signedStanding(n); err != nil {
		return nil, err
	}
	t := s.text(n.Agreement, n.Digest)
	if t == nil {
		return nil, problem.New(problem.NotFound, "notice %d of %s is about a text of %s that is not here (%s)",
			n.Serial, n.Party, n.Agreement, hex.EncodeToString(n.Digest[:8]))
	}
	if _, ok := t.Agreement.Party(n.Party); !ok {
		return nil, problem.New(problem.Invalid, "%s is not a party of agreement %s, its notice %d says nothing",
			n.Party, n.Agreement, n.Serial)
	}
	return n, nil
}

// rootKeys gives the roots that count for a party: pinned ones, or else those of
// its cards.
func (s *state) rootKeys(party string) []string {
	keys, _ := s.pinned(party)
	if len(keys) > 0 {
		return keys
	}
	for _, c := range s.cards[party] {
		if root := s.changed(party, c.Root); !slices.Contains(keys, root) {
			keys = append(keys, root)
		}
	}
	return keys
}

// cards says whose notice keys count: those of a party's newest card, by which
// a notice comes in, or of any, by which one stays.
type cards bool

const (
	newest cards = true
	every  cards = false
)

// noticeKeys gives the verifiers of a party's roots and notice keys.
// Roots that were replaced are among them: what the change lets stand still counts.
func (s *state) noticeKeys(party string, of cards) []note.Verifier {
	var out []note.Verifier
	seen := map[string]bool{}
	add := func(v note.Verifier) {
		if k := fmt.Sprintf("%s+%08x", v.Name(), v.KeyHash()); !seen[k] {
			seen[k] = true
			out = append(out, v)
		}
	}
	for _, root := range append(s.rootKeys(party), s.everyRoot(party)...) {
		if v, err := signedtext.Verifier(root); err == nil {
			add(v)
		}
	}
	counting := s.counting(party)
	if of == newest && len(counting) > 1 {
		counting = counting[len(counting)-1:]
	}
	for _, c := range counting {
		for _, k := range c.Keys {
			if k.Use != karaulav1.KeyUse_KEY_USE_NOTICE || s.revoked(party, k.ID) {
				continue
			}
			vkey, err := signedtext.VKey(signedtext.NoticeName(party), k.Ed25519)
			if err != nil {
				continue
			}
			if v, err := signedtext.Verifier(vkey); err == nil {
				add(v)
			}
		}
	}
	return out
}

// revoked reports whether any card of a party revokes a key.
func (s *state) revoked(party string, id [16]byte) bool {
	return slices.ContainsFunc(s.cards[party], func(c *card.Card) bool {
		return slices.ContainsFunc(c.Revoked, func(v card.Revocation) bool { return v.Key == id })
	})
}

// counting gives the cards of a party, ascending, that are by a root that
// counts or counted: if an agreement pins the root, others don't.
func (s *state) counting(party string) []*card.Card {
	keys, _ := s.pinned(party)
	var out []*card.Card
	for _, c := range s.cards[party] {
		if s.disowned(party, c.Root, notice.StandsCard, c.Digest) {
			continue
		}
		if len(keys) == 0 || slices.Contains(keys, c.Root) || s.isHistory(c) {
			out = append(out, c)
		}
	}
	return out
}

// maxRounds bounds how often the notices are read anew because what one of them
// says changes who may sign another one. Each round settles at least one.
const maxRounds = 20

// noticeFile is a notice as it lies in the register.
type noticeFile struct {
	path    string
	body    []byte
	claimed *notice.Notice
}

// loadNotices reads the notices in the order of their serials.
func (s *state) loadNotices(r *Register) error {
	var files []noticeFile
	err := s.walk(r, noticesDir, notice.MaxFile, func(path string, body []byte) error {
		n, err := notice.Peek(body)
		if err != nil {
			return err
		}
		if want := noticePath(n); want != path {
			return misplaced(want)
		}
		if n.Act == notice.RootChange {
			if n, err = parse(s, body, openChange); err != nil {
				return err
			}
			s.takeChange(n)
		}
		files = append(files, noticeFile{path, body, n})
		return nil
	})
	slices.SortStableFunc(files, func(a, b noticeFile) int { return compare(a.claimed.Serial, b.claimed.Serial) })
	for _, list := range s.claims {
		slices.SortStableFunc(list, func(a, b *notice.Notice) int { return compare(a.Serial, b.Serial) })
	}
	// A withdrawal can complete a text, that can pin a root, and a root change can
	// take both back: then once more.
	damaged := len(s.damaged)
	for round, again := 0, true; again && round < maxRounds; round++ {
		s.damaged, s.thrown = s.damaged[:damaged], nil
		before := len(s.changes)
		s.readNotices(files)
		again = len(s.changes) != before
		for _, list := range s.texts {
			for _, t := range list {
				again = s.settle(t) || again
			}
		}
	}
	s.dropCards()
	return err
}

// readNotices takes the notices for what they are worth under the roots and texts
// as they are known so far: the own ones first, for they accept others' roots.
func (s *state) readNotices(files []noticeFile) {
	s.notices = map[string][]*notice.Notice{}
	s.settleRoots(s.self, nil)
	read := func(own bool) {
		for _, f := range files {
			if (f.claimed.Party == s.self) == own {
				s.readNotice(f)
			}
		}
	}
	read(true)
	accepted := s.acceptances()
	for _, party := range sortedKeys(s.claims) {
		s.settleRoots(party, accepted)
	}
	read(false)
}

func (s *state) readNotice(f noticeFile) {
	n, err := s.openNotice(f.claimed, f.body, every)
	switch {
	case errors.Is(err, errDisowned):
		s.throw(f.claimed.Party, f.path, f.body)
	case err != nil:
		s.damaged = append(s.damaged, Damage{f.path, err})
	case n.Act != notice.RootChange || s.inEffect(n):
		s.notices[n.Party] = append(s.notices[n.Party], n)
	}
}

// openChange opens a root change by the keys in it.
func openChange(file []byte) (*notice.Notice, error) { return notice.Open(file) }
