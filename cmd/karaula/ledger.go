package main

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"karaula/gateway/desk"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// ledgerInfo is one ledger as the node keeps it.
type ledgerInfo struct {
	Channel string      `json:"channel"`
	Origin  string      `json:"origin"`
	Ledger  string      `json:"ledger"` // id, hex
	Epoch   uint64      `json:"epoch"`
	Size    uint64      `json:"size"` // last number of the epoch
	Root    string      `json:"root"` // over those, hex
	State   string      `json:"state"`
	Why     string      `json:"why,omitempty"`
	Known   []knownHead `json:"known,omitempty"`  // of the own ledger, as partners have signed
	Ended   []epochEnd  `json:"epochs,omitempty"` // that are over
	Forks   []forkInfo  `json:"forks,omitempty"`  // where its origin has contradicted itself
	// Differing are partners' words that its history is another one.
	Differing []differingHead `json:"differing,omitempty"`
}

// differingHead is a head of a ledger that a partner has signed and that is not so here.
type differingHead struct {
	Party  string    `json:"party"`
	Epoch  uint64    `json:"epoch"`
	Size   uint64    `json:"size"`
	Root   string    `json:"root"`           // as it has signed it, hex
	Here   string    `json:"here,omitempty"` // as it is here; absent: there is no such size
	InEp   uint64    `json:"statement_epoch"`
	InSeq  uint64    `json:"statement_seq"`
	Since  time.Time `json:"since"` // when it said so, by its clock
	Proven bool      `json:"proven"`
	Text   string    `json:"text"`
	Next   string    `json:"next"`
}

// lines says it to people.
func (d differingHead) lines(p *page) {
	here := "there is no such size here"
	if d.Here != "" {
		here = "here it is " + shortHash(d.Here)
	}
	p.line("differs: %s", d.Text)
	p.line("  %s says %d of epoch %d, root %s; %s; since its number %d of epoch %d, %s",
		d.Party, d.Size, d.Epoch, shortHash(d.Root), here, d.InSeq, d.InEp, d.Since.Format(time.RFC3339))
	p.line("  next: %s", d.Next)
}

func describeDiffering(d *karaulav1.DifferingHead) differingHead {
	return differingHead{
		Party: d.GetParty(), Epoch: d.GetEpoch(), Size: d.GetSize(), Root: hex.EncodeToString(d.GetRoot()),
		Here: hex.EncodeToString(d.GetHere()), InEp: d.GetStatementEpoch(), InSeq: d.GetStatementSeq(),
		Since: micro(d.GetSaidAt()), Proven: d.GetProven(), Text: d.GetText(), Next: d.GetNext(),
	}
}

// forkInfo is two things that an origin has signed, of which only one can be true.
type forkInfo struct {
	Epoch  uint64 `json:"epoch"`
	Number uint64 `json:"number"`           // or size, where the second does not continue the first
	First  []byte `json:"first,omitempty"`  // envelope without content, base64; absent if it is lost
	Second []byte `json:"second,omitempty"` // likewise
}

func describeFork(c *karaulav1.Contradiction) forkInfo {
	return forkInfo{c.GetEpoch(), c.GetContest().GetSize(), c.GetFirst(), c.GetSecond()}
}

type knownHead struct {
	Party string `json:"party"`
	Epoch uint64 `json:"epoch"`
	Size  uint64 `json:"size"`
	Root  string `json:"root"`
}

type epochEnd struct {
	Epoch  uint64 `json:"epoch"`
	Size   uint64 `json:"size"` // last number that counts
	Void   uint64 `json:"void"` // alerts beyond it that are known here
	Reason string `json:"reason"`
}

func describeLedger(l *karaulav1.LedgerState) ledgerInfo {
	out := ledgerInfo{
		Channel: l.GetChannel(), Origin: l.GetOrigin(), Ledger: hex.EncodeToString(l.GetLedger()), Epoch: l.GetEpoch(),
		Size: l.GetSize(), Root: hex.EncodeToString(l.GetRoot()), State: l.GetState(), Why: l.GetWhy(),
	}
	for _, k := range l.GetKnown() {
		out.Known = append(out.Known, knownHead{k.GetParty(), k.GetEpoch(), k.GetSize(), hex.EncodeToString(k.GetRoot())})
	}
	for _, c := range l.GetContradictions() {
		out.Forks = append(out.Forks, describeFork(c))
	}
	for _, d := range l.GetDiffering() {
		out.Differing = append(out.Differing, describeDiffering(d))
	}
	for _, e := range l.GetEpochs() {
		out.Ended = append(out.Ended, epochEnd{e.GetEpoch(), e.GetSize(), e.GetVoid(), e.GetReason()})
	}
	return out
}

type ledgerListResult struct {
	Ledgers []ledgerInfo `json:"ledgers"`
}

func (r ledgerListResult) page(p *page) {
	rows := make([][]string, 0, len(r.Ledgers))
	for _, l := range r.Ledgers {
		var differs []string
		for _, d := range l.Differing {
			differs = append(differs, d.Party)
		}
		rows = append(rows, []string{
			l.Channel, l.Origin, fmt.Sprint(l.Epoch), fmt.Sprint(l.Size), shortHash(l.Root), l.State, list(differs), l.Why,
		})
	}
	p.table([]string{"channel", "origin", "epoch", "size", "root", "state", "differs", "why"}, rows)
	for _, l := range r.Ledgers {
		if len(l.Differing) > 0 {
			p.line("partners have signed another history of %s; next: karaula ledger show --channel %s --dir DIR", l.Origin, l.Channel)
		}
	}
}

// shortHash gives enough of a hash to compare by eye.
func shortHash(h string) string { return h[:min(len(h), 16)] }

type ledgerShowResult struct {
	Ledgers []ledgerInfo `json:"ledgers"`
}

func (r ledgerShowResult) page(p *page) {
	for i, l := range r.Ledgers {
		if i > 0 {
			p.blank()
		}
		p.fields(
			field{"channel", l.Channel}, field{"origin", l.Origin}, field{"ledger", l.Ledger},
			field{"epoch", fmt.Sprint(l.Epoch)}, field{"size", fmt.Sprint(l.Size)}, field{"root", l.Root},
			field{"state", l.State}, field{"why", l.Why},
		)
		for _, k := range l.Known {
			p.line("%s has signed %d of epoch %d, root %s", k.Party, k.Size, k.Epoch, shortHash(k.Root))
		}
		for _, d := range l.Differing {
			d.lines(p)
		}
		for _, f := range l.Forks {
			p.line("a contradiction at number %d of epoch %d; both sides are in --output json", f.Number, f.Epoch)
		}
		for _, e := range l.Ended {
			p.line("epoch %d ended at %d (%s); %d alerts beyond it are void", e.Epoch, e.Size, e.Reason, e.Void)
		}
	}
}

func newLedger(a *app) *cobra.Command {
	return group("ledger", "show ledgers, and mend the own one of a channel",
		`A ledger is what one party says on one channel, numbered and chained. A channel
whose journal or stream was lost or set back is halted: nothing is said there until
its ledger is mended, for another statement under a number that was used before
would be a contradiction for ever.`,
		newLedgerList(a), newLedgerShow(a), newLedgerRepair(a))
}

func (a *app) ledgers(c *cobra.Command, dir, channel string) ([]ledgerInfo, error) {
	node, err := client(dir)
	if err != nil {
		return nil, err
	}
	resp, err := node.Ledgers(c.Context(), connect.NewRequest(&karaulav1.LedgersRequest{Channel: channel}))
	if err != nil {
		return nil, desk.FromConnect(err)
	}
	out := []ledgerInfo{}
	for _, l := range resp.Msg.GetLedgers() {
		out = append(out, describeLedger(l))
	}
	return out, nil
}

func newLedgerList(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "list --dir DIR", Short: "list the ledgers of a running node with their heads, also of channels that are over",
		Example: "  karaula ledger list --dir al", Args: positional(),
	}
	dirFlag(c, &dir)
	c.RunE = func(c *cobra.Command, _ []string) error {
		all, err := a.ledgers(c, dir, "")
		if err != nil {
			return err
		}
		return a.show(ledgerListResult{all})
	}
	return c
}

func newLedgerShow(a *app) *cobra.Command {
	var dir, channel string
	c := &cobra.Command{
		Use: "show --channel ID --dir DIR", Short: "show the ledgers of a channel: heads, partners' heads, what differs, epochs",
		Example: "  karaula ledger show --channel b01-al-me --dir al", Args: positional(),
	}
	dirFlag(c, &dir)
	c.Flags().StringVar(&channel, "channel", "", "channel id")
	required(c, "channel")
	c.RunE = func(c *cobra.Command, _ []string) error {
		all, err := a.ledgers(c, dir, channel)
		if err != nil {
			return err
		}
		return a.show(ledgerShowResult{all})
	}
	return c
}

// ledgerRepairResult says what a repair found and did.
type ledgerRepairResult struct {
	State   string   `json:"state"` // fine, mendable, mended, waits, lost, revoked, contested
	Found   []string `json:"found"`
	Done    []string `json:"done"` // or what would be done
	DryRun  bool     `json:"dry_run,omitempty"`
	Next    string   `json:"next,omitempty"`
	Epoch   uint64   `json:"epoch"`
	Size    uint64   `json:"size"`
	PutBack uint64   `json:"put_back"`
	Stubs   uint64   `json:"stubs"` // of those, without content
	// Fork is where two histories carry the own signature, if both sides are here.
	Fork *forkInfo `json:"fork,omitempty"`
}

func (r ledgerRepairResult) page(p *page) {
	p.fields(field{"state", r.State}, field{"epoch", fmt.Sprint(r.Epoch)}, field{"size", fmt.Sprint(r.Size)})
	for _, f := range r.Found {
		p.line("found: %s", f)
	}
	done := "done"
	if r.DryRun {
		done = "would be done"
	}
	for _, d := range r.Done {
		p.line("%s: %s", done, d)
	}
	if r.Fork != nil {
		p.line("a contradiction at number %d of epoch %d; both sides are in --output json", r.Fork.Number, r.Fork.Epoch)
	}
	if r.Stubs > 0 {
		p.line("%d of them are without their content, which nobody has any more", r.Stubs)
	}
	if r.Next != "" {
		p.line("next: %s", strings.TrimSpace(r.Next))
	}
}
