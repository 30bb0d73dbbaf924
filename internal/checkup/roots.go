package checkup

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"karaula/internal/agreement"
	"karaula/internal/notice"
	"karaula/internal/register"
	"karaula/internal/signedtext"
)

// RootOld is the age from which on a root key should be changed while nothing is
// wrong: so long may a theft have gone unseen.
const RootOld = 5 * 365 * 24 * time.Hour

// Roots makes the checks of root keys: how old those are that count, and which
// changes of one wait for a person.
func Roots(view *register.View, now time.Time) []Check {
	self := view.Self()
	others := partners(view, now)
	var out []Check
	for _, code := range append([]string{self}, others...) {
		root, ok := view.Root(code)
		if !ok {
			continue // partner.pinned says so
		}
		out = append(out, rootAge(view, code, root, now))
	}
	for _, code := range others {
		for _, n := range view.WaitingRoots(code) {
			finger, _ := signedtext.Fingerprint(n.Next)
			out = append(out, Bad(Warn, RootChange, code, "says that its root key was replaced by "+finger+", which its replaced root "+
				word(view.Announced(n), "announced but has not signed", "never announced"),
				"have the fingerprint read to you by telephone: karaula party root "+code+" --fingerprint TEXT --dir DIR"))
		}
	}
	for _, f := range view.Fallen() {
		out = append(out, Bad(Warn, RootChange, f.Agreement.ID, FallenText(f), "call "+strings.Join(f.By, ", ")+
			": if it should stand, all its parties sign a new one; if not: karaula agreement remove "+f.Agreement.ID+" --dir DIR"))
	}
	return append(out, notAccepted(view, others)...)
}

// FallenText says why an agreement is out of force that everybody has signed.
func FallenText(f register.Fallen) string {
	return fmt.Sprintf("%s version %d is out of force: the root key of %s that has signed it was replaced, and the change does not name it",
		f.Agreement.ID, f.Agreement.Version, strings.Join(f.By, ", "))
}

func word(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

// rootAge says since when a root counts, as far as this node knows.
func rootAge(view *register.View, code, root string, now time.Time) Check {
	since := now
	for _, c := range view.Cards(code) {
		if c.Root == root && c.Issued.Before(since) {
			since = c.Issued
		}
	}
	for _, n := range view.RootChanges(code) {
		if n.Next == root && n.Effective.Before(since) {
			since = n.Effective
		}
	}
	finger, _ := signedtext.Fingerprint(root)
	text := fmt.Sprintf("root %s counts since %s, %d days", finger, since.UTC().Format(time.DateOnly), int(now.Sub(since).Hours()/24))
	switch {
	case now.Sub(since) < RootOld:
		return Good(RootAge, code, "%s", text)
	case code == view.Self():
		return Bad(Warn, RootAge, code, text, "plan a change: karaula key root change --reason TEXT --after FILE --dir DIR")
	default:
		return Bad(Warn, RootAge, code, text, "ask "+code+" whether it plans a change")
	}
}

// notAccepted lists the partners that must still accept the own root.
func notAccepted(view *register.View, others []string) []Check {
	changes := view.RootChanges(view.Self())
	if len(changes) == 0 {
		return nil
	}
	last := changes[len(changes)-1]
	if last.RootSaid && view.Announced(last) {
		return nil // partners believe it by themselves
	}
	var missing []string
	for _, code := range others {
		accepts := func(n *notice.Notice) bool { return n.Act == notice.AcceptRoot && n.Digest == last.TextID }
		if !slices.ContainsFunc(view.Notices(code), accepts) && underOld(view, code, last) {
			missing = append(missing, code)
		}
	}
	if len(missing) == 0 {
		return []Check{Good(RootChange, view.Self(), "every partner has accepted our new root")}
	}
	finger, _ := signedtext.Fingerprint(last.Next)
	return []Check{Bad(Warn, RootChange, view.Self(), "not accepted yet by "+strings.Join(missing, ", ")+": our new root "+finger,
		"read the fingerprint to them by telephone; they run karaula party root "+view.Self())}
}

// underOld reports whether an agreement with a partner names the root that a
// change has replaced.
func underOld(view *register.View, code string, change *notice.Notice) bool {
	return slices.ContainsFunc(view.Agreements(), func(e *register.Entry) bool {
		own, _ := e.Agreement.Party(view.Self())
		_, in := e.Agreement.Party(code)
		return in && own != nil && own.Root == change.Root && e.SupersededBy == 0 && e.PhaseAt(view.Time()) != agreement.Closed
	})
}
