package nodes

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"karaula/gateway/desk"
	"karaula/internal/evidence"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

const (
	drillChannel = pairChannel + "-x"
	drill        = "drina-26"
)

// withExercises adds a channel for exercises to an agreement, with the same clauses.
func withExercises(text []byte) []byte {
	before, clauses, _ := strings.Cut(string(text), "channel "+pairChannel+" mode=actual types=open\n")
	before = strings.Replace(before, "exercise no", "exercise yes", 1)
	return []byte(before + "channel " + pairChannel + " mode=actual types=open\n" + clauses +
		"channel " + drillChannel + " mode=exercise types=open\n" + clauses)
}

// drills is a pair of nodes that may practise, and both their desks.
type drills struct {
	*pair
	ctx     context.Context
	al, me  deskClient
	vehicle *karaulav1.Alert
	request *karaulav1.Alert
}

func newDrills(t *testing.T) *drills {
	t.Helper()
	p := newPairUnder(t, withExercises)
	d := &drills{
		pair: p, ctx: t.Context(), al: desk.Dial(p.al.Layout.Socket()), me: desk.Dial(p.me.Layout.Socket()),
	}
	for _, a := range exampleAlerts(t) {
		switch a.GetType() { //nolint:exhaustive // one that is looked up, one that runs a clock
		case karaulav1.AlertType_ALERT_TYPE_VEHICLE:
			d.vehicle = a
		case karaulav1.AlertType_ALERT_TYPE_REQUEST:
			d.request = a
		}
	}
	return d
}

// say sends an alert as al.
func (d *drills) say(channel, exercise string, a *karaulav1.Alert) (sent *karaulav1.Sent, err error) {
	err = d.again(func() error {
		resp, err := d.al.Send(d.ctx, connect.NewRequest(&karaulav1.SendRequest{
			Channel: channel, Exercise: exercise, Alerts: []*karaulav1.Alert{proto.CloneOf(a)},
		}))
		if err == nil {
			sent = resp.Msg.GetSent()[0]
		}
		return err
	})
	return sent, err
}

func (d *drills) must(channel, exercise string, a *karaulav1.Alert) *karaulav1.Sent {
	d.t.Helper()
	s, err := d.say(channel, exercise, a)
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

func (d *drills) refused(kind problem.Kind, channel, exercise string) {
	d.t.Helper()
	if _, err := d.say(channel, exercise, d.vehicle); !problem.Is(err, kind) {
		d.t.Errorf("%q on %s: %v, want kind %v", exercise, channel, err, kind)
	}
}

func (d *drills) announce(node deskClient, until time.Time) {
	d.t.Helper()
	ask := &karaulav1.ExerciseRequest{Name: drill, Channels: []string{drillChannel}}
	if !until.IsZero() {
		ask.Until = until.UnixMicro()
	}
	err := d.again(func() error {
		_, err := node.Exercise(d.ctx, connect.NewRequest(ask))
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

// again asks until the node can answer: a channel that has just been opened
// waits for its partner.
func (d *drills) again(ask func() error) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if err := desk.FromConnect(ask()); !problem.Is(err, problem.Unreachable) || time.Now().After(deadline) {
			return err
		}
	}
}

// list waits until a node lists so many alerts.
func (d *drills) list(node deskClient, exercise string, n int) []*karaulav1.AlertRow {
	d.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		resp, err := node.List(d.ctx, connect.NewRequest(&karaulav1.ListRequest{Exercise: exercise}))
		if err == nil && len(resp.Msg.GetAlerts()) == n {
			return resp.Msg.GetAlerts()
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("%q lists %v, %v; want %d alerts", exercise, resp, err, n)
		}
	}
}

// eventually waits until something holds.
func (d *drills) eventually(what string, holds func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatal("never: " + what)
		}
	}
}

// clocks gives how many clocks run at a node.
func (d *drills) clocks(node deskClient, exercise string) int {
	d.t.Helper()
	resp, err := node.Due(d.ctx, connect.NewRequest(&karaulav1.DueRequest{Exercise: exercise}))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, c := range resp.Msg.GetClocks() {
		if c.GetAlert().GetDrill() != (exercise != "") {
			d.t.Errorf("%q is due in %q", c.GetAlert(), exercise)
		}
	}
	return len(resp.Msg.GetClocks())
}

// Two nodes hold an exercise beside what is meant. The partner's officers are told;
// nothing of it stands in a list, look-up, clock, number or metric of what is meant.
func TestAnExerciseIsNeverMistaken(t *testing.T) {
	t.Parallel()
	d := newDrills(t)
	told := d.watch(d.me)
	d.must(pairChannel, "", d.vehicle)
	before := d.list(d.me, "", 1)[0]

	d.refused(problem.Invalid, drillChannel, "")       // nothing that is meant is said there
	d.refused(problem.Invalid, pairChannel, drill)     // and nothing practised where it is meant
	d.refused(problem.NotAllowed, drillChannel, drill) // before it is announced
	d.announce(d.al, time.Now().Add(time.Hour))
	d.refused(problem.NotAllowed, drillChannel, "una-26") // another one

	practised := d.must(drillChannel, drill, d.vehicle)
	d.must(drillChannel, drill, d.request)
	rows := d.list(d.me, drill, 2)
	for _, r := range rows {
		if !r.GetDrill() || r.GetExercise() != drill || r.GetClass() != karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED {
			t.Errorf("%v is not marked", r)
		}
	}
	d.list(d.me, "una-26", 0)
	d.apart(before.GetAlertId())
	d.practiseLookUp(practised.GetAlertId())
	if n := d.clocks(d.me, ""); n != 0 {
		t.Errorf("%d clocks run for what is practised", n)
	}
	if d.clocks(d.me, drill) == 0 {
		t.Error("no clock runs in the exercise: the test would find nothing")
	}
	d.answers(practised.GetAlertId())

	d.must(pairChannel, "", other(d.vehicle))
	if rows := d.list(d.me, "", 2); rows[0].GetSeq() <= before.GetSeq() || rows[0].GetChannel() != pairChannel {
		t.Errorf("what is meant does not go on: %v", rows)
	}
	d.announce(d.al, time.Time{})
	d.refused(problem.NotAllowed, drillChannel, drill)

	texts := told()
	for _, want := range []string{
		"EXERCISE drina-26: announced by al on " + drillChannel + " until", "EXERCISE drina-26: over for al on " + drillChannel,
	} {
		if !strings.Contains(texts, want) {
			t.Errorf("the partner's officers were not told %q, but:\n%s", want, texts)
		}
	}
	for line := range strings.Lines(texts) {
		if strings.Contains(line, drillChannel) && !strings.HasPrefix(line, "exercise EXERCISE ") {
			t.Errorf("told who did not ask: %s", line)
		}
	}
}

// other is the same alert under an id of its own.
func other(a *karaulav1.Alert) *karaulav1.Alert {
	a = proto.CloneOf(a)
	a.Id = ""
	return a
}

// apart looks up what was said both in the exercise and meant: only the latter is
// found, and metrics keep the two apart.
func (d *drills) apart(meant string) {
	d.t.Helper()
	resp, err := d.me.LookUp(d.ctx, connect.NewRequest(&karaulav1.LookUpRequest{
		Purpose: karaulav1.Purpose_PURPOSE_DETECTION, Reason: "invented check",
		Questions: []*karaulav1.Question{{About: &karaulav1.Question_Plate{Plate: &karaulav1.PlateQuestion{Number: "QX 777 XQ"}}}},
	}))
	if err != nil {
		d.t.Fatal(err)
	}
	matches := resp.Msg.GetAnswers()[0].GetMatches()
	if len(matches) != 1 || !strings.Contains(matches[0].String(), meant) {
		d.t.Errorf("the look-up finds %v", matches)
	}
	export, err := d.me.Export(d.ctx, connect.NewRequest(&karaulav1.ExportRequest{
		Channel: drillChannel, Purpose: karaulav1.Purpose_PURPOSE_DETECTION, Reason: "invented check",
	}))
	if err != nil {
		d.t.Fatal(err)
	}
	if export.Receive() || !problem.Is(desk.FromConnect(export.Err()), problem.NotAllowed) {
		d.t.Errorf("an export of the exercise: %v, %v", export.Msg(), export.Err())
	}
	for line := range strings.Lines(d.page(d.pair.me, "/metrics")) {
		if strings.Contains(line, `"`+drillChannel) || strings.HasPrefix(line, "karaula_clocks{") {
			d.t.Errorf("%s is not apart", line)
		}
	}
	if !strings.Contains(d.page(d.pair.me, "/metrics"), `channel="x.`+drillChannel+`"`) {
		d.t.Error("the exercise has no metrics: the test would find nothing")
	}
}

// practiseLookUp looks up in the exercise, two plates at once: what is practised is
// found and marked, what is meant never, and a name that nobody announced is no exercise.
func (d *drills) practiseLookUp(practised string) {
	d.t.Helper()
	ask := func(exercise string) (*karaulav1.LookUpResponse, error) {
		req := &karaulav1.LookUpRequest{
			Purpose: karaulav1.Purpose_PURPOSE_DETECTION, Reason: "invented practice", Exercise: exercise,
		}
		for _, number := range []string{"QX 777 XQ", "QX 778 XQ"} {
			req.Questions = append(req.Questions, &karaulav1.Question{About: &karaulav1.Question_Plate{
				Plate: &karaulav1.PlateQuestion{Number: number},
			}})
		}
		resp, err := d.me.LookUp(d.ctx, connect.NewRequest(req))
		if err != nil {
			return nil, desk.FromConnect(err)
		}
		return resp.Msg, nil
	}
	resp, err := ask(drill)
	if err != nil {
		d.t.Fatal(err)
	}
	m := resp.GetAnswers()[0].GetMatches()
	if resp.GetExercise() != drill || len(m) != 1 || m[0].GetAlertId() != practised || m[0].GetExercise() != drill ||
		m[0].GetChannels()[0] != drillChannel || m[0].GetHandling() == 0 || len(resp.GetAnswers()[1].GetMatches()) != 0 {
		d.t.Errorf("a look-up in the exercise finds %v", resp)
	}
	for _, name := range []string{"una-26", "*", drill + "x"} {
		if resp, err := ask(name); !problem.Is(err, problem.NotFound) {
			d.t.Errorf("a look-up in %q: %v, %v", name, resp, err)
		}
	}
	d.recorded()
}

// recorded expects that me's records of who looked tell look-ups that were practice
// from those that were meant.
func (d *drills) recorded() {
	d.t.Helper()
	begun, err := d.me.Audit(d.ctx, connect.NewRequest(&karaulav1.AuditRequest{Deed: "audit-desk", Reason: "invented"}))
	if err != nil {
		d.t.Fatal(err)
	}
	pieces, err := d.me.ReadDesk(d.ctx, connect.NewRequest(&karaulav1.ReadDeskRequest{Audit: begun.Msg.GetAudit()}))
	if err != nil {
		d.t.Fatal(err)
	}
	var file bytes.Buffer
	put, err := evidence.WriteDesk(&file)
	for err == nil && pieces.Receive() {
		for _, p := range pieces.Msg().GetPieces() {
			err = errors.Join(err, put(p))
		}
	}
	if err = errors.Join(err, pieces.Err()); err != nil {
		d.t.Fatal(err)
	}
	own, _ := d.pair.me.Register.View().Card("me")
	var said []string
	_, err = evidence.VerifyDesk(&file, []string{own.Root}, func(_ uint64, e *karaulav1.DeskEntry) error {
		if e.GetDeed() == "look-up" {
			said = append(said, e.GetExercise()+":"+e.GetReason())
		}
		return nil
	})
	if !slices.Equal(said, []string{":invented check", drill + ":invented practice"}) {
		d.t.Errorf("recorded: %q, %v", said, err)
	}
}

// answers has the partner take part: only once it has announced the exercise, too.
func (d *drills) answers(id string) {
	d.t.Helper()
	act := func() error {
		return d.again(func() error {
			_, err := d.me.SayAct(d.ctx, connect.NewRequest(&karaulav1.SayActRequest{
				AlertId: id, Act: &karaulav1.Act{Deed: karaulav1.Deed_DEED_ACTED},
			}))
			return err
		})
	}
	if err := act(); !problem.Is(err, problem.NotAllowed) {
		d.t.Errorf("an act before the own party practises: %v", err)
	}
	d.announce(d.me, time.Now().Add(time.Hour))
	if err := act(); err != nil {
		d.t.Fatal(err)
	}
	d.eventually("al sees the act", func() bool {
		resp, err := d.al.History(d.ctx, connect.NewRequest(&karaulav1.HistoryRequest{AlertId: id}))
		return err == nil && resp.Msg.GetDrill() && resp.Msg.GetExercise() == drill && len(resp.Msg.GetState().GetDeeds()) == 1
	})
	on, err := d.al.Exercises(d.ctx, connect.NewRequest(&karaulav1.ExercisesRequest{}))
	if err != nil || len(on.Msg.GetExercises()) != 2 {
		d.t.Errorf("al knows of %v, %v", on, err)
	}
}

// watch watches what is meant, as a system that knows nothing of exercises does;
// the function that it gives waits for the end of the exercise and gives what was told.
func (d *drills) watch(node deskClient) func() string {
	d.t.Helper()
	var log sink
	go func() {
		stream, err := node.Watch(d.ctx, connect.NewRequest(&karaulav1.WatchRequest{Since: 1})) // until something is told
		for err == nil && stream.Receive() {
			_, _ = log.Write([]byte(stream.Msg().GetEvent() + " " + stream.Msg().GetText() + "\n"))
		}
	}()
	return func() string {
		d.eventually("me is told that the exercise is over", func() bool { return strings.Contains(log.String(), "over for al") })
		return log.String()
	}
}
