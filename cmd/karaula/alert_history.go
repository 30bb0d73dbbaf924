package main

import (
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"karaula/gateway/book"
	"karaula/gateway/desk"
	"karaula/internal/alert"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// historyResult is the life of an alert.
type historyResult struct {
	ID       string         `json:"id"`
	Origin   string         `json:"origin"`
	Version  uint32         `json:"version"`          // the one that counts
	Status   string         `json:"status"`           // current, withdrawn, expired, erased
	Broken   []uint32       `json:"broken,omitempty"` // versions that do not continue the one before
	Flags    []deedLine     `json:"flags,omitempty"`
	Deeds    []deedLine     `json:"deeds,omitempty"` // the last of each party
	Links    []relatedLine  `json:"links,omitempty"`
	Hits     []relatedLine  `json:"hits,omitempty"`
	Errors   uint32         `json:"errors,omitempty"` // error notices
	Consents []consentLine  `json:"consents,omitempty"`
	Handling string         `json:"handling,omitempty"`  // what may be done with it: H0, H1, H2, H3
	PassedOn *descentLine   `json:"passed_on,omitempty"` // whose alert it is, if another party has passed it on
	Passed   []passedLine   `json:"passed,omitempty"`    // where this node has passed it on to
	Events   []historyEvent `json:"events"`              // in the order of their times
	Complete bool           `json:"complete"`
	Drill    bool           `json:"drill,omitempty"` // not meant
	Exercise string         `json:"exercise,omitempty"`

	in lang
}

type deedLine struct {
	Party  string    `json:"party"`
	Deed   string    `json:"deed"`
	Ground string    `json:"ground,omitempty"`
	At     time.Time `json:"at"`
}

type relatedLine struct {
	Party    string `json:"party"`
	Alert    string `json:"alert"`
	Relation string `json:"relation,omitempty"`
}

type consentLine struct {
	Party   string     `json:"party"`
	Onward  string     `json:"onward"`
	Request string     `json:"request"` // digest of the request
	Answer  string     `json:"answer"`  // waiting, consent, no-consent
	Readers []string   `json:"readers"` // who would read it there
	Purpose string     `json:"purpose"`
	Until   *time.Time `json:"until,omitempty"` // until when it may be kept there
}

// passedLine is an own alert with which the alert was passed on.
type passedLine struct {
	Channel string `json:"channel"`
	Alert   string `json:"alert"`
	Version uint32 `json:"version"` // of the original
	Status  string `json:"status"`  // current, withdrawn, expired, erased
}

type historyEvent struct {
	At      time.Time `json:"at"`
	Party   string    `json:"party"`
	Channel string    `json:"channel"`
	Epoch   uint64    `json:"epoch"`
	Number  uint64    `json:"number"`
	Version uint32    `json:"version,omitempty"`
	What    string    `json:"what"`
	Hit     string    `json:"hit,omitempty"`
	Other   string    `json:"other,omitempty"`
	Digest  string    `json:"digest"`

	act *karaulav1.Act // of acts
}

func (r historyResult) page(p *page) {
	if r.Drill {
		p.line("%s: nothing of this is meant", drilled(r.Exercise))
	}
	if !r.in.none() {
		r.pageIn(p)
		return
	}
	fields := []field{
		{"alert", fmt.Sprintf("%s of %s", r.ID, r.Origin)},
		{"status", fmt.Sprintf("%s, version %d", r.Status, r.Version)},
	}
	if len(r.Broken) > 0 {
		fields = append(fields, field{"broken", fmt.Sprintf("versions %v do not continue the one before them", r.Broken)})
	}
	for _, f := range r.Flags {
		fields = append(fields, field{"flag", fmt.Sprintf("not executable in %s: %s", f.Party, f.Ground)})
	}
	for _, l := range r.Links {
		fields = append(fields, field{"link", fmt.Sprintf("%s with %s, says %s", l.Relation, l.Alert, l.Party)})
	}
	if r.Handling != "" {
		fields = append(fields, field{"handling", handlingText(lang{}, r.Handling)})
	}
	fields = append(fields, r.PassedOn.fields(lang{})...)
	for _, c := range r.Consents {
		fields = append(fields, field{"consent", c.text()})
	}
	for _, x := range r.Passed {
		fields = append(fields, field{"passed on", fmt.Sprintf("version %d to %s as %s, %s", x.Version, x.Channel, x.Alert, x.Status)})
	}
	p.fields(fields...)
	p.blank()
	rows := make([][]string, 0, len(r.Events))
	for _, e := range r.Events {
		what := e.What
		if e.Other != "" {
			what += " " + e.Other
		}
		rows = append(rows, []string{e.At.Format(shortTime), e.Party, e.Channel, fmt.Sprint(e.Number), fmt.Sprint(e.Version), what})
	}
	p.table([]string{"said", "by", "channel", "number", "version", "what"}, rows)
}

// pageIn shows in a language what has terms there.
func (r historyResult) pageIn(p *page) {
	in, parties := r.in, map[string]bool{r.Origin: true}
	fields := []field{
		{in.label("alert"), r.ID},
		{in.label("from"), in.party(r.Origin)},
		{in.label("state"), in.label(r.Status)},
		{in.label("version"), fmt.Sprint(r.Version)},
	}
	if r.Handling != "" {
		fields = append(fields, field{in.label("handling"), handlingText(in, r.Handling)})
	}
	fields = append(fields, r.PassedOn.fields(in)...)
	for _, f := range r.Flags {
		parties[f.Party] = true
		flag := in.Term(karaulav1.Deed(0).Descriptor(), karaulav1.Deed_DEED_FLAG.Number())
		fields = append(fields, field{in.party(f.Party), flag + ": " + in.word(karaulav1.Ground(0), f.Ground)})
	}
	p.fields(fields...)
	p.blank()
	rows := make([][]string, 0, len(r.Events))
	for _, e := range r.Events {
		parties[e.Party] = true
		what := in.word(karaulav1.Lifecycle(0), e.What)
		switch {
		case e.act != nil:
			what = in.act(e.act)
		case e.Hit != "":
			what = in.word(karaulav1.AlertType(0), e.What)
		}
		rows = append(rows, []string{
			e.At.Format(shortTime), in.party(e.Party), e.Channel, fmt.Sprint(e.Number), fmt.Sprint(e.Version),
			strings.TrimSpace(what + " " + e.Other),
		})
	}
	p.table(in.labels("said", "from", "channel", "number", "version", "what"), rows)
	in.footnote(p, parties)
}

func (c consentLine) text() string {
	text := fmt.Sprintf("%s wants to pass it on to %s, where %s read it, for %s", c.Party, c.Onward, list(c.Readers), c.Purpose)
	if c.Until != nil {
		text += " until " + c.Until.Format(shortTime)
	}
	return text + ": " + c.Answer
}

func newAlertHistory(a *app) *cobra.Command {
	var dir, from, tag string
	c := &cobra.Command{
		Use:   "history ID --dir DIR",
		Short: "show the life of an alert: versions, acts, hits",
		Long: `Shows what was said about an alert by its originator and by everybody else, in the
order of time, and where it stands. No content is shown; the look is recorded.

In a language the page has what there are terms for; without one it says more, of
consents and links.`,
		Example: `  karaula alert history 01920000-0000-7000-8000-000000000000 --dir al`,
		Args:    positional("ID"),
	}
	c.Flags().StringVar(&from, "from", "", "the party that said it, where several have used the same id")
	languageFlag(c, &tag)
	dirFlag(c, &dir)
	c.RunE = func(c *cobra.Command, args []string) error {
		in, err := language(c, dir, tag)
		if err != nil {
			return err
		}
		node, err := client(dir)
		if err != nil {
			return err
		}
		resp, err := node.History(c.Context(), connect.NewRequest(&karaulav1.HistoryRequest{AlertId: args[0], Origin: from}))
		if err != nil {
			return desk.FromConnect(err)
		}
		r := newHistory(args[0], resp.Msg)
		r.in = in
		if !r.Complete {
			a.note("history is still being read after the start; this is not complete")
		}
		return a.show(r)
	}
	return c
}

func newHistory(id string, m *karaulav1.HistoryResponse) historyResult {
	s := m.GetState()
	r := historyResult{
		Drill: m.GetDrill(), Exercise: m.GetExercise(),
		ID: id, Origin: s.GetOrigin(), Version: s.GetVersion(), Status: s.GetStatus(), Broken: s.GetBroken(),
		Flags: deedLines(s.GetFlags()), Deeds: deedLines(s.GetDeeds()), Links: relatedLines(s.GetLinks()), Hits: relatedLines(s.GetHits()),
		Errors: s.GetErrors(), Events: []historyEvent{}, Complete: m.GetComplete(),
		Handling: alert.HandlingWord(s.GetHandling()), PassedOn: newDescentLine(s.GetDescent()),
	}
	for _, x := range s.GetPassed() {
		r.Passed = append(r.Passed, passedLine{x.GetChannel(), x.GetAlertId(), x.GetVersion(), x.GetStatus()})
	}
	for _, c := range s.GetConsents() {
		answer := "waiting"
		if c.GetAnswer() != 0 {
			answer = alert.ActText(&karaulav1.Act{Deed: c.GetAnswer()})
		}
		r.Consents = append(r.Consents, consentLine{
			Party: c.GetParty(), Onward: c.GetOnward(), Request: fmt.Sprintf("%x", c.GetRequest()), Answer: answer,
			Readers: c.GetReaders(), Purpose: alert.PurposeWord(c.GetPurpose()), Until: when(c.GetUntil()),
		})
	}
	for _, e := range m.GetEvents() {
		line := historyEvent{
			At: micro(e.GetAt()), Party: e.GetParty(), Channel: e.GetChannel(), Epoch: e.GetEpoch(), Number: e.GetSeq(),
			Version: e.GetVersion(), Hit: e.GetHit(), Digest: fmt.Sprintf("%x", e.GetDigest()),
		}
		switch {
		case e.GetAct() != nil:
			line.What, line.act = alert.ActText(e.GetAct()), e.GetAct()
			if other := e.GetAct().GetOther(); len(other) == 16 {
				line.Other = book.IDText([16]byte(other))
			}
		case e.GetHit() != "":
			line.What, line.Other = "hit", e.GetHit()
		default:
			line.What = alert.LifecycleWord(e.GetLifecycle())
		}
		r.Events = append(r.Events, line)
	}
	return r
}

func deedLines(list []*karaulav1.PartyDeed) []deedLine {
	var out []deedLine
	for _, x := range list {
		line := deedLine{
			Party: x.GetParty(), Deed: alert.ActText(&karaulav1.Act{Deed: x.GetDeed()}), At: micro(x.GetAt()),
		}
		if x.GetGround() != 0 {
			line.Ground = alert.GroundWord(x.GetGround())
		}
		out = append(out, line)
	}
	return out
}

func relatedLines(list []*karaulav1.LinkedAlert) []relatedLine {
	var out []relatedLine
	for _, x := range list {
		line := relatedLine{Party: x.GetParty(), Alert: x.GetAlertId()}
		if x.GetRelation() != 0 {
			line.Relation = alert.RelationWord(x.GetRelation())
		}
		out = append(out, line)
	}
	return out
}
