package checkup

import (
	"crypto/x509"
	"fmt"
	"iter"
	"slices"
	"time"

	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/node"
	"karaula/internal/register"
	"karaula/internal/terms"
)

// How long before its end something warns, and fails.
const (
	ExpiryWarn = 30 * 24 * time.Hour
	ExpiryFail = 3 * 24 * time.Hour
)

// End is when something signed ends.
type End struct {
	ID    string // of the check: card.expiry, key.expiry, tls.expiry, agreement.expiry
	About string // party code, use of the key, role of the certificate, agreement id
	At    time.Time
	Hint  string // what renews it
}

// Ends lists what ends: the cards of self and of its partners, the own keys and
// certificates, and the agreements in force or still to begin.
func Ends(view *register.View, now time.Time) []End {
	view = view.At(now)
	var out []End
	self := view.Self()
	for _, code := range append([]string{self}, partners(view, now)...) {
		c, ok := view.Card(code)
		if !ok {
			continue // partner.pinned says so
		}
		hint := "ask " + code + " for its next card"
		if code == self {
			hint = "karaula card issue --dir DIR"
			out = append(out, ownEnds(c)...)
		}
		out = append(out, End{CardExpiry, code, c.Until, hint})
	}
	for _, e := range view.Agreements() {
		if p := e.PhaseAt(now); e.Complete && e.SupersededBy == 0 && p != agreement.Closed && p != agreement.WindingDown {
			out = append(out, End{
				AgreementExpiry, e.Agreement.ID, e.EndsAt,
				"agree on a next version: karaula agreement new --id " + e.Agreement.ID + ", sign and add it",
			})
		}
	}
	return out
}

// ownEnds lists the current key of each use, and the current certificate of each role.
func ownEnds(c *card.Card) []End {
	const rotate = "karaula key rotate --dir DIR"
	var out []End
	seen := map[string]bool{}
	for _, k := range c.Keys {
		if use := terms.UseWord(k.Use); !seen[use] {
			seen[use] = true
			out = append(out, End{KeyExpiry, use, k.Until, rotate})
		}
	}
	for role, leaf := range certificates(c) {
		out = append(out, End{TLSExpiry, role, leaf.NotAfter, "karaula key renew --dir DIR"})
	}
	return out
}

// certificates gives the one that a card names first for each role, in its order. What
// cannot be read is passed over.
func certificates(c *card.Card) iter.Seq2[string, *x509.Certificate] {
	return func(yield func(string, *x509.Certificate) bool) {
		seen := map[string]bool{}
		for _, t := range c.TLS {
			leaf, err := x509.ParseCertificate(t.DER)
			if err != nil || seen[t.Role] {
				continue
			}
			seen[t.Role] = true
			if !yield(t.Role, leaf) {
				return
			}
		}
	}
}

// TLSOld is the age from which on TLS keys and login should be renewed while nothing is
// wrong: so long may a theft have gone unseen.
const TLSOld = 2 * 365 * 24 * time.Hour

// LinkKeys makes the checks of how old the certificates are that the own card names
// first for each role. Their keys are as old, and so is the login.
func LinkKeys(view *register.View, now time.Time) []Check {
	c, ok := view.At(now).Card(view.Self())
	if !ok {
		return nil // partner.pinned says so
	}
	var out []Check
	for role, leaf := range certificates(c) {
		age := now.Sub(leaf.NotBefore)
		text := fmt.Sprintf("from %s, %d days old", leaf.NotBefore.UTC().Format(time.DateOnly), int(age.Hours()/24))
		if age < TLSOld {
			out = append(out, Good(TLSAge, role, "%s", text))
		} else {
			out = append(out, Bad(Warn, TLSAge, role, text, "plan a renewal: karaula key renew --dir DIR"))
		}
	}
	return out
}

// partners lists the other parties of channels that are or will be open, by code.
func partners(view *register.View, now time.Time) []string {
	var out []string
	for _, cv := range view.AllChannels() {
		if cv.PhaseAt(now) == agreement.Closed || !slices.Contains(cv.Parties, view.Self()) {
			continue
		}
		for _, p := range cv.Parties {
			if p != view.Self() && !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	slices.Sort(out)
	return out
}

// check turns an end into a check.
func (e End) check(now time.Time) Check {
	left := e.At.Sub(now)
	text := fmt.Sprintf("ends on %s, in %d days", e.At.UTC().Format(time.DateOnly), int(left.Hours()/24))
	switch {
	case left <= 0:
		return Bad(Fail, e.ID, e.About, "ended on "+e.At.UTC().Format(time.DateOnly), e.Hint)
	case left < ExpiryFail:
		return Bad(Fail, e.ID, e.About, text, e.Hint)
	case left < ExpiryWarn:
		return Bad(Warn, e.ID, e.About, text, e.Hint)
	default:
		return Good(e.ID, e.About, "%s", text)
	}
}

// Texts makes the checks of the register and of everything that is signed.
func Texts(reg *register.Register, cfg *node.Config, now time.Time) []Check {
	view := reg.View().At(now)
	var out []Check
	for _, e := range Ends(view, now) {
		out = append(out, e.check(now))
	}
	out = append(out, registerFiles(reg, view)...)
	out = append(out, configured(view, cfg))
	out = append(out, LinkKeys(view, now)...)
	out = append(out, Roots(view, now)...)
	return append(out, pinned(view, now)...)
}

func registerFiles(reg *register.Register, view *register.View) []Check {
	if err := reg.Err(); err != nil {
		return []Check{Bad(Fail, Register, "", "cannot be read; the node goes on with what it read before",
			"look at DIR/register and the disk under it")}
	}
	var out []Check
	for _, d := range view.Damaged() {
		out = append(out, Bad(Fail, Register, d.Path, "does not verify and is left out", "take the file in again: party add, agreement add"))
	}
	if n := len(view.Conflicts()); n > 0 {
		out = append(out, Bad(Warn, Register, "conflicts", fmt.Sprintf("%d files that contradict others are kept as evidence", n),
			"look at them in DIR/register/conflicts, and talk to the party that signed both"))
	}
	if len(out) == 0 {
		out = append(out, Good(Register, "", "every file verifies"))
	}
	return out
}

// configured holds node.yaml against the own card.
func configured(view *register.View, cfg *node.Config) Check {
	own, ok := view.Card(view.Self())
	if !ok {
		return Bad(Fail, Config, "", "there is no card of our own in the register; nobody can be sent or told anything",
			"karaula party add DIR/"+view.Self()+".card --dir DIR")
	}
	if own.Name != cfg.Name || !slices.Equal(own.Address, cfg.Addresses()) {
		return Bad(Warn, Config, "", "name or addresses in node.yaml are not those of our card: partners know the card's",
			"karaula card issue --dir DIR")
	}
	return Good(Config, "", "node.yaml and card %d agree", own.Serial)
}

// pinned looks whether partners' root keys are what we signed for.
func pinned(view *register.View, now time.Time) []Check {
	var out []Check
	known := map[string]register.PartyInfo{}
	for _, info := range view.Parties() {
		known[info.Code] = info
	}
	for _, code := range partners(view, now) {
		info, ok := known[code]
		_, has := view.Card(code)
		switch {
		case !ok || !has:
			out = append(out, Bad(Fail, PartnerPinned, code, "has no card here: it cannot connect, and we cannot reach it",
				"karaula party add FILE --dir DIR"))
		case !info.Pinned:
			out = append(out, Bad(Warn, PartnerPinned, code, "no agreement that we signed names its root key",
				"compare the fingerprint with "+code+" by telephone: karaula party show "+code+" --dir DIR"))
		default:
			out = append(out, Good(PartnerPinned, code, "root %s is pinned by an agreement that we signed", info.Fingerprint))
		}
	}
	return out
}
