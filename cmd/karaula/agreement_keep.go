package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"karaula/internal/agreement"
	"karaula/internal/register"
	"karaula/internal/terms"
)

// agreementInfo is one agreement text of the register and how it stands.
type agreementInfo struct {
	ID          string    `json:"id"`
	Version     uint64    `json:"version"`
	Title       string    `json:"title"`
	Digest      string    `json:"digest"`       // of the text, "sha256:…", as statements name it
	State       string    `json:"state"`        // proposed, not-yet-in-force, in-force, winding-down or closed
	Parties     []string  `json:"parties"`      // codes, in the order of the text
	SignedBy    []string  `json:"signed_by"`    // codes of whose root has signed
	Missing     []string  `json:"missing"`      // who has not signed but must
	SuspendedBy []string  `json:"suspended_by"` // in effect now
	ValidFrom   time.Time `json:"valid_from"`
	ValidUntil  time.Time `json:"valid_until"`
	EndsAt      time.Time `json:"ends_at"`   // first moment no longer in force, all considered
	ClosesAt    time.Time `json:"closes_at"` // first moment at which nothing travels
}

// stateProposed is the state of a text that somebody has not signed yet.
const stateProposed = "proposed"

func describeAgreement(e *register.Entry, now time.Time) agreementInfo {
	t := e.Agreement
	out := agreementInfo{
		ID: t.ID, Version: t.Version, Title: t.Title, Digest: agreement.FormatDigest(t.Digest), State: stateProposed,
		Parties: t.Codes(), SignedBy: append([]string{}, e.SignedBy...), Missing: append([]string{}, e.Missing...),
		SuspendedBy: []string{}, ValidFrom: t.ValidFrom, ValidUntil: t.ValidUntil, EndsAt: e.EndsAt, ClosesAt: e.ClosesAt(),
	}
	if e.Complete {
		out.State = strings.ReplaceAll(e.PhaseAt(now).String(), " ", "-")
	}
	for code := range e.Suspensions {
		out.SuspendedBy = append(out.SuspendedBy, code)
	}
	slices.Sort(out.SuspendedBy)
	return out
}

// words says the state for people.
func (i agreementInfo) words() string {
	text := strings.ReplaceAll(i.State, "-", " ")
	if i.State == stateProposed && len(i.Missing) > 0 {
		text += ", not signed by " + list(i.Missing)
	}
	if len(i.SuspendedBy) > 0 {
		text += ", suspended by " + list(i.SuspendedBy)
	}
	return text
}

type agreementListResult struct {
	Agreements []agreementInfo `json:"agreements"`
}

func (r agreementListResult) page(p *page) {
	rows := make([][]string, 0, len(r.Agreements))
	for _, i := range r.Agreements {
		rows = append(rows, []string{
			i.ID, strconv.FormatUint(i.Version, 10), list(i.Parties), agreement.FormatTime(i.EndsAt), i.words(),
		})
	}
	p.table([]string{"agreement", "version", "parties", "until", "state"}, rows)
}

func newAgreementList(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:     "list --dir DIR",
		Short:   "list the agreements that the node has, proposals too",
		Example: "  karaula agreement list --dir al",
		Args:    positional(),
	}
	dirFlag(c, &dir)
	c.RunE = func(*cobra.Command, []string) error {
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		v := n.reg.View()
		out := agreementListResult{Agreements: []agreementInfo{}}
		for _, e := range v.Agreements() {
			out.Agreements = append(out.Agreements, describeAgreement(e, v.Time()))
		}
		return a.show(out)
	}
	return c
}

// agreementAddResult says what became of a file.
type agreementAddResult struct {
	agreementInfo
	Known bool `json:"known"` // nothing in the file was new
}

func (r agreementAddResult) page(p *page) {
	p.fields(
		field{"agreement", fmt.Sprintf("%s version %d  %s", r.ID, r.Version, r.Title)},
		field{"state", r.words()},
		field{"from", agreement.FormatTime(r.ValidFrom)},
		field{"until", agreement.FormatTime(r.EndsAt)},
		field{"signed by", list(r.SignedBy)},
	)
}

func newAgreementAdd(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "add FILE --dir DIR",
		Short: "take an agreement file into the node",
		Long: `Takes an agreement file into the node and unites its signatures with those of
earlier files of the same text. It is in force once all parties have signed and
its time has come. A running node picks it up without a restart.`,
		Example: "  karaula agreement add b01-al-me.agreement --dir al",
		Args:    positional("FILE"),
	}
	dirFlag(c, &dir)
	c.RunE = func(_ *cobra.Command, args []string) error {
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		_, body, err := a.readText(args[0])
		if err != nil {
			return err
		}
		res, err := n.reg.AddAgreement(body)
		if err != nil {
			return err
		}
		for _, w := range res.Warnings {
			a.note("%s", w)
		}
		v := n.reg.View()
		e, ok := v.AgreementByDigest(res.Agreement.Digest)
		if !ok {
			return notFound("agreement", res.Agreement.ID, dir)
		}
		return a.show(agreementAddResult{agreementInfo: describeAgreement(e, v.Time()), Known: res.Known})
	}
	return c
}

// entry chooses a text by id: the version asked for, or else the one that rules
// now, or else the newest.
func (n *place) entry(v *register.View, id string, version uint64) (*register.Entry, error) {
	var found *register.Entry
	for _, e := range v.Agreements() {
		switch {
		case e.Agreement.ID != id || version != 0 && e.Agreement.Version != version:
		case found == nil, version == 0 && !rules(found, v.Time()):
			found = e
		}
	}
	if found == nil {
		name := id
		if version != 0 {
			name = fmt.Sprintf("%s version %d", id, version)
		}
		return nil, notFound("agreement", name, n.Dir)
	}
	return found, nil
}

// rules reports whether a text is complete and has begun, and has not ended.
func rules(e *register.Entry, now time.Time) bool {
	phase := e.PhaseAt(now)
	return e.Complete && phase == agreement.InForce
}

// clauseInfo is one clause of an agreement.
type clauseInfo struct {
	Clause   int      `json:"clause"`
	Channel  string   `json:"channel"`
	Parties  []string `json:"parties"` // who may say it
	Types    []string `json:"types"`
	Personal bool     `json:"personal"`
	Handling string   `json:"handling"` // highest
	Retain   string   `json:"retain"`   // longest
	Article  string   `json:"article,omitempty"`
}

// agreementPart is a party as an agreement's text names it.
type agreementPart struct {
	Party       string `json:"party"`
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
}

type agreementShowResult struct {
	agreementInfo
	Roots   []agreementPart `json:"roots"` // of the parties, as signed
	Clauses []clauseInfo    `json:"clauses"`
	Text    string          `json:"text"` // the exact file with its signature lines
}

func (r agreementShowResult) page(p *page) {
	p.fields(
		field{"agreement", fmt.Sprintf("%s version %d  %s", r.ID, r.Version, r.Title)},
		field{"digest", r.Digest},
		field{"state", r.words()},
		field{"in force", agreement.FormatTime(r.ValidFrom) + " until " + agreement.FormatTime(r.EndsAt)},
		field{"closes", agreement.FormatTime(r.ClosesAt)},
		field{"signed by", list(r.SignedBy)},
	)
	p.blank()
	rows := make([][]string, 0, len(r.Roots))
	for _, i := range r.Roots {
		rows = append(rows, []string{i.Party, i.Fingerprint, i.Name})
	}
	p.table([]string{"party", "fingerprint", "name"}, rows)
	p.blank()
	rows = nil
	for _, i := range r.Clauses {
		rows = append(rows, []string{
			i.Channel, strconv.Itoa(i.Clause), list(i.Parties), list(i.Types), yesNo(i.Personal), i.Handling, i.Retain,
			i.Article,
		})
	}
	p.table([]string{"channel", "clause", "who", "may say", "personal", "up to", "kept", "article"}, rows)
}

// yesNo writes a truth value.
func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func newAgreementShow(a *app) *cobra.Command {
	var dir string
	var version uint64
	var text bool
	c := &cobra.Command{
		Use:   "show ID --dir DIR",
		Short: "show an agreement, who has signed it and how it stands",
		Long: `Shows the version of an agreement that is in force, or else the newest one. With
--text it prints the exact file with its signature lines, to hand on.`,
		Example: `  karaula agreement show b01-al-me --dir al
  karaula agreement show b01-al-me --text --dir al > b01-al-me.agreement`,
		Args: positional("ID"),
	}
	dirFlag(c, &dir)
	c.Flags().Uint64Var(&version, "version", 0, "version of the text (default: the one in force)")
	c.Flags().BoolVar(&text, "text", false, "print the exact file")
	c.RunE = func(_ *cobra.Command, args []string) error {
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		v := n.reg.View()
		e, err := n.entry(v, args[0], version)
		if err != nil {
			return err
		}
		if text {
			return a.show(textResult{Text: string(e.File)})
		}
		return a.show(describeText(e, v.Time()))
	}
	return c
}

func describeText(e *register.Entry, now time.Time) agreementShowResult {
	out := agreementShowResult{
		agreementInfo: describeAgreement(e, now), Roots: []agreementPart{}, Clauses: []clauseInfo{}, Text: string(e.File),
	}
	for _, p := range e.Agreement.Parties {
		out.Roots = append(out.Roots, agreementPart{Party: p.Code, Name: p.Name, Fingerprint: fingerprint(p.Root)})
	}
	for _, ch := range e.Agreement.Channels {
		for _, s := range ch.Says {
			out.Clauses = append(out.Clauses, describeClause(ch.ID, s))
		}
	}
	return out
}

func describeClause(channel string, s agreement.Say) clauseInfo {
	out := clauseInfo{
		Clause: s.Clause, Channel: channel, Parties: s.Parties, Personal: s.Personal,
		Handling: terms.HandlingWord(s.Handling), Retain: agreement.FormatDuration(s.Retain), Article: s.Article,
	}
	for _, t := range s.Types {
		out.Types = append(out.Types, terms.TypeWord(t))
	}
	return out
}

type agreementRemoveResult struct {
	Removed string `json:"removed"` // agreement id
}

func (r agreementRemoveResult) page(p *page) { p.line("removed %s", r.Removed) }

func newAgreementRemove(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "remove ID --dir DIR",
		Short: "forget an agreement that is closed, suspended by this party, or only proposed",
		Long: `Forgets an agreement. Its id stays reserved for ever if this party or everybody
had signed it. While it is in force and not suspended by this party, only
proposals with its id are removed.`,
		Example: "  karaula agreement remove b01-al-me --dir al",
		Args:    positional("ID"),
	}
	dirFlag(c, &dir)
	c.RunE = func(_ *cobra.Command, args []string) error {
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		if !terms.ValidID(args[0]) {
			return notFound("agreement", args[0], dir)
		}
		if err := n.reg.RemoveAgreement(args[0]); err != nil {
			return err
		}
		return a.show(agreementRemoveResult{Removed: args[0]})
	}
	return c
}
