package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"karaula/internal/agreement"
	"karaula/internal/alert"
	"karaula/internal/evidence"
	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// replayEvent is one statement, or at the end the outcome.
type replayEvent struct {
	Said    *saidLine     `json:"said,omitempty"`
	Outcome *replayResult `json:"outcome,omitempty"`
}

func (e replayEvent) page(p *page) {
	if e.Said != nil {
		e.Said.page(p)
		return
	}
	e.Outcome.page(p)
}

// saidLine is one statement of the story.
type saidLine struct {
	At       time.Time       `json:"at"`
	Channel  string          `json:"channel"`
	Mode     string          `json:"mode"`               // actual; or exercise: it is not meant
	Exercise string          `json:"exercise,omitempty"` // its name, where the content is open
	Origin   string          `json:"origin"`
	Epoch    uint64          `json:"epoch"`
	Number   uint64          `json:"number"`
	Kind     string          `json:"kind"`
	Type     string          `json:"type,omitempty"`
	Text     string          `json:"text,omitempty"` // the agreement that it names, "b01-al-me version 1"
	Clauses  []string        `json:"clauses,omitempty"`
	Readers  []string        `json:"readers,omitempty"`
	Verdict  string          `json:"verdict"` // accepted, refused or held: of whoever cannot open it, or of the auditor
	Code     string          `json:"code,omitempty"`
	Erased   bool            `json:"erased"` // its content is not here any more
	Brings   string          `json:"brings,omitempty"`
	Receipts []receiptLine   `json:"receipts,omitempty"`
	Digest   string          `json:"digest"`              // leaf, "sha256:…"
	Handling string          `json:"handling,omitempty"`  // of the content: what may be done with it
	Court    string          `json:"court,omitempty"`     // what it needs to be evidence in court: consent, restriction
	PassedOn *descentLine    `json:"passed_on,omitempty"` // whose alert it is, if another party has passed it on
	Content  json.RawMessage `json:"content,omitempty"`   // as alert files hold it

	text []byte // the content for people
}

// receiptLine is what a recipient has signed about a ledger.
type receiptLine struct {
	Of      string   `json:"of"`
	Epoch   uint64   `json:"epoch"`
	From    uint64   `json:"from"`
	To      uint64   `json:"to"`
	Refused []string `json:"refused,omitempty"` // "17 type-not-allowed"
}

func newSaidLine(s *evidence.Said) *saidLine {
	l := &saidLine{
		At: s.At, Channel: s.Channel, Mode: terms.ModeWord(s.Mode), Origin: s.Origin, Epoch: s.Epoch, Number: s.Seq, Kind: terms.KindWord(s.Kind),
		Clauses: s.Clauses, Readers: s.Readers, Verdict: terms.ClassWord(s.Verdict.Class), Erased: s.Sealed && s.Stub, Brings: s.Brings,
		Digest: agreement.FormatDigest(s.Leaf),
	}
	if s.Parsed == nil {
		l.Kind = "malformed"
	}
	if s.Type != 0 {
		l.Type = terms.TypeWord(s.Type)
	}
	if s.Verdict.Code != 0 {
		l.Code = terms.CodeWord(s.Verdict.Code)
	}
	if s.Agreement != nil {
		l.Text = fmt.Sprintf("%s version %d", s.Agreement.ID, s.Agreement.Version)
	}
	for _, r := range s.Received {
		line := receiptLine{Of: r.Origin, Epoch: r.Epoch, From: r.Since + 1, To: r.To}
		for _, e := range r.Exceptions {
			word := terms.CodeWord(e.GetCode())
			if e.GetCode() == 0 {
				word = terms.ClassWord(e.GetClass())
			}
			line.Refused = append(line.Refused, fmt.Sprintf("%d %s", e.GetSeq(), word))
		}
		l.Receipts = append(l.Receipts, line)
	}
	l.Exercise = s.Verdict.Inner.GetExercise()
	if in := s.Verdict.Inner; in.GetAlert() != nil {
		l.Content, _ = alert.MarshalJSON(in.GetAlert()) // what cannot be shown is not
		l.text, _ = alert.MarshalYAML(in.GetAlert())
		h := in.GetAlert().GetHandling()
		l.Handling, l.Court, l.PassedOn = alert.HandlingWord(h), courtWord(h), newDescentLine(s.Verdict.Descent)
	}
	return l
}

func (l *saidLine) page(p *page) {
	what := l.Kind
	if l.Type != "" {
		what = l.Type
	}
	if l.Mode == exerciseMode {
		what = drilled(l.Exercise) + " " + what
	}
	var tail strings.Builder
	if len(l.Clauses) > 0 {
		tail.WriteString(", under " + strings.Join(l.Clauses, " or "))
	}
	if l.Kind == "alert" || l.Kind == "act" {
		tail.WriteString(", for " + list(l.Readers))
	}
	for _, r := range l.Receipts {
		fmt.Fprintf(&tail, ", has judged %s %d to %d", r.Of, r.From, r.To)
		if len(r.Refused) > 0 {
			tail.WriteString(" but " + list(r.Refused))
		}
	}
	if l.Brings != "" {
		tail.WriteString(", brings " + l.Brings)
	}
	if l.Verdict != "accepted" {
		tail.WriteString(": " + l.Verdict + " " + l.Code)
	}
	if l.Erased {
		tail.WriteString(" (content erased)")
	}
	p.line("%s  %s  %s %d  %s%s", l.At.Format(shortTime), l.Channel, l.Origin, l.Number, what, tail.String())
	if l.PassedOn != nil {
		p.line("    passed on: %s, %s", l.PassedOn.short(lang{}), l.PassedOn.Channel)
	}
	if l.Court != "" {
		p.line("    %s", handlingText(lang{}, l.Handling))
	}
	for line := range strings.Lines(string(l.text)) {
		p.raw([]byte("    " + line))
	}
}

// replayResult is what a replay has found out.
type replayResult struct {
	Verified bool          `json:"verified"`
	Ledgers  []ledgerLine  `json:"ledgers"`
	Findings []findingLine `json:"findings"`
	More     int           `json:"more"` // findings beyond those
}

func newReplayResult(r *evidence.Report) *replayResult {
	out := &replayResult{Verified: !r.Broken, Findings: newFindings(r), More: r.More, Ledgers: []ledgerLine{}}
	for _, l := range r.Ledgers {
		out.Ledgers = append(out.Ledgers, ledgerLine{
			Channel: l.Channel, Mode: terms.ModeWord(l.Mode), Origin: l.Origin,
			Epoch: l.Epoch, From: l.From, To: l.Size, Root: agreement.FormatDigest(l.Root),
			First: l.First, Last: l.Last, Total: l.Statements, Refused: l.Refused, Unplaced: l.Unplaced, Cosigned: l.Cosigned,
		})
	}
	return out
}

func (r *replayResult) page(p *page) {
	p.blank()
	pageLedgers(p, r.Ledgers)
	pageFindings(p, r.Findings, r.More)
	p.blank()
	if r.Verified {
		p.line("Everything verifies.")
	} else {
		p.line("The history does NOT verify.")
	}
}

// pageLedgers shows how ledgers stand.
func pageLedgers(p *page, ledgers []ledgerLine) {
	rows := make([][]string, 0, len(ledgers))
	for _, l := range ledgers {
		var by []string
		for _, who := range slices.Sorted(maps.Keys(l.Cosigned)) {
			by = append(by, fmt.Sprintf("%s to %d", who, l.Cosigned[who]))
		}
		numbers := "nothing"
		if l.Total > 0 {
			numbers = fmt.Sprintf("%d to %d", l.From, l.To)
		}
		if l.Epoch > 1 {
			numbers += fmt.Sprintf(", epoch %d", l.Epoch)
		}
		channel := l.Channel
		if l.Mode == exerciseMode {
			channel = drilled("") + " " + channel
		}
		rows = append(rows, []string{channel, l.Origin, numbers, fmt.Sprint(l.Refused), fmt.Sprint(l.Unplaced), list(by)})
	}
	p.table([]string{"channel", "from", "numbers", "refused", "not verified", "signed the same"}, rows)
}

// replayFilter says which statements of a replay are told.
type replayFilter struct {
	from, to time.Time
	origin   string
	places   map[evidence.Place]bool // nil for all
	alert    [16]byte                // by which more places are found in content that is opened
}

func (f *replayFilter) wants(s *evidence.Said) bool {
	if f.places != nil {
		if in := s.Verdict.Inner; in != nil && string(in.GetAlertId()) == string(f.alert[:]) {
			f.places[evidence.Place{Channel: s.Channel, Origin: s.Origin, Epoch: s.Epoch, Seq: s.Seq}] = true
		}
		return f.places[evidence.Place{Channel: s.Channel, Origin: s.Origin, Epoch: s.Epoch, Seq: s.Seq}] || f.receipted(s)
	}
	return (f.origin == "" || f.origin == s.Origin) &&
		(f.from.IsZero() || !s.At.Before(f.from)) && (f.to.IsZero() || s.At.Before(f.to))
}

// receipted reports whether a statement is a receipt about one of the places.
func (f *replayFilter) receipted(s *evidence.Said) bool {
	for _, r := range s.Received {
		for at := range f.places {
			if at.Channel == s.Channel && at.Origin == r.Origin && at.Epoch == r.Epoch && at.Seq > r.Since && at.Seq <= r.To {
				return true
			}
		}
	}
	return false
}

// replayFlags say what to replay and what to tell of it.
type replayFlags struct {
	auditFlags
	from, to, origin, alert, keyFile, forks string
	content                                 bool
}

func newAuditReplay(a *app) *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use:   "replay --reason WHY --dir DIR",
		Short: "verify the whole history again, and tell it in order",
		Long: `Reads every statement of the node's channels from the first on and verifies it again:
signatures by the keys and cards of its time, the agreement in force, numbering,
roots, and what the parties have signed about each other. Prints what was said, under
which clause, who could read it, and who has judged it how. --from, --to, --origin and
--alert choose what is printed; verified is everything. It ends with exit code 6
and the exact place if something does not verify.

With --content an auditor whom the agreement names reads what is sealed: at a node
with the age identity in --audit-key, at a broker with the auditor's own keys.`,
		Example: `  karaula audit replay --reason "yearly audit" --dir al
  karaula audit replay --channel b01-al-me --from 2026-05-01T00:00:00Z --reason "case 17" --dir al --output json
  karaula audit replay --broker al --content --reason "inspection 3" --dir dpa`,
		Args: positional(),
	}
	f.add(c)
	c.Flags().StringVar(&f.from, "from", "", "print what was said at or after this time")
	c.Flags().StringVar(&f.to, "to", "", "print what was said before this time")
	c.Flags().StringVar(&f.origin, "origin", "", "print what this party said")
	c.Flags().StringVar(&f.alert, "alert", "", "print the story of this alert")
	c.Flags().BoolVar(&f.content, "content", false, "also print the content, with an auditor's key")
	c.Flags().StringVar(&f.forks, "forks", "", "folder for a file of each contradiction that is found")
	c.Flags().StringVar(&f.keyFile, "audit-key", "", "file with the auditor's age identity")
	c.RunE = func(c *cobra.Command, _ []string) error {
		filter, err := a.filter(c, &f)
		if err != nil {
			return err
		}
		return a.replay(c.Context(), &f, filter)
	}
	return c
}

// filter reads what is to be told, and refuses flags that do not go together.
func (a *app) filter(c *cobra.Command, f *replayFlags) (*replayFilter, error) {
	filter := &replayFilter{origin: f.origin}
	var err error
	if filter.from, filter.to, err = a.window(c, f.from, f.to); err != nil {
		return nil, err
	}
	if f.content != (f.keyFile != "" || f.broker != "" && f.content) {
		return nil, errUsage(c, "--content and --audit-key belong together; with --broker the auditor's own keys are used")
	}
	if f.broker != "" && f.alert != "" && !f.content {
		return nil, errUsage(c, "at a broker an alert is found by its content alone: --alert ID --content")
	}
	if f.alert != "" {
		filter.places = map[evidence.Place]bool{}
		filter.alert, err = alertUUID(f.alert)
	}
	return filter, err
}

// replay verifies the history again, and tells it.
func (a *app) replay(ctx context.Context, f *replayFlags, filter *replayFilter) error {
	n, err := a.audit(ctx, &f.auditFlags, &karaulav1.AuditRequest{Deed: "replay", AlertId: f.alert})
	if err != nil {
		return err
	}
	defer n.close()
	for _, p := range n.Places {
		filter.places[placeOf(p)] = true
	}
	o := evidence.Options{View: n.View, Skew: n.Skew, Now: a.now()}
	if f.content {
		if o.Reader, o.Opener, err = a.contentKeys(n, f.keyFile); err != nil {
			return err
		}
	}
	o.Tell = func(s *evidence.Said) error {
		if !filter.wants(s) {
			return nil
		}
		return a.event(replayEvent{Said: newSaidLine(s)})
	}
	report, err := evidence.Replay(ctx, o, n.Inputs)
	if err != nil {
		return err
	}
	if err := a.writeForks(f.forks, report); err != nil {
		return err
	}
	out := newReplayResult(report)
	if err := a.event(replayEvent{Outcome: out}); err != nil || out.Verified {
		return err
	}
	return failed(out.Findings)
}

// writeForks writes the contradictions that were found into a folder, a file each.
func (a *app) writeForks(dir string, r *evidence.Report) error {
	for _, f := range r.Findings {
		if dir == "" || f.Fork == nil {
			continue
		}
		path := filepath.Join(dir, fmt.Sprintf("%s.%s.%d-%d.fork", f.Channel, f.Origin, f.Epoch, f.Seq))
		body := f.Fork.Marshal()
		if err := newFile(path, func(w io.Writer) error { _, err := w.Write(body); return err }); err != nil {
			return err
		}
		a.note("the contradiction of %s at number %d is in %s; anybody verifies it: karaula verify", f.Origin, f.Seq, path)
	}
	return nil
}

func placeOf(p *karaulav1.AuditPlace) evidence.Place {
	return evidence.Place{Channel: p.GetChannel(), Origin: p.GetOrigin(), Epoch: p.GetEpoch(), Seq: p.GetSeq()}
}

// window reads two times, either of which may be missing.
func (a *app) window(c *cobra.Command, from, to string) (first, end time.Time, err error) {
	if from != "" {
		if first, err = a.moment(c, from); err != nil {
			return first, end, err
		}
	}
	if to != "" {
		if end, err = a.moment(c, to); err != nil {
			return first, end, err
		}
	}
	if !first.IsZero() && !end.IsZero() && !first.Before(end) {
		return first, end, problem.New(problem.Invalid, "--to is not after --from")
	}
	return first, end, nil
}
