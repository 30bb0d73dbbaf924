package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"karaula/cmd/karaula/internal/setup"
	"karaula/internal/card"
	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// revokeResult says what a revocation does.
type revokeResult struct {
	Key    string          `json:"key"` // hex
	Use    string          `json:"use"`
	Reason string          `json:"reason"`
	Until  []lastGoodLine  `json:"last_good"`
	Card   cardIssueResult `json:"card"`
}

// lastGoodLine is the last statement of one ledger that counts.
type lastGoodLine struct {
	Channel string `json:"channel"`
	Ledger  string `json:"ledger"` // hex
	Epoch   uint64 `json:"epoch"`
	Number  uint64 `json:"number"`
}

func (r revokeResult) page(p *page) {
	p.line("%s key %s is revoked: %s", r.Use, r.Key, r.Reason)
	rows := make([][]string, 0, len(r.Until))
	for _, l := range r.Until {
		rows = append(rows, []string{l.Channel, fmt.Sprint(l.Epoch), fmt.Sprint(l.Number), l.Ledger})
	}
	p.table([]string{"channel", "epoch", "last that counts", "ledger"}, rows)
	p.blank()
	r.Card.page(p)
}

func newKeyRevoke(a *app) *cobra.Command {
	var o setup.CardOptions
	var dir, request, reason string
	var lastGood []string
	c := &cobra.Command{
		Use:   "revoke KEY-ID --reason TEXT --dir DIR",
		Short: "end a stolen key before its time, with a new card",
		Long: `Makes a new key in the place of a stolen one, and a card, signed by the root key,
that revokes the old one. For a key that signs statements the card says up to which
number of each own ledger it counts: as far as the signing journals go, unless
--last-good CHANNEL:EPOCH:NUMBER says otherwise. Partners obey at once: what the key
signed behind that is repudiated, kept and marked.

A key that signs statements is revoked while the node is stopped, because it would
go on under it. If a thief has spoken already, partners hold numbers of his: then a
new epoch must be begun afterwards (karaula ledger repair). The reason stays on this
machine's terminal; cards hold none.`,
		Example: `  karaula key revoke 584e1a7d6e881c9b7b4dd1a0250c4fd4 --reason "laptop stolen" --dir al
  karaula key revoke 584e1a7d6e881c9b7b4dd1a0250c4fd4 --reason "intruder since noon" \\
      --last-good b01-al-me:1:1207 --request al.request --dir al`,
		Args: positional("KEY-ID"),
	}
	dirFlag(c, &dir)
	f := c.Flags()
	f.StringVar(&reason, "reason", "", "why; no personal data")
	f.StringSliceVar(&lastGood, "last-good", nil, "CHANNEL:EPOCH:NUMBER, the last statement that counts (default: all that the journal holds)")
	required(c, "reason")
	requestFlag(c, &request)
	pass := passphraseFlag(c, "the keys")
	rootPass := rootFlags(c, &o.RootKey, pass)
	c.RunE = func(c *cobra.Command, args []string) error {
		id, err := parseKeyID(c, args[0])
		if err != nil {
			return err
		}
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		o.Passphrase, o.RootPassphrase, o.Now, o.Rotate, o.Loaded = pass(), rootPass(), a.now(), true, a.loaded(dir)
		out, err := a.revoke(c.Context(), n, id, lastGood, request, o)
		if err != nil {
			return err
		}
		out.Reason = reason
		return a.show(*out)
	}
	return c
}

// revoke finds the key, sets the places, and makes the card.
func (a *app) revoke(
	ctx context.Context, n *place, id [16]byte, lastGood []string, request string, o setup.CardOptions,
) (*revokeResult, error) {
	own, err := n.reg.View().OwnCard()
	if err != nil {
		return nil, err
	}
	o.Upon = own.Serial // whether the key is to be replaced, and what it has signed, is decided here
	key, current, err := n.ownKey(id)
	if err != nil {
		return nil, err
	}
	out := &revokeResult{Key: hex.EncodeToString(id[:]), Use: terms.UseWord(key.Use), Until: []lastGoodLine{}}
	switch {
	case !signsStatements(key.Use):
		if len(lastGood) > 0 {
			return nil, problem.New(problem.Invalid, "a %s key signs no statements; nothing was revoked", out.Use).
				WithHint("leave --last-good out")
		}
		o.Revoke, err = n.anyLedger(id)
	default:
		o.Revoke, out.Until, err = n.places(ctx, id, key.Use, lastGood)
	}
	if err != nil {
		return nil, err
	}
	if o.Uses = []karaulav1.KeyUse{key.Use}; !current { // the card in force has another one already
		o.Rotate = false
	}
	next, err := a.nextCard(ctx, n.Dir, request, o)
	if err != nil {
		return nil, err
	}
	out.Card = *next
	return out, nil
}

// ownKey finds a key among the own cards, and whether the card in force names it.
func (n *place) ownKey(id [16]byte) (key card.Key, current bool, err error) {
	v := n.reg.View()
	found := false
	for _, c := range v.Cards(n.Party) { // ascending
		current = false
		for _, k := range c.Keys {
			if k.ID == id {
				key, found, current = k, true, true
			}
		}
		if slices.ContainsFunc(c.Revoked, func(r card.Revocation) bool { return r.Key == id }) {
			return key, false, problem.New(problem.Conflict, "card %d revokes key %x already; nothing was changed", c.Serial, id)
		}
	}
	if !found {
		return key, false, problem.New(problem.NotFound, "no card of %s names key %x; nothing was revoked", n.Party, id).
			WithHint("karaula key list --dir %s", n.Dir)
	}
	return key, current, nil
}

func signsStatements(use karaulav1.KeyUse) bool {
	return use == karaulav1.KeyUse_KEY_USE_SIGN || use == karaulav1.KeyUse_KEY_USE_EXERCISE_SIGN
}

// anyLedger gives the one line that revokes a key which signs no statements.
func (n *place) anyLedger(id [16]byte) ([]card.Revocation, error) {
	for _, cv := range n.reg.View().AllChannels() {
		if slices.Contains(cv.Everyone, n.Party) {
			return []card.Revocation{{Key: id, Ledger: cv.Ledger(n.Party), Epoch: 1}}, nil
		}
	}
	return nil, problem.New(problem.Conflict, "no agreement binds %s, so nobody has relied on key %x; nothing was revoked", n.Party, id).
		WithHint("karaula key rotate --dir %s is enough", n.Dir)
}

// places gives for every own ledger the last statement that counts.
func (n *place) places(
	ctx context.Context, id [16]byte, use karaulav1.KeyUse, lastGood []string,
) (revoke []card.Revocation, lines []lastGoodLine, err error) {
	own, err := setup.OwnLedgers(ctx, n.Dir)
	if err != nil {
		return nil, nil, err
	}
	set := map[string][2]uint64{}
	for _, text := range lastGood {
		channel, at, err := parsePlace(text)
		if err != nil {
			return nil, nil, err
		}
		if !slices.ContainsFunc(own, func(l setup.OwnLedger) bool { return l.Channel == channel }) {
			return nil, nil, problem.New(problem.NotFound, "%s says nothing on a channel %q; nothing was revoked", n.Party, channel)
		}
		set[channel] = at
	}
	exercise := use == karaulav1.KeyUse_KEY_USE_EXERCISE_SIGN
	for _, l := range own {
		if (l.Mode == karaulav1.Mode_MODE_EXERCISE) != exercise {
			continue
		}
		if at, ok := set[l.Channel]; ok {
			l.Epoch, l.Size = at[0], at[1]
		}
		revoke = append(revoke, card.Revocation{Key: id, Ledger: l.ID, Epoch: l.Epoch, Seq: l.Size})
		lines = append(lines, lastGoodLine{l.Channel, l.ID.String(), l.Epoch, l.Size})
	}
	if len(revoke) == 0 {
		revoke, err = n.anyLedger(id)
	}
	return revoke, lines, err
}

// parsePlace reads CHANNEL:EPOCH:NUMBER.
func parsePlace(text string) (channel string, at [2]uint64, err error) {
	words := strings.Split(text, ":")
	if len(words) == 3 {
		var err1, err2 error
		at[0], err1 = strconv.ParseUint(words[1], 10, 64)
		at[1], err2 = strconv.ParseUint(words[2], 10, 64)
		if err1 == nil && err2 == nil && at[0] > 0 && terms.ValidID(words[0]) {
			return words[0], at, nil
		}
	}
	return "", at, problem.New(problem.Invalid, "%q is not CHANNEL:EPOCH:NUMBER; nothing was revoked", text)
}
