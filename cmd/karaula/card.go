package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"karaula/cmd/karaula/internal/setup"
	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
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
	Revoked     []string  `json:"revoked,omitempty"` // key id, ledger, epoch and number as the card writes them
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
	for _, r := range c.Revoked {
		out.Revoked = append(out.Revoked, fmt.Sprintf("%x last-good %x:%d:%d", r.Key, r.Ledger, r.Epoch, r.Seq))
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
	for _, r := range r.Revoked {
		p.line("revoked %s", r)
	}
}

func newCard(a *app) *cobra.Command {
	return group("card", "show cards, and issue the own node's next one",
		`A card holds a party's public keys and addresses, signed by its root key, with a
serial that may only grow.`,
		newCardShow(a), newCardIssue(a), newCardSign(a), newCardTake(a), newCardConfirm(a))
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
	File    string     `json:"file"`
	Request bool       `json:"request"` // true: nobody has signed it yet
	Card    cardResult `json:"card"`
}

func (r cardIssueResult) page(p *page) {
	if r.Request {
		p.fields(field{"request", r.File + ", to be signed by the root key: karaula card sign"})
	} else {
		p.fields(field{"file", r.File})
	}
	r.Card.page(p)
}

func newCardIssue(a *app) *cobra.Command {
	var o setup.CardOptions
	var dir, contact, request string
	c := &cobra.Command{
		Use:   "issue --dir DIR",
		Short: "issue the own node's next card, signed by the root key",
		Long: `Issues the next card of the node from its keys and configuration, and signs it
with the root key: after a change of name or advertise in node.yaml, before the
present card ends, or with --rotate with new keys (see karaula key rotate). The
serial grows by one. A running node picks the card up and gives it to its partners.

Where the root key is on another machine, --request FILE writes what is to be
signed there with karaula card sign, and taken in here with karaula card take.`,
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
	requestFlag(c, &request)
	c.RunE = func(c *cobra.Command, _ []string) error {
		o.Passphrase, o.RootPassphrase, o.Now = pass(), rootPass(), a.now()
		o.Loaded = a.loaded(dir)
		if c.Flags().Changed("contact") {
			o.Contact = &contact
		}
		out, err := a.nextCard(c.Context(), dir, request, o)
		if err != nil {
			return err
		}
		return a.show(*out)
	}
	return c
}

// requestFlag adds --request.
func requestFlag(c *cobra.Command, request *string) {
	c.Flags().StringVar(request, "request", "", "new file for what another machine, with the root key, is to sign")
}

// nextCard issues a node's next card, or writes the request for it.
func (a *app) nextCard(ctx context.Context, dir, request string, o setup.CardOptions) (*cardIssueResult, error) {
	if request == "" {
		issued, err := setup.IssueCard(ctx, dir, o)
		if err != nil {
			return nil, err
		}
		l := node.Layout{Dir: dir}
		return &cardIssueResult{File: l.Card(issued.Party), Card: describeCard(issued)}, nil
	}
	if _, err := os.Lstat(request); err == nil {
		return nil, problem.New(problem.Conflict, "%s exists; no request was written", request)
	}
	text, draft, err := setup.RequestCard(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	return &cardIssueResult{File: request, Request: true, Card: describeCard(draft)}, setup.WriteFile(request, text, 0o644)
}

func newCardSign(a *app) *cobra.Command {
	var o struct{ key, out string }
	c := &cobra.Command{
		Use:   "sign REQUEST --root-key FILE --out CARD",
		Short: "sign a request for a card, on the machine that has the root key",
		Long: `Shows what a request for a card holds, signs it with the root key, and writes the
card. It needs no node. Look at the keys and revocations before it is carried back:
what the root key signs, partners believe.`,
		Example: "  karaula card sign al.request --root-key /media/safe/al.root --out al.card",
		Args:    positional("REQUEST"),
	}
	c.Flags().StringVar(&o.key, "root-key", "", "file of the root key")
	c.Flags().StringVar(&o.out, "out", "", "new file for the card")
	required(c, "root-key", "out")
	pass := passphraseFlag(c, "the root key")
	c.RunE = func(_ *cobra.Command, args []string) error {
		text, err := a.readFile(args[0], "request", card.MaxFile)
		if err != nil {
			return err
		}
		next, err := card.OpenRequest(text)
		if err != nil {
			return err
		}
		if _, err := os.Lstat(o.out); err == nil {
			return problem.New(problem.Conflict, "%s exists; nothing was signed", o.out)
		}
		root, err := keyring.LoadRoot(o.key, pass())
		if err != nil {
			return err
		}
		file, err := card.Issue(*next, root.Signer)
		if err != nil {
			return err
		}
		if err := setup.WriteFile(o.out, file, 0o644); err != nil {
			return err
		}
		return a.show(cardIssueResult{File: o.out, Card: describeCard(next)})
	}
	return c
}

func newCardTake(a *app) *cobra.Command {
	var dir string
	var repudiate bool
	c := &cobra.Command{
		Use:   "take CARD --dir DIR",
		Short: "take in the own card that was signed elsewhere",
		Long: `Takes in the node's own next card, signed on the machine with the root key. Refused
is a card with keys that are not here, and one that revokes the key of statements
of this node from a number on that the node has passed since the request was made.`,
		Example: "  karaula card take al.card --dir al",
		Args:    positional("CARD"),
	}
	dirFlag(c, &dir)
	c.Flags().BoolVar(&repudiate, "repudiate", false, "also if it repudiates what this node has said")
	pass := passphraseFlag(c, "the online keys")
	c.RunE = func(c *cobra.Command, args []string) error {
		file, err := a.readFile(args[0], "card", card.MaxFile)
		if err != nil {
			return err
		}
		taken, err := setup.TakeCard(c.Context(), dir, file, pass(), repudiate, a.now())
		if err != nil {
			return err
		}
		return a.show(cardIssueResult{File: node.Layout{Dir: dir}.Card(taken.Party), Card: describeCard(taken)})
	}
	return c
}

// confirmResult is what is known about the own cards of a restored folder.
type confirmResult struct {
	Newest uint64 `json:"newest"` // serial that no card of the party is above
	Here   uint64 `json:"here"`   // serial of the newest own card in the register
}

func (r confirmResult) page(p *page) {
	p.line("the next card is above %d", r.Newest)
	if r.Here < r.Newest {
		p.line("card %d is the newest one here: have a partner send card %d, and take it in before the node runs", r.Here, r.Newest)
	}
}

func newCardConfirm(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "confirm SERIAL --dir DIR",
		Short: "say after a restoration how far the own cards had gone",
		Long: `A folder that was restored from a backup does not know of cards that were issued
since, and issues none until this was said: two cards with one serial would be
evidence against the own root. Ask every partner for the serial of its newest card
of yours (karaula party show), and give the highest one. If it is not here, have
that partner send it, and take it in with karaula party add: on channels on which it
rules nothing can be said without it.`,
		Example: "  karaula card confirm 3 --dir al",
		Args:    positional("SERIAL"),
	}
	dirFlag(c, &dir)
	c.RunE = func(c *cobra.Command, args []string) error {
		serial, err := strconv.ParseUint(args[0], 10, 63)
		if err != nil || serial == 0 {
			return errUsage(c, "%q is not the serial of a card", args[0])
		}
		here, err := setup.ConfirmCard(dir, serial)
		if err != nil {
			return err
		}
		return a.show(confirmResult{serial, here})
	}
	return c
}
