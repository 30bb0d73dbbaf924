package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"karaula/gateway/desk"
	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// keyListResult lists the own keys.
type keyListResult struct {
	Party   string    `json:"party"`
	Counted bool      `json:"counted"` // a running node has said what needs them
	Keys    []keyLine `json:"keys"`
}

// keyLine is one key of the own party.
type keyLine struct {
	Use     string    `json:"use"`
	ID      string    `json:"id"` // hex
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
	State   string    `json:"state"`            // current, next, retired, revoked
	Cards   []uint64  `json:"cards"`            // serials of the cards that name it
	Private string    `json:"private"`          // here, gone, unknown
	Content uint64    `json:"content"`          // statements with content on disk that is sealed to it
	Needed  string    `json:"needed,omitempty"` // what still needs it
}

func (r keyListResult) page(p *page) {
	rows := make([][]string, 0, len(r.Keys))
	for _, k := range r.Keys {
		rows = append(rows, []string{
			k.Use, k.ID, agreement.FormatTime(k.From), agreement.FormatTime(k.Until), k.State, serials(k.Cards), k.Private, k.Needed,
		})
	}
	p.table([]string{"key", "id", "from", "until", "state", "cards", "private", "needed for"}, rows)
	if !r.Counted {
		p.line("The node does not run: what needs the keys was not counted.")
	}
}

func serials(list []uint64) string {
	switch len(list) {
	case 0:
		return ""
	case 1:
		return fmt.Sprint(list[0])
	default:
		return fmt.Sprintf("%d-%d", list[0], list[len(list)-1])
	}
}

func newKeyList(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "list --dir DIR",
		Short: "list the node's online keys, old ones included, and what still needs them",
		Long: `Lists every key of the own cards and of the key file: current (in the card in
force), next (in no card yet), retired (in earlier cards only), revoked. A running
node counts the statements with content on disk that is sealed to each. Without one,
the key file is opened if it is not sealed or the passphrase is given.`,
		Example: "  karaula key list --dir al\n  karaula key list --dir al --output json",
		Args:    positional(),
	}
	dirFlag(c, &dir)
	pass := passphraseFlag(c, "the online keys")
	c.RunE = func(c *cobra.Command, _ []string) error {
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		out, err := a.keyList(c.Context(), n, pass())
		if err != nil {
			return err
		}
		return a.show(*out)
	}
	return c
}

// keyList puts together what cards, key file and running node say.
func (a *app) keyList(ctx context.Context, n *place, pass keyring.Passphrase) (*keyListResult, error) {
	keys := &keyTable{byID: map[[16]byte]*keyLine{}}
	v := n.reg.View()
	current, ok := v.Card(n.Party)
	if !ok {
		return nil, problem.New(problem.NotFound, "the own card is not in the register")
	}
	for _, cd := range v.Cards(n.Party) {
		for _, k := range cd.Keys {
			line := keys.line(k.Use, k.ID, k.From, k.Until)
			line.State = "retired"
			line.Cards = append(line.Cards, cd.Serial)
		}
	}
	keys.mark(v.Cards(n.Party), current)
	usage, err := a.askKeyUse(ctx, n.Dir, &karaulav1.KeyUseRequest{})
	if err != nil && !problem.Is(err, problem.Unreachable) {
		return nil, err
	}
	if g, err := keyring.LoadGateway(n.GatewayKeys(), pass); err == nil {
		for _, k := range g.Held() {
			keys.line(k.Use, k.ID, k.From, k.Until).Private = "here"
		}
		keys.settle("gone")
	}
	if usage != nil {
		keys.count(usage)
	}
	keys.settle("unknown")
	return &keyListResult{Party: n.Party, Counted: usage != nil, Keys: keys.sorted()}, nil
}

// askKeyUse asks the running node; Unreachable if there is none.
func (a *app) askKeyUse(ctx context.Context, dir string, req *karaulav1.KeyUseRequest) (*karaulav1.KeyUseResponse, error) {
	node, err := client(dir)
	if err != nil {
		return nil, err
	}
	resp, err := node.KeyUse(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, desk.FromConnect(err)
	}
	return resp.Msg, nil
}

// keyTable collects lines by key.
type keyTable struct {
	byID  map[[16]byte]*keyLine
	order [][16]byte
}

func (t *keyTable) line(use karaulav1.KeyUse, id [16]byte, from, until time.Time) *keyLine {
	if l := t.byID[id]; l != nil {
		return l
	}
	l := &keyLine{
		Use: terms.UseWord(use), ID: hex.EncodeToString(id[:]), From: from, Until: until, State: "next", Cards: []uint64{},
	}
	t.byID[id], t.order = l, append(t.order, id)
	return l
}

// mark says which keys the card in force names, and which any card revokes.
func (t *keyTable) mark(cards []*card.Card, current *card.Card) {
	for _, k := range current.Keys {
		t.byID[k.ID].State = "current"
	}
	for _, c := range cards {
		for _, r := range c.Revoked {
			if l := t.byID[r.Key]; l != nil {
				l.State = "revoked"
			}
		}
	}
}

// settle says where the private halves are of which nothing is known.
func (t *keyTable) settle(word string) {
	for _, l := range t.byID {
		if l.Private == "" {
			l.Private = word
		}
	}
}

// count enters what the node has counted.
func (t *keyTable) count(m *karaulav1.KeyUseResponse) {
	for _, l := range t.byID {
		l.Private = "gone"
	}
	for _, id := range m.GetHeld() {
		if l := t.byID[[16]byte(id)]; l != nil {
			l.Private = "here"
		}
	}
	for _, u := range m.GetUsages() {
		if l := t.byID[[16]byte(u.GetKey())]; l != nil && opensContent(u.GetUse()) {
			l.Content += u.GetOnDisk()
		}
	}
	expected := map[[16]byte]bool{}
	for _, id := range m.GetExpected() {
		expected[[16]byte(id)] = true
	}
	for id, l := range t.byID {
		switch {
		case l.State == "current" || l.Private != "here":
		case l.Content > 0:
			l.Needed = fmt.Sprintf("%d statements with sealed content", l.Content)
		case expected[id] && l.State != "next":
			l.Needed = "partners that may not know the new card"
		}
	}
}

func opensContent(use karaulav1.KeyUse) bool {
	return use == karaulav1.KeyUse_KEY_USE_SEAL || use == karaulav1.KeyUse_KEY_USE_ARCHIVE ||
		use == karaulav1.KeyUse_KEY_USE_EXERCISE_SEAL
}

// sorted gives the lines by use, the newest first.
func (t *keyTable) sorted() []keyLine {
	out := make([]keyLine, 0, len(t.order))
	for _, id := range slices.Backward(t.order) {
		out = append(out, *t.byID[id])
	}
	rank := func(word string) int {
		use, _ := parseUse(word)
		return int(use)
	}
	slices.SortStableFunc(out, func(a, b keyLine) int { return rank(a.Use) - rank(b.Use) })
	return out
}
