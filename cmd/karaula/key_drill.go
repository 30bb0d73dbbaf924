package main

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// drillResult says what a thief of keys could have read and said.
type drillResult struct {
	Party string      `json:"party"`
	From  *time.Time  `json:"from,omitempty"`
	To    *time.Time  `json:"to,omitempty"`
	Keys  []drillLine `json:"keys"`
}

// drillLine is one key in a thief's hands.
type drillLine struct {
	Use     string        `json:"use"`
	ID      string        `json:"id,omitempty"` // hex; none for a key that no card names
	Means   string        `json:"means"`        // what it lets a thief do
	Ledgers []drillLedger `json:"ledgers"`
}

// drillLedger is what a key has signed in one ledger, or opens of it.
type drillLedger struct {
	Channel    string            `json:"channel"`
	Origin     string            `json:"origin"`
	Epoch      uint64            `json:"epoch"`
	First      uint64            `json:"first"` // numbers
	Last       uint64            `json:"last"`
	FirstAt    time.Time         `json:"first_at"`
	LastAt     time.Time         `json:"last_at"`
	Statements uint64            `json:"statements"`
	OnDisk     uint64            `json:"on_disk"` // of these, with sealed content that is still on disk
	Types      map[string]uint64 `json:"types"`
	Revoked    bool              `json:"revoked"`
	LastGood   uint64            `json:"last_good,omitempty"` // number up to which a revoked key counts
}

func (r drillResult) page(p *page) {
	for i, k := range r.Keys {
		if i > 0 {
			p.blank()
		}
		p.line("%s %s", k.Use, k.ID)
		p.line("  %s", k.Means)
		for _, l := range k.Ledgers {
			p.line("  %s from %s, epoch %d: %d statements, numbers %d to %d, %s to %s, %d with content on disk: %s%s",
				l.Channel, l.Origin, l.Epoch, l.Statements, l.First, l.Last,
				agreement.FormatTime(l.FirstAt.Truncate(time.Second)), agreement.FormatTime(l.LastAt.Truncate(time.Second)),
				l.OnDisk, countWords(l.Types), l.ending())
		}
	}
}

func (l drillLedger) ending() string {
	if !l.Revoked {
		return ""
	}
	return fmt.Sprintf("; revoked, counts up to number %d", l.LastGood)
}

// countWords writes counts, in the order of their words.
func countWords(counts map[string]uint64) string {
	var out []string
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%d %s", counts[word], word))
	}
	return strings.Join(out, ", ")
}

func newKeyDrill(a *app) *cobra.Command {
	var dir, from, to string
	var all bool
	c := &cobra.Command{
		Use:   "drill [KEY-ID] --dir DIR",
		Short: "say what a thief of a key could have read and said, from when to when",
		Long: `Asks the running node what a thief of a key could have read and said: for a key that
opens, the statements that are sealed to it, by channel and origin, and how many are
still on disk; for a key that signs, the numbers that it has signed and up to which
it counts. Nothing is opened for it, and it is recorded in the desk stream. What was
erased here may still be in a thief's copy of the streams: that is counted, too.`,
		Example: "  karaula key drill 584e1a7d6e881c9b7b4dd1a0250c4fd4 --dir al\n  karaula key drill --all --from 2026-05-01T00:00:00Z --dir al",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("one argument too many: %q", args[1])
			}
			return nil
		},
	}
	dirFlag(c, &dir)
	f := c.Flags()
	f.BoolVar(&all, "all", false, "every key, and those that no card names")
	f.StringVar(&from, "from", "", "only what was said at or after this time")
	f.StringVar(&to, "to", "", "only what was said before this time")
	c.RunE = func(c *cobra.Command, args []string) error {
		if all == (len(args) == 1) {
			return errUsage(c, "name one KEY-ID, or --all")
		}
		req, err := a.drillRequest(c, args, from, to)
		if err != nil {
			return err
		}
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		keys := ownKeys(n)
		if len(args) == 1 && len(keys.only(req.GetKeys()[0])) == 0 {
			return problem.New(problem.NotFound, "no card of %s names key %s", n.Party, args[0]).
				WithHint("karaula key list --dir %s", dir)
		}
		usage, err := a.askKeyUse(c.Context(), dir, req)
		if err != nil {
			return err
		}
		if len(args) == 1 {
			keys = keys.only(req.GetKeys()[0])
		}
		return a.show(newDrill(n.Party, keys, usage, req, all))
	}
	return c
}

// drillRequest makes the request of a drill.
func (a *app) drillRequest(c *cobra.Command, args []string, from, to string) (*karaulav1.KeyUseRequest, error) {
	req := &karaulav1.KeyUseRequest{Drill: true}
	for _, text := range args {
		id, err := parseKeyID(c, text)
		if err != nil {
			return nil, err
		}
		req.Keys = append(req.Keys, id[:])
	}
	for _, t := range []struct {
		text string
		into *int64
	}{{from, &req.From}, {to, &req.To}} {
		if t.text == "" {
			continue
		}
		at, err := a.moment(c, t.text)
		if err != nil {
			return nil, err
		}
		*t.into = at.UnixMicro()
	}
	return req, nil
}

// cardKeys are keys of cards, each once, in the order of the cards.
type cardKeys []card.Key

func ownKeys(n *place) cardKeys {
	var out cardKeys
	seen := map[[16]byte]bool{}
	for _, c := range n.reg.View().Cards(n.Party) {
		for _, k := range c.Keys {
			if !seen[k.ID] {
				seen[k.ID], out = true, append(out, k)
			}
		}
	}
	return out
}

func (keys cardKeys) only(id []byte) cardKeys {
	for i, k := range keys {
		if string(k.ID[:]) == string(id) {
			return keys[i : i+1]
		}
	}
	return nil
}

func newDrill(
	party string, keys cardKeys, m *karaulav1.KeyUseResponse, req *karaulav1.KeyUseRequest, all bool,
) drillResult {
	out := drillResult{Party: party, Keys: []drillLine{}}
	if req.GetFrom() != 0 {
		at := micro(req.GetFrom())
		out.From = &at
	}
	if req.GetTo() != 0 {
		at := micro(req.GetTo())
		out.To = &at
	}
	for _, k := range keys {
		line := drillLine{Use: terms.UseWord(k.Use), ID: hex.EncodeToString(k.ID[:]), Means: meaning(k.Use), Ledgers: []drillLedger{}}
		for _, u := range m.GetUsages() {
			if string(u.GetKey()) != string(k.ID[:]) {
				continue
			}
			l := drillLedger{
				Channel: u.GetChannel(), Origin: u.GetOrigin(), Epoch: u.GetEpoch(), First: u.GetFirstSeq(), Last: u.GetLastSeq(),
				FirstAt: micro(u.GetFirstAt()), LastAt: micro(u.GetLastAt()), Statements: u.GetStatements(), OnDisk: u.GetOnDisk(),
				Types: map[string]uint64{}, Revoked: u.GetRevoked(), LastGood: u.GetLastGood(),
			}
			for _, t := range u.GetTypes() {
				l.Types[t.GetWord()] = t.GetCount()
			}
			line.Ledgers = append(line.Ledgers, l)
		}
		out.Keys = append(out.Keys, line)
	}
	if all {
		out.Keys = append(out.Keys, unnamed()...)
	}
	return out
}

// meaning says in words what a thief can do with a key of a use.
func meaning(use karaulav1.KeyUse) string {
	switch use {
	case karaulav1.KeyUse_KEY_USE_SIGN:
		return "says statements in this party's name while a card with it rules; opens nothing"
	case karaulav1.KeyUse_KEY_USE_SEAL:
		return "opens what partners have sealed to it, in any copy of the sealed bytes; says nothing"
	case karaulav1.KeyUse_KEY_USE_ARCHIVE:
		return "opens this party's own alerts, in any copy of the sealed bytes; says nothing"
	case karaulav1.KeyUse_KEY_USE_NOTICE:
		return "suspends, resumes and objects in this party's name until it is revoked; opens nothing"
	case karaulav1.KeyUse_KEY_USE_LINK:
		return "with the NATS and TLS keys asks partners' link services in this party's name: sealed statements, cards, texts"
	case karaulav1.KeyUse_KEY_USE_EXERCISE_SIGN:
		return "says statements of exercises in this party's name; no real one"
	case karaulav1.KeyUse_KEY_USE_EXERCISE_SEAL:
		return "opens what was said to this party in exercises"
	default:
		return "is of a use that a node does not have"
	}
}

// unnamed lists the keys of a node that no card names by an id.
func unnamed() []drillLine {
	lines := []drillLine{
		{
			Use:   "nats and tls of the gateway",
			Means: "connect to partners' brokers as this party and fetch its channels' sealed statements; open nothing",
		},
		{
			Use:   "tls of the broker",
			Means: "poses as this party's broker on the line: withholds and sees sizes, opens and forges nothing",
		},
		{
			Use:   "users of the own broker",
			Means: "with a pinned certificate read, add and hold back sealed statements at the own broker; open and forge nothing",
		},
		{
			Use: "officer",
			Means: "resolves pseudonyms of this party's officers in alerts, given their ids; " +
				"makes verdicts and desk records that the gateway believes, given the broker",
		},
	}
	for i := range lines {
		lines[i].Ledgers = []drillLedger{}
	}
	return lines
}
