package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"karaula/internal/card"
	"karaula/internal/register"
	"karaula/internal/terms"
)

// partyInfo is what the register knows about a party.
type partyInfo struct {
	Party       string   `json:"party"`
	Name        string   `json:"name"`
	Fingerprint string   `json:"fingerprint"` // of the root that counts
	Serial      uint64   `json:"serial"`      // of the current card, 0 without one
	State       string   `json:"state"`       // stateSelf, statePinned or stateUnverified
	PinnedBy    []string `json:"pinned_by"`   // agreements that name the root
}

// The states of a party's root.
const (
	stateSelf       = "self"       // the node's own
	statePinned     = "pinned"     // an agreement that all its parties signed names it
	stateUnverified = "unverified" // only people can compare its fingerprint
)

func describeParty(i register.PartyInfo) partyInfo {
	out := partyInfo{
		Party: i.Code, Name: i.Name, Fingerprint: i.Fingerprint, Serial: i.Serial, State: stateUnverified,
		PinnedBy: append([]string{}, i.PinnedBy...),
	}
	switch {
	case i.Self:
		out.State = stateSelf
	case i.Pinned:
		out.State = statePinned
	}
	return out
}

// trust says the state in words, with what it rests on.
func (i partyInfo) trust() string {
	switch i.State {
	case statePinned:
		return "pinned by " + list(i.PinnedBy)
	case stateUnverified:
		return "unverified: no agreement that all have signed names this root"
	default:
		return i.State
	}
}

type partyListResult struct {
	Parties []partyInfo `json:"parties"`
}

func (r partyListResult) page(p *page) {
	rows := make([][]string, 0, len(r.Parties))
	for _, i := range r.Parties {
		serial := ""
		if i.Serial > 0 {
			serial = strconv.FormatUint(i.Serial, 10)
		}
		rows = append(rows, []string{i.Party, serial, i.Fingerprint, i.State, i.Name})
	}
	p.table([]string{"party", "card", "fingerprint", "state", "name"}, rows)
}

// partyAddResult says what became of a card.
type partyAddResult struct {
	partyInfo
	Known bool `json:"known"` // the same card was there already
}

func (r partyAddResult) page(p *page) {
	p.fields(
		field{"party", r.Party + "  " + r.Name},
		field{"card", strconv.FormatUint(r.Serial, 10)},
		field{"fingerprint", r.Fingerprint},
		field{"state", r.trust()},
	)
}

// partyShowResult is a party with its current card.
type partyShowResult struct {
	partyInfo
	Cards []uint64    `json:"cards"` // serials in the register
	Card  *cardResult `json:"card,omitempty"`
}

func (r partyShowResult) page(p *page) {
	serials := make([]string, 0, len(r.Cards))
	for _, n := range r.Cards {
		serials = append(serials, strconv.FormatUint(n, 10))
	}
	p.fields(
		field{"party", r.Party + "  " + r.Name},
		field{"fingerprint", r.Fingerprint},
		field{"state", r.trust()},
		field{"cards", list(serials)},
	)
	if r.Card != nil {
		p.blank()
		r.Card.page(p)
	}
}

func newParty(a *app) *cobra.Command {
	return group("party", "keep the cards of partners",
		`A card holds a party's public keys and addresses, signed by its root key. It is
believed as far as its root is: an agreement that all its parties have signed pins
the root; until then the party is "unverified", and two people compare fingerprints
by telephone.`,
		newPartyAdd(a), newPartyList(a), newPartyShow(a), newPartyRoot(a), newPartyRemove(a))
}

func newPartyAdd(a *app) *cobra.Command {
	var dir, fingerprint string
	c := &cobra.Command{
		Use:   "add CARD --dir DIR",
		Short: "take in a partner's card",
		Long: `Takes a partner's card into the node and prints its root's fingerprint. Refused
are a bad signature, another root than the pinned one or the one seen first, and a
lower serial. A running node picks it up without a restart.`,
		Example: `  karaula party add me.card --dir al
  karaula party add me.card --dir al --fingerprint "584E 1A7D 6E88 1C9B 7B4D D1A0 250C 4FD4"`,
		Args: positional("CARD"),
	}
	dirFlag(c, &dir)
	c.Flags().StringVar(&fingerprint, "fingerprint", "", "what the partner said by telephone; any other card is refused")
	c.RunE = func(_ *cobra.Command, args []string) error {
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		body, err := a.readFile(args[0], "card", card.MaxFile)
		if err != nil {
			return err
		}
		res, err := n.reg.AddCard(body, register.AddCardOptions{Fingerprint: fingerprint})
		if err != nil {
			return err
		}
		for _, w := range res.Warnings {
			a.note("%s", w)
		}
		info, _ := infoOf(n.reg.View(), res.Card.Party)
		out := partyAddResult{partyInfo: describeParty(info), Known: res.Known}
		if out.State == stateUnverified && fingerprint == "" {
			a.note("compare the fingerprint with the authority of %s by telephone before anything is signed", out.Party)
		}
		return a.show(out)
	}
	return c
}

// infoOf finds one party of the register.
func infoOf(v *register.View, code string) (register.PartyInfo, bool) {
	for _, i := range v.Parties() {
		if i.Code == code {
			return i, true
		}
	}
	return register.PartyInfo{}, false
}

func newPartyList(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:     "list --dir DIR",
		Short:   "list the parties that the node knows",
		Example: "  karaula party list --dir al",
		Args:    positional(),
	}
	dirFlag(c, &dir)
	c.RunE = func(*cobra.Command, []string) error {
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		out := partyListResult{Parties: []partyInfo{}}
		for _, i := range n.reg.View().Parties() {
			out.Parties = append(out.Parties, describeParty(i))
		}
		return a.show(out)
	}
	return c
}

func newPartyShow(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:     "show PARTY --dir DIR",
		Short:   "show a party and its current card",
		Example: "  karaula party show me --dir al",
		Args:    positional("PARTY"),
	}
	dirFlag(c, &dir)
	c.RunE = func(_ *cobra.Command, args []string) error {
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		v := n.reg.View()
		info, ok := infoOf(v, args[0])
		if !ok {
			return notFound("party", args[0], dir)
		}
		out := partyShowResult{partyInfo: describeParty(info), Cards: []uint64{}}
		for _, c := range v.Cards(args[0]) {
			out.Cards = append(out.Cards, c.Serial)
		}
		if c, ok := v.Card(args[0]); ok {
			shown := describeCard(c)
			out.Card = &shown
		}
		return a.show(out)
	}
	return c
}

type partyRemoveResult struct {
	Removed string `json:"removed"` // party code
}

func (r partyRemoveResult) page(p *page) { p.line("removed the cards of %s", r.Removed) }

func newPartyRemove(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "remove PARTY --dir DIR",
		Short: "forget the cards of a party that no agreement pins",
		Long: `Forgets all cards of a party, so that a card by another root may be taken in. A
party whose root an agreement pins is not forgotten.`,
		Example: "  karaula party remove me --dir al",
		Args:    positional("PARTY"),
	}
	dirFlag(c, &dir)
	c.RunE = func(_ *cobra.Command, args []string) error {
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		if !terms.ValidParty(args[0]) {
			return notFound("party", strings.TrimSpace(args[0]), dir)
		}
		if err := n.reg.RemoveParty(args[0]); err != nil {
			return err
		}
		return a.show(partyRemoveResult{Removed: args[0]})
	}
	return c
}
