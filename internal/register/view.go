package register

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"karaula/internal/card"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/signedtext"
)

// View is what the register held at one moment. It never changes and may be
// shared.
//
// Its decisions ([View.Decide], [View.Explain]) take the moment they are
// about. Where a method shows how things stand and has no time among its
// arguments, it shows the moment at which the view was asked for; [View.At]
// shows another one.
type View struct {
	s  *state
	at time.Time
}

// At is the same register as it stands at another moment.
func (v *View) At(at time.Time) *View { return &View{s: v.s, at: at} }

// Time is the moment that the view shows.
func (v *View) Time() time.Time { return v.at }

// Self is the party code of the node.
func (v *View) Self() string { return v.s.self }

// Generation counts the changes of the register; two views with the same one
// hold the same.
func (v *View) Generation() uint64 { return v.s.generation }

// Damaged lists the files that were left out because they don't verify.
func (v *View) Damaged() []Damage { return slices.Clone(v.s.damaged) }

// Reserved reports whether a channel was one of an agreement that was removed.
func (v *View) Reserved(channel string) bool {
	for _, t := range v.s.tombstones {
		if slices.Contains(t.channels, channel) {
			return true
		}
	}
	return false
}

// WithoutText gives those of some channels that no agreement here names, or ever named
// that was removed: the register is behind.
func (v *View) WithoutText(channels []string) []string {
	known := map[string]bool{}
	for _, cv := range v.AllChannels() { // also what has ended, or has not begun
		known[cv.ID] = true
	}
	return slices.DeleteFunc(slices.Clone(channels), func(id string) bool { return known[id] || v.Reserved(id) })
}

// Conflicts lists the files of evidence, relative to the register folder.
func (v *View) Conflicts() []string { return slices.Clone(v.s.conflicts) }

// Card gives a party's current card: the one with the highest serial whose
// root counts.
func (v *View) Card(party string) (*card.Card, bool) {
	c, ok := v.s.index.current[party]
	return c, ok
}

// OwnCard gives the own current card. It is NotFound if there is none, and
// Locked if a damaged file may be a newer one: under an older card everything
// that is said would name keys that do not count any more.
func (v *View) OwnCard() (*card.Card, error) {
	own, ok := v.Card(v.Self())
	dir := "DIR" // of the node
	if v.s.dir != "" {
		dir = filepath.Dir(v.s.dir)
	}
	copied := filepath.Join(dir, v.Self()+".card")
	for _, d := range v.s.damaged {
		name, mine := strings.CutPrefix(filepath.ToSlash(d.Path), partiesDir+"/"+v.Self()+"/")
		serial, err := strconv.ParseUint(strings.TrimSuffix(name, ".card"), 10, 64)
		if !mine || ok && err == nil && serial < own.Serial {
			continue
		}
		return nil, problem.Wrap(problem.Locked, d.Err, "the own card %s is damaged", filepath.Join(v.s.dir, d.Path)).
			WithHint("karaula party add %s --dir %s; each partner has it, too, as DIR/register/%s", copied, dir, filepath.ToSlash(d.Path))
	}
	if !ok {
		return nil, problem.New(problem.NotFound, "the own card is not in the register").
			WithHint("karaula party add %s --dir %s", copied, dir)
	}
	return own, nil
}

// Cards gives all cards of a party whose root counts or counted, ascending by serial.
func (v *View) Cards(party string) []*card.Card { return slices.Clone(v.s.index.cards[party]) }

// CardByDigest finds a card by the digest of its text, as statements name it.
func (v *View) CardByDigest(digest [32]byte) (*card.Card, bool) {
	c, ok := v.s.index.digests[digest]
	return c, ok
}

// LastGood says up to which place of a ledger a party's key counts, as the newest
// of its cards that revokes the key says: the zero place where that card does
// not name the ledger. Not revoked: false.
func (v *View) LastGood(party string, led [32]byte, key [16]byte) (epoch, seq uint64, revoked bool) {
	var by uint64                       // serial of the card that spoke last
	for _, cd := range v.Cards(party) { // ascending by serial
		for _, r := range cd.Revoked {
			if r.Key != key {
				continue
			}
			if cd.Serial != by {
				by, epoch, seq, revoked = cd.Serial, 0, 0, true
			}
			if r.Ledger == led {
				epoch, seq = r.Epoch, r.Seq
			}
		}
	}
	return epoch, seq, revoked
}

// PartyInfo is what is known about a party, for lists.
type PartyInfo struct {
	// Code is the party code.
	Code string
	// Name is the authority's name, by its card or else by an agreement.
	Name string
	// Root is the root verifier key that counts; Fingerprint is the root's.
	Root, Fingerprint string
	// Serial of the current card; 0 if there is none.
	Serial uint64
	// Pinned: an agreement that self signed names the root. If false, the
	// party is unverified.
	Pinned bool
	// PinnedBy lists the ids of these agreements.
	PinnedBy []string
	// Self: it is the node's own party.
	Self bool
}

// Parties lists everybody of whom there is a card or whom a binding agreement
// names, by code; auditors too.
func (v *View) Parties() []PartyInfo {
	names := map[string]string{}
	for _, list := range v.s.texts {
		for _, t := range list {
			if !t.binding(v.s.self) {
				continue
			}
			for _, p := range t.Agreement.Parties {
				names[p.Code] = p.Name
			}
			for _, d := range t.Agreement.Auditors {
				names[d.Code] = d.Name
			}
		}
	}
	for party := range v.s.cards {
		if c, ok := v.Card(party); ok {
			names[party] = c.Name
		}
	}
	out := make([]PartyInfo, 0, len(names))
	for code, name := range names {
		info := PartyInfo{Code: code, Name: name, Self: code == v.s.self}
		keys, by := v.PinnedRoots(code)
		info.Pinned, info.PinnedBy = len(keys) > 0, by
		if c, ok := v.Card(code); ok {
			info.Root, info.Serial = c.Root, c.Serial
		} else if len(keys) > 0 {
			info.Root = keys[0]
		}
		info.Fingerprint, _ = signedtext.Fingerprint(info.Root)
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b PartyInfo) int { return cmp.Compare(a.Code, b.Code) })
	return out
}

// PinnedRoots gives the root verifier keys that agreements pin for a party,
// and the ids of those agreements; both empty if none does.
func (v *View) PinnedRoots(party string) (keys, by []string) {
	p := v.s.index.pins[party]
	return slices.Clone(p.keys), slices.Clone(p.by)
}

// Notices gives all notices of a party, ascending by serial.
func (v *View) Notices(party string) []*notice.Notice { return slices.Clone(v.s.notices[party]) }

// NextNoticeSerial is the serial that a party's next notice takes.
func (v *View) NextNoticeSerial(party string) uint64 {
	list := v.s.notices[party]
	if len(list) == 0 {
		return 1
	}
	return list[len(list)-1].Serial + 1
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
