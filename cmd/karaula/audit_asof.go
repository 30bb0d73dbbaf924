package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"karaula/internal/evidence"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// asOfResult says what a party could read on a date, and what it has taken in.
type asOfResult struct {
	Party    string     `json:"party"`
	At       time.Time  `json:"at"`
	Texts    []asOfText `json:"texts"`    // that ruled then
	Readable uint64     `json:"readable"` // statements with content that was not due to be erased
	Judged   uint64     `json:"judged"`   // of those: that it had signed a verdict about
	Refused  uint64     `json:"refused"`  // of those: refused
	Rows     []asOfRow  `json:"rows"`
	Verified bool       `json:"verified"`
	findings []findingLine
}

type asOfText struct {
	Channel string `json:"channel"`
	Text    string `json:"text"` // "b01-al-me version 1"
	Phase   string `json:"phase"`
	Reads   bool   `json:"reads"` // the party is one of its readers
}

// asOfRow is one statement that the party could read.
type asOfRow struct {
	Channel string     `json:"channel"`
	Origin  string     `json:"origin"`
	Epoch   uint64     `json:"epoch"`
	Number  uint64     `json:"number"`
	Kind    string     `json:"kind"`
	Said    time.Time  `json:"said"`
	Text    string     `json:"text"`
	Clause  string     `json:"clause,omitempty"`
	Judged  *time.Time `json:"judged,omitempty"` // when it said so in a receipt, by its own clock
	Verdict string     `json:"verdict"`          // accepted, refused …, own, or not judged yet
}

func (r asOfResult) page(p *page) {
	p.line("What %s could read at %s, and what it has signed to have read:", r.Party, r.At.Format(shortTime))
	p.blank()
	rows := [][]string{}
	for _, t := range r.Texts {
		who := "no"
		if t.Reads {
			who = "yes"
		}
		rows = append(rows, []string{t.Channel, t.Text, t.Phase, who})
	}
	p.table([]string{"channel", "text", "phase", "reads"}, rows)
	p.blank()
	rows = rows[:0]
	for _, l := range r.Rows {
		judged := l.Verdict
		if l.Judged != nil {
			judged += " " + l.Judged.Format(shortTime)
		}
		rows = append(rows, []string{l.Said.Format(shortTime), l.Channel, l.Origin, fmt.Sprint(l.Number), l.Kind, l.Clause, judged})
	}
	p.table([]string{"said", "channel", "from", "number", "what", "under", "read"}, rows)
	p.blank()
	p.line("%d could be read, %d were judged, %d of those refused.", r.Readable, r.Judged, r.Refused)
}

func newAuditAsOf(a *app) *cobra.Command {
	var f auditFlags
	var party string
	c := &cobra.Command{
		Use:   "as-of TIME --party PARTY --reason WHY --dir DIR",
		Short: "say what a party could read at a time, under which text, and what it did read",
		Long: `Verifies the history again and says which statements were sealed to the party by
then and not yet due to be erased, under which text, and which of them the party
had taken in by its own signed receipts. Who looked at them inside that party is for
its own records.`,
		Example: `  karaula audit as-of 2026-05-01T12:00:00Z --party me --reason "data subject's claim 9" --dir al`,
		Args:    positional("TIME"),
	}
	f.add(c)
	c.Flags().StringVar(&party, "party", "", "whose eyes")
	required(c, "party")
	c.RunE = func(c *cobra.Command, args []string) error {
		when, err := a.moment(c, args[0])
		if err != nil {
			return err
		}
		n, err := a.audit(c.Context(), &f, &karaulav1.AuditRequest{Deed: "as-of"})
		if err != nil {
			return err
		}
		defer n.close()
		k := &asOf{asOfResult{Party: party, At: when, Texts: []asOfText{}, Rows: []asOfRow{}}, map[evidence.Place]int{}}
		k.texts(n)
		report, err := evidence.Replay(c.Context(), evidence.Options{View: n.View, Skew: n.Skew, Now: a.now(), Tell: k.tell}, n.Inputs)
		if err != nil {
			return err
		}
		k.Verified, k.findings = !report.Broken, newFindings(report)
		if err := a.show(k.asOfResult); err != nil || k.Verified {
			return err
		}
		return failed(k.findings)
	}
	return c
}

// asOf gathers the answer.
type asOf struct {
	asOfResult
	rows map[evidence.Place]int
}

// texts says which texts ruled.
func (k *asOf) texts(n *inspection) {
	seen := map[string]bool{}
	for _, in := range n.Inputs {
		cv, ok := n.View.ChannelAt(in.Channel, k.At)
		if seen[in.Channel] || !ok {
			continue
		}
		seen[in.Channel] = true
		line := asOfText{
			Channel: cv.ID, Text: fmt.Sprintf("%s version %d", cv.Agreement.ID, cv.Agreement.Version), Phase: cv.PhaseAt(k.At).String(),
		}
		for _, p := range append(append([]string{}, cv.Parties...), cv.Auditors...) {
			line.Reads = line.Reads || p == k.Party
		}
		k.Texts = append(k.Texts, line)
	}
}

// tell takes in a statement: one that the party could read, or its receipt.
func (k *asOf) tell(s *evidence.Said) error {
	if s.At.After(k.At) {
		return nil
	}
	reads := false
	for _, r := range s.Readers {
		reads = reads || r == k.Party
	}
	if s.Sealed && reads && (s.EraseAfter.IsZero() || s.EraseAfter.After(k.At)) {
		k.add(s)
	}
	if s.Origin == k.Party {
		k.judge(s)
	}
	return nil
}

func (k *asOf) add(s *evidence.Said) {
	row := asOfRow{
		Channel: s.Channel, Origin: s.Origin, Epoch: s.Epoch, Number: s.Seq, Kind: terms.KindWord(s.Kind), Said: s.At, Verdict: "not judged yet",
		Clause: list(s.Clauses),
	}
	if s.Type != 0 {
		row.Kind = terms.TypeWord(s.Type)
	}
	if s.Agreement != nil {
		row.Text = fmt.Sprintf("%s version %d", s.Agreement.ID, s.Agreement.Version)
	}
	if s.Origin == k.Party {
		row.Verdict = "own"
	}
	k.rows[evidence.Place{Channel: s.Channel, Origin: s.Origin, Epoch: s.Epoch, Seq: s.Seq}] = len(k.Rows)
	k.Rows = append(k.Rows, row)
	k.Readable++
}

// judge enters the party's verdicts.
func (k *asOf) judge(s *evidence.Said) {
	for _, r := range s.Received {
		refused := map[uint64]string{}
		for _, e := range r.Exceptions {
			refused[e.GetSeq()] = terms.ClassWord(e.GetClass()) + " " + terms.CodeWord(e.GetCode())
		}
		for seq := r.Since + 1; seq <= r.To && seq-r.Since <= maxReceipted; seq++ {
			i, ok := k.rows[evidence.Place{Channel: s.Channel, Origin: r.Origin, Epoch: r.Epoch, Seq: seq}]
			if !ok || k.Rows[i].Judged != nil {
				continue
			}
			at := s.At
			k.Rows[i].Judged, k.Rows[i].Verdict = &at, "accepted"
			k.Judged++
			if word, no := refused[seq]; no {
				k.Rows[i].Verdict = word
				k.Refused++
			}
		}
	}
}

// maxReceipted bounds what one receipt may cover here: it is somebody's claim.
const maxReceipted = 10_000_000
