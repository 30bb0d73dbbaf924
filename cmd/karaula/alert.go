package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"karaula/gateway/book"
	"karaula/gateway/desk"
	"karaula/internal/alert"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
	"karaula/proto/gen/karaula/v1/karaulav1connect"
)

// maxAlertFile is the largest file of alerts, in bytes.
const maxAlertFile = 4 << 20

func newAlert(a *app) *cobra.Command {
	return group("alert", "send, list, show, watch, change and answer alerts",
		"These commands talk to the running node of a folder, over its socket.",
		newAlertSend(a), newAlertList(a), newAlertShow(a), newAlertWatch(a), newAlertHistory(a), newAlertDue(a), newAlertAct(a), newAlertShare(a),
		newAlertExtend(a), newAlertWithdraw(a), newAlertErase(a), newAlertImport(a), newAlertExport(a))
}

// client gives the node of a folder; an error if nothing runs there.
func client(dir string) (karaulav1connect.NodeServiceClient, error) {
	if _, err := node.Load(dir); err != nil {
		return nil, err
	}
	socket := node.Layout{Dir: dir}.Socket()
	if _, err := os.Stat(socket); errors.Is(err, fs.ErrNotExist) {
		return nil, problem.New(problem.Unreachable, "the node of %s does not run", dir).
			WithHint("karaula run --dir %s", dir)
	}
	return desk.Dial(socket), nil
}

// sendResult says what was sent, or would be.
type sendResult struct {
	Channel  string       `json:"channel"`
	Exercise string       `json:"exercise,omitempty"` // in which it was said; absent where it is meant
	DryRun   bool         `json:"dry_run"`
	Alerts   []sentAlert  `json:"alerts"`
	Readers  []readerLine `json:"readers"` // who receives it
	Others   []readerLine `json:"others"`  // who does not
}

type sentAlert struct {
	ID       string   `json:"id"`
	Epoch    uint64   `json:"epoch,omitempty"`
	Number   uint64   `json:"number,omitempty"` // on the channel; absent in a dry run
	Clause   string   `json:"clause"`
	Warnings []string `json:"warnings,omitempty"`
}

type readerLine struct {
	Party string `json:"party"`
	Why   string `json:"why"`
}

func (r sendResult) page(p *page) {
	if r.Exercise != "" {
		p.line("%s: nothing of this is meant", drilled(r.Exercise))
	}
	for _, s := range r.Alerts {
		if r.DryRun {
			p.line("would be sent on %s under %s", r.Channel, s.Clause)
		} else {
			p.line("%s  sent on %s as number %d under %s", s.ID, r.Channel, s.Number, s.Clause)
		}
	}
	rows := make([][]string, 0, len(r.Readers)+len(r.Others))
	for _, x := range r.Readers {
		rows = append(rows, []string{x.Party, "receives it", x.Why})
	}
	for _, x := range r.Others {
		rows = append(rows, []string{x.Party, "does not", x.Why})
	}
	p.blank()
	p.table([]string{"party", "", "why"}, rows)
}

func newAlertSend(a *app) *cobra.Command {
	var dir, channel, exercise string
	var dryRun bool
	var wait time.Duration
	c := &cobra.Command{
		Use:   "send FILE|- --channel ID --dir DIR",
		Short: "send one or many alerts on a channel",
		Long: `Sends the alerts of a YAML or JSON file. Who receives them follows from the
channel's agreement: recipients are never typed. All alerts of the file are sent,
or none. Exits with 3 and the nearest reason if no clause allows it.

An alert without an id gets one. The node knows alerts by their ids and versions:
whatever was sent is not sent twice, also if the command repeats a request whose
answer was lost.`,
		Example: `  karaula alert send vehicle.yaml --channel b01-al-me --dir al --dry-run
  karaula alert send vehicle.yaml --channel b01-al-me --dir al
  karaula alert send vehicle.yaml --channel m02-wb6-x --exercise drina-26 --dir al`,
		Args: positional("FILE"),
	}
	f := c.Flags()
	f.StringVar(&channel, "channel", "", "the channel's id")
	required(c, "channel")
	f.StringVar(&exercise, "exercise", "", "the exercise that it is said in, on a channel for exercises")
	f.BoolVar(&dryRun, "dry-run", false, "only say who would receive it and why")
	f.DurationVar(&wait, "wait", 30*time.Second, "how long to wait for the node to store it")
	dirFlag(c, &dir)
	c.RunE = func(c *cobra.Command, args []string) error {
		body, err := a.readFile(args[0], "file of alerts", maxAlertFile)
		if err != nil {
			return err
		}
		alerts, err := alert.Parse(bytes.NewReader(body), args[0])
		if err != nil {
			return err
		}
		for _, al := range alerts { // so that a repeated request is known as one
			if al.GetId() == "" {
				al.Id = book.IDText(desk.NewAlertID(a.now()))
			}
		}
		return a.send(c.Context(), dir, wait, &karaulav1.SendRequest{
			Channel: channel, Alerts: alerts, DryRun: dryRun, Exercise: exercise,
		})
	}
	return c
}

// send sends, and repeats what the node could not take just now: it knows
// alerts by their ids, and says nothing twice.
func (a *app) send(ctx context.Context, dir string, wait time.Duration, req *karaulav1.SendRequest) error {
	node, err := client(dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	resp, err := node.Send(ctx, connect.NewRequest(req))
	for problem.Is(desk.FromConnect(err), problem.Unreachable) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return desk.FromConnect(err)
		case <-time.After(300 * time.Millisecond):
		}
		var again *connect.Response[karaulav1.SendResponse]
		if again, err = node.Send(ctx, connect.NewRequest(req)); err == nil {
			resp = again
		}
	}
	if err != nil {
		return desk.FromConnect(err)
	}
	r := sendResult{
		Channel:  req.GetChannel(),
		Exercise: req.GetExercise(),
		DryRun:   req.GetDryRun(),
		Readers:  readerLines(resp.Msg.GetReaders()),
		Others:   readerLines(resp.Msg.GetOthers()),
	}
	for _, s := range resp.Msg.GetSent() {
		r.Alerts = append(
			r.Alerts,
			sentAlert{
				ID:       s.GetAlertId(),
				Epoch:    s.GetEpoch(),
				Number:   s.GetSeq(),
				Clause:   s.GetClause(),
				Warnings: s.GetWarnings(),
			},
		)
		for _, w := range s.GetWarnings() {
			a.note("warning: %s", w)
		}
	}
	return a.show(r)
}

func readerLines(list []*karaulav1.Reader) []readerLine {
	out := make([]readerLine, 0, len(list))
	for _, r := range list {
		out = append(out, readerLine{Party: r.GetParty(), Why: r.GetWhy()})
	}
	return out
}

// selectFlags adds --channel, --type and --since.
func selectFlags(c *cobra.Command, channel, typ, since *string) {
	c.Flags().StringVar(channel, "channel", "", "only this channel")
	c.Flags().StringVar(typ, "type", "", "only this type")
	_ = c.RegisterFlagCompletionFunc(
		"type",
		cobra.FixedCompletions(terms.TypeWords(), cobra.ShellCompDirectiveNoFileComp),
	)
	c.Flags().StringVar(since, "since", "", "only from then on: a time, or how long ago (2h)")
}

// selection reads what selectFlags took.
func (a *app) selection(c *cobra.Command, typ, since string) (karaulav1.AlertType, int64, error) {
	var t karaulav1.AlertType
	if typ != "" {
		var ok bool
		if t, ok = terms.ParseType(typ); !ok {
			return 0, 0, errUsage(c, "%q is not a type; there are %s", typ, list(terms.TypeWords()))
		}
	}
	if since == "" {
		return t, 0, nil
	}
	if ago, err := time.ParseDuration(since); err == nil && ago >= 0 {
		return t, a.now().Add(-ago).UnixMicro(), nil
	}
	at, err := a.moment(c, since)
	return t, at.UnixMicro(), err
}

// alertLine is one alert without its content.
type alertLine struct {
	ID         string         `json:"id,omitempty"`
	Version    uint32         `json:"version,omitempty"`
	Lifecycle  string         `json:"lifecycle,omitempty"` // create, update, extend, withdraw
	Type       string         `json:"type"`
	Channel    string         `json:"channel"`
	Origin     string         `json:"origin"`
	SaidAt     time.Time      `json:"said_at"`
	Epoch      uint64         `json:"epoch"`
	Number     uint64         `json:"number"`
	Drill      bool           `json:"drill,omitempty"`    // not meant
	Exercise   string         `json:"exercise,omitempty"` // in which it was said
	State      string         `json:"state"`              // sent, accepted, refused, erased, expired
	Code       string         `json:"code,omitempty"`     // why not accepted
	Urgency    string         `json:"urgency,omitempty"`
	Handling   string         `json:"handling,omitempty"`    // what may be done with it: H0, H1, H2, H3
	Court      string         `json:"court,omitempty"`       // what it needs to be evidence in court: consent, restriction
	PassedOn   *descentLine   `json:"passed_on,omitempty"`   // whose alert it is, if another party has passed it on
	Repudiated bool           `json:"repudiated,omitempty"`  // its origin has since revoked the key that signed it
	EraseAfter *time.Time     `json:"erase_after,omitempty"` // when the content is erased at the latest
	ErasedAt   *time.Time     `json:"erased_at,omitempty"`   // of the content, at this node
	Deliveries []deliveryLine `json:"deliveries,omitempty"`  // of sent ones
	Digest     string         `json:"digest"`                // of the statement
}

type deliveryLine struct {
	Party string     `json:"party"`
	State string     `json:"state"` // waiting, accepted, refused, lapsed, seen, acted, not executed
	Code  string     `json:"code,omitempty"`
	Since *time.Time `json:"since,omitempty"`
	Due   *time.Time `json:"due,omitempty"` // until when it owes an answer that is not given yet
	// ErasedAt is since when its content is gone there, as it has signed, and
	// BackupsUntil until when its backups may still hold it.
	ErasedAt     *time.Time `json:"erased_at,omitempty"`
	BackupsUntil *time.Time `json:"backups_until,omitempty"`
}

func newAlertLine(r *karaulav1.AlertRow) alertLine {
	l := alertLine{
		ID: r.GetAlertId(), Version: r.GetVersion(), Type: terms.TypeWord(r.GetType()), Channel: r.GetChannel(),
		Origin: r.GetOrigin(), SaidAt: micro(r.GetSaidAt()), Epoch: r.GetEpoch(), Number: r.GetSeq(), State: "sent",
		Urgency: r.GetUrgency(), Repudiated: r.GetRepudiated(), Digest: fmt.Sprintf("%x", r.GetDigest()),
		Drill: r.GetDrill(), Exercise: r.GetExercise(),
	}
	if r.GetLifecycle() != 0 {
		l.Lifecycle = alert.LifecycleWord(r.GetLifecycle())
	}
	if r.GetClass() != 0 {
		l.State = terms.ClassWord(r.GetClass())
	}
	l.EraseAfter, l.ErasedAt = when(r.GetEraseAfter()), when(r.GetErasedAt())
	if r.GetCode() != 0 {
		l.Code = terms.CodeWord(r.GetCode())
	}
	l.Handling, l.Court, l.PassedOn = alert.HandlingWord(r.GetHandling()), courtWord(r.GetHandling()), newDescentLine(r.GetDescent())
	for _, d := range r.GetDeliveries() {
		x := deliveryLine{Party: d.GetParty(), State: deliveryWord(d.GetState())}
		if d.GetCode() != 0 {
			x.Code = terms.CodeWord(d.GetCode())
		}
		x.Since = when(d.GetSince())
		x.Due = when(d.GetDue())
		if d.GetErasedAt() != 0 {
			at := micro(d.GetErasedAt())
			until := at.Add(time.Duration(min(d.GetBackupHorizon(), maxHorizon)) * time.Second)
			x.ErasedAt, x.BackupsUntil = &at, &until
		}
		l.Deliveries = append(l.Deliveries, x)
	}
	return l
}

// place is the channel, marked where nothing is meant.
func (l alertLine) place() string {
	if l.Drill {
		return l.Channel + " (" + drilled(l.Exercise) + ")"
	}
	return l.Channel
}

// maxHorizon is the longest horizon of backups that is shown, in seconds.
const maxHorizon = 10 * 366 * 24 * 3600

func micro(us int64) time.Time { return time.UnixMicro(us).UTC() }

// when is a time that need not be known.
func when(us int64) *time.Time {
	if us == 0 {
		return nil
	}
	at := micro(us)
	return &at
}

func deliveryWord(s karaulav1.DeliveryState) string {
	switch s {
	case karaulav1.DeliveryState_DELIVERY_STATE_ACCEPTED:
		return "accepted"
	case karaulav1.DeliveryState_DELIVERY_STATE_REFUSED:
		return "refused"
	case karaulav1.DeliveryState_DELIVERY_STATE_LAPSED:
		return "lapsed"
	case karaulav1.DeliveryState_DELIVERY_STATE_SEEN:
		return "seen"
	case karaulav1.DeliveryState_DELIVERY_STATE_ACTED:
		return "acted"
	case karaulav1.DeliveryState_DELIVERY_STATE_NOT_EXECUTED:
		return "not executed"
	default:
		return "waiting"
	}
}

// standing says in a few words how far an alert got.
func (l alertLine) standing(in lang) string {
	if l.Drill {
		l.Drill = false
		return drilled(l.Exercise) + ", " + l.standing(in)
	}
	if l.Lifecycle == "withdraw" {
		l.Lifecycle = ""
		return strings.ToUpper(in.label("withdrawn")) + ", " + l.standing(in)
	}
	if l.ErasedAt != nil {
		l.ErasedAt = nil
		return in.since(in.word(karaulav1.VerdictClass(0), "erased"), "", l.standing(in))
	}
	if l.Repudiated {
		l.Repudiated = false
		return in.since(in.label("repudiated"), l.Origin, l.standing(in))
	}
	if l.State != "sent" {
		state := in.word(karaulav1.VerdictClass(0), l.State)
		if l.Code != "" {
			return state + ": " + l.Code
		}
		return state
	}
	out := []string{in.label("sent")}
	for _, d := range l.Deliveries {
		word := in.party(d.Party) + " " + in.word(karaulav1.DeliveryState(0), d.State)
		if d.Code != "" {
			word += " (" + d.Code + ")"
		}
		if d.Due != nil {
			word += " (" + in.label("answer due") + " " + d.Due.Format(shortTime) + ")"
		}
		if d.ErasedAt != nil {
			word += " (" + in.word(karaulav1.VerdictClass(0), "erased") + ")"
		}
		out = append(out, word)
	}
	return list(out)
}

// parties adds the parties that a page names when it shows the line.
func (l alertLine) parties(to map[string]bool) {
	to[l.Origin] = true
	for _, d := range l.Deliveries {
		to[d.Party] = true
	}
}

// shortTime is how tables show a moment.
const shortTime = "2006-01-02 15:04:05Z"
