package main

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"karaula/cmd/karaula/internal/setup"
	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/terms"
)

// cardResult shows a card.
type cardResult struct {
	Party       string    `json:"party"`
	Name        string    `json:"name"`
	Serial      uint64    `json:"serial"`
	Fingerprint string    `json:"fingerprint"` // of the root that signed
	Root        string    `json:"root"`        // verifier key
	Digest      string    `json:"digest"`      // of the text, as statements name the card
	Issued      time.Time `json:"issued"`
	Until       time.Time `json:"until"`
	Addresses   []string  `json:"addresses"`
	Contact     string    `json:"contact,omitempty"`
	Keys        []keyInfo `json:"keys"`
}

// keyInfo is one online key of a card.
type keyInfo struct {
	Use   string    `json:"use"`
	Alg   string    `json:"alg"`
	ID    string    `json:"id"` // hex
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

func describeCard(c *card.Card) cardResult {
	out := cardResult{
		Party: c.Party, Name: c.Name, Serial: c.Serial, Fingerprint: c.Fingerprint(), Root: c.Root,
		Digest: agreement.FormatDigest(c.Digest), Issued: c.Issued, Until: c.Until,
		Addresses: append([]string{}, c.Address...), Contact: c.Contact, Keys: []keyInfo{},
	}
	for _, k := range c.Keys {
		out.Keys = append(out.Keys, keyInfo{
			Use: terms.UseWord(k.Use), Alg: k.Alg, ID: hex.EncodeToString(k.ID[:]), From: k.From, Until: k.Until,
		})
	}
	return out
}

func (r cardResult) page(p *page) {
	p.fields(
		field{"card", fmt.Sprintf("%s serial %d  %s", r.Party, r.Serial, r.Name)},
		field{"fingerprint", r.Fingerprint},
		field{"digest", r.Digest},
		field{"valid", agreement.FormatTime(r.Issued) + " until " + agreement.FormatTime(r.Until)},
		field{"addresses", list(r.Addresses)},
		field{"contact", r.Contact},
	)
	p.blank()
	rows := make([][]string, 0, len(r.Keys))
	for _, k := range r.Keys {
		rows = append(rows, []string{k.Use, k.Alg, k.ID, agreement.FormatTime(k.From), agreement.FormatTime(k.Until)})
	}
	p.table([]string{"key", "algorithm", "id", "from", "until"}, rows)
}

func newCard(a *app) *cobra.Command {
	return group("card", "show cards, and issue the own node's next one",
		`A card holds a party's public keys and addresses, signed by its root key, with a
serial that may only grow.`,
		newCardShow(a), newCardIssue(a))
}

func newCardShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show CARD",
		Short: "verify a card's signature and show what it holds",
		Long: `Verifies a card's signature by the root that it names, and shows what it holds.
Whether the root is the party's is for agreements and people to say.`,
		Example: "  karaula card show me.card\n  karaula card show - < me.card",
		Args:    positional("CARD"),
		RunE: func(_ *cobra.Command, args []string) error {
			body, err := a.readFile(args[0], "card", card.MaxFile)
			if err != nil {
				return err
			}
			c, err := card.Open(body)
			if err != nil {
				return err
			}
			return a.show(describeCard(c))
		},
	}
}

// cardIssueResult is the new card and the file that it is in.
type cardIssueResult struct {
	File string     `json:"file"`
	Card cardResult `json:"card"`
}

func (r cardIssueResult) page(p *page) {
	p.fields(field{"file", r.File})
	r.Card.page(p)
}

func newCardIssue(a *app) *cobra.Command {
	var o setup.CardOptions
	var dir, contact string
	c := &cobra.Command{
		Use:   "issue --dir DIR",
		Short: "issue the own node's next card, signed by the root key",
		Long: `Issues the next card of the node from its keys and configuration, and signs it
with the root key: after a change of name or advertise in node.yaml, before the
present card ends, or with --rotate with new sign, link, seal and archive keys.
The serial grows by one. A running node picks the card up and gives it to its
partners; new keys need a stopped node.`,
		Example: `  karaula card issue --dir al
  karaula card issue --dir al --address karaula.example.org:7422 --root-key /media/safe/al.root
  karaula card issue --dir al --rotate`,
		Args: positional(),
	}
	dirFlag(c, &dir)
	f := c.Flags()
	f.StringSliceVar(&o.Address, "address", nil, "host:port that partners are told (default: as node.yaml says)")
	f.StringVar(&contact, "contact", "", "how to reach the authority's duty desk (default: as before)")
	f.BoolVar(&o.Rotate, "rotate", false, "make new online keys first; old ones stay, for what was sealed to them")
	pass := passphraseFlag(c, "the keys")
	rootPass := rootFlags(c, &o.RootKey, pass)
	c.RunE = func(c *cobra.Command, _ []string) error {
		o.Passphrase, o.RootPassphrase, o.Now = pass(), rootPass(), a.now()
		if c.Flags().Changed("contact") {
			o.Contact = &contact
		}
		issued, err := setup.IssueCard(c.Context(), dir, o)
		if err != nil {
			return err
		}
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		return a.show(cardIssueResult{File: n.Card(issued.Party), Card: describeCard(issued)})
	}
	return c
}
