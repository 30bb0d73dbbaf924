package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"karaula/gateway/desk"
	"karaula/internal/alert"
	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// lookUpBatch is how many plates of a file go in one request.
const lookUpBatch = 1000

// maxPlateLine is the longest line of a file of plates, in bytes.
const maxPlateLine = 256

// lookUpResult says hit or no hit.
type lookUpResult struct {
	Answers  []lookUpAnswer `json:"answers"`  // one for each question
	Complete bool           `json:"complete"` // false while history is read after a start
	// Exercise is the one that was asked for; absent where it is meant.
	Exercise string `json:"exercise,omitempty"`

	in lang
}

type lookUpAnswer struct {
	Line    int         `json:"line,omitempty"` // of the file of plates
	Matches []matchLine `json:"matches"`        // the surest first
	More    bool        `json:"more"`           // there are more than these
	Error   string      `json:"error,omitempty"`
}

type matchLine struct {
	Alert    string       `json:"alert"`
	Version  uint32       `json:"version"`
	Type     string       `json:"type"`
	Origin   string       `json:"origin"`
	Channels []string     `json:"channels"`
	Rank     string       `json:"rank"` // exact, likely, possible
	Why      []string     `json:"why"`  // what matched
	Urgency  string       `json:"urgency"`
	Handling string       `json:"handling"`            // what may be done with it: H0, H1, H2, H3
	Court    string       `json:"court,omitempty"`     // what it needs to be evidence in court: consent, restriction
	PassedOn *descentLine `json:"passed_on,omitempty"` // whose alert it is, if another party has passed it on
	Exercise string       `json:"exercise,omitempty"`  // in which it was said; absent where it is meant
}

func (r lookUpResult) page(p *page) {
	var rows [][]string
	lines, parties := false, map[string]bool{}
	for _, answer := range r.Answers {
		line := ""
		if answer.Line > 0 {
			line, lines = strconv.Itoa(answer.Line), true
		}
		if answer.Error != "" {
			rows = append(rows, []string{line, r.marked(r.in.label("not asked")), "", "", "", "", answer.Error})
		}
		for _, m := range answer.Matches {
			parties[m.Origin] = true
			from := r.in.party(m.Origin)
			if m.PassedOn != nil {
				parties[m.PassedOn.Originator] = true
				from += ", " + r.in.label("passed on") + ": " + r.in.party(m.PassedOn.Originator)
			}
			rows = append(rows, []string{
				line, r.marked(r.in.word(karaulav1.MatchRank(0), m.Rank)), r.in.word(karaulav1.AlertType(0), m.Type),
				from, m.Alert, handlingText(r.in, m.Handling), r.in.label(m.Why[0]),
			})
		}
		if answer.More {
			rows = append(rows, []string{line, r.marked(r.in.label("more")), "", "", "", "", r.in.label("there are more matches than these")})
		}
	}
	if r.Exercise != "" {
		p.line("%s: nothing of this is meant", drilled(r.Exercise))
	}
	if len(rows) == 0 {
		p.line("%s", r.marked(r.in.label("no hit")))
		return
	}
	head := []string{"line", "hit", "type", "from", "alert", "handling", "because of"}
	if !lines {
		head = head[1:]
		for i := range rows {
			rows[i] = rows[i][1:]
		}
	}
	p.table(r.in.labels(head...), rows)
	r.in.footnote(p, parties)
}

// marked marks what a line begins with, so that none can be taken for what is meant.
func (r lookUpResult) marked(text string) string {
	if r.Exercise == "" {
		return text
	}
	return drilled(r.Exercise) + ", " + text
}

// lookUpFlags are what the command can be asked.
type lookUpFlags struct {
	plate, country, vin, document, state, surname, given, born, firearm, maker string
	phone, imei, container, engine, registration, national, plates             string
}

func newLookUp(a *app) *cobra.Command {
	var dir, purpose, reason, tag, exercise string
	var f lookUpFlags
	c := &cobra.Command{
		Use:   "lookup --dir DIR --purpose PURPOSE --reason TEXT",
		Short: "ask whether there is anything about a plate, document, person",
		Long: `Asks the node whether any current alert is about a plate, a vehicle, a document, a
person, a firearm, a telephone. The question never leaves the node; who asked,
when, what for and why is recorded before anything is answered.

A match is no identification: "exact" is the same number, or the same names and
day of birth; "likely" and "possible" say what differs. Open the alert, and
confirm, before any measure.

With --exercise only what was said in that exercise is found, and never without:
every line of the answer is marked, and the record says that it was practice.`,
		Example: `  karaula lookup --plate "AA 000 TT" --country AL --purpose prevention --reason "check at the crossing" --dir me
  karaula lookup --surname Testović --given Primer --born 1985-02-17 --purpose detection --reason "TEST-2026-1" --dir me
  karaula lookup --plate "ZZ 000 ZZ" --purpose prevention --reason "drina-26, team 2" --exercise drina-26 --dir me
  karaula lookup --plates - --purpose prevention --reason "camera 3, lane 2" --dir me --output json <plates.txt`,
		Args: positional(),
	}
	f.add(c)
	c.Flags().StringVar(&purpose, "purpose", "", "what for: "+list(alert.Words(karaulav1.Purpose(0).Descriptor())))
	c.Flags().StringVar(&reason, "reason", "", "why; recorded, so name a case or a check, never a person")
	c.Flags().StringVar(&exercise, "exercise", "", "only in this exercise; without it only in what is meant")
	required(c, "purpose", "reason")
	languageFlag(c, &tag)
	dirFlag(c, &dir)
	c.RunE = func(c *cobra.Command, _ []string) error {
		n, ok := alert.Number(karaulav1.Purpose(0).Descriptor(), purpose)
		if !ok {
			return errUsage(c, "%q is no purpose; there are %s", purpose, list(alert.Words(karaulav1.Purpose(0).Descriptor())))
		}
		asked, err := f.questions(c, a.in)
		if err != nil {
			return err
		}
		in, err := language(c, dir, tag)
		if err != nil {
			return err
		}
		node, err := client(dir)
		if err != nil {
			return err
		}
		r := lookUpResult{Answers: []lookUpAnswer{}, Complete: true, Exercise: exercise, in: in}
		for len(asked) > 0 {
			part := asked[:min(len(asked), lookUpBatch)]
			asked = asked[len(part):]
			resp, err := node.LookUp(c.Context(), connect.NewRequest(&karaulav1.LookUpRequest{
				Questions: part, Purpose: karaulav1.Purpose(n), Reason: reason, Exercise: exercise,
			}))
			if err != nil {
				return desk.FromConnect(err)
			}
			r.add(resp.Msg, f.plates != "")
		}
		if len(r.Answers) == 1 && r.Answers[0].Error != "" && f.plates == "" {
			return problem.New(problem.Invalid, "%s; nothing was looked up", r.Answers[0].Error)
		}
		if !r.Complete {
			a.note("the index is not complete yet: no hit does not mean that there is nothing")
		}
		return a.show(r)
	}
	return c
}

// add takes in the answers of one request.
func (r *lookUpResult) add(resp *karaulav1.LookUpResponse, lines bool) {
	r.Complete = r.Complete && resp.GetComplete()
	for _, answer := range resp.GetAnswers() {
		line := lookUpAnswer{Matches: []matchLine{}, More: answer.GetMore(), Error: answer.GetError()}
		if lines {
			_, _ = fmt.Sscan(answer.GetTag(), &line.Line) // the tags are this command's own
		}
		for _, m := range answer.GetMatches() {
			line.Matches = append(line.Matches, matchLine{
				Alert: m.GetAlertId(), Version: m.GetVersion(), Type: terms.TypeWord(m.GetType()), Origin: m.GetOrigin(),
				Channels: m.GetChannels(), Why: m.GetWhy(), Urgency: m.GetUrgency(),
				Handling: alert.HandlingWord(m.GetHandling()), Court: courtWord(m.GetHandling()), PassedOn: newDescentLine(m.GetDescent()),
				Exercise: m.GetExercise(),
				Rank:     strings.ToLower(strings.TrimPrefix(m.GetRank().String(), "MATCH_RANK_")),
			})
		}
		r.Answers = append(r.Answers, line)
	}
}

func (f *lookUpFlags) add(c *cobra.Command) {
	for _, x := range []struct {
		to          *string
		name, about string
	}{
		{&f.plate, "plate", "registration plate"},
		{&f.country, "country", "country of the plate, two letters"},
		{&f.vin, "vin", "vehicle identification number"},
		{&f.document, "document", "number of a document"},
		{&f.state, "state", "issuing state of the document"},
		{&f.surname, "surname", "surname, with --given or --born"},
		{&f.given, "given", "given names"},
		{&f.born, "born", "date of birth, or its year"},
		{&f.firearm, "firearm", "serial number of a firearm"},
		{&f.maker, "make", "maker of the firearm"},
		{&f.phone, "phone", "telephone number"},
		{&f.imei, "imei", "telephone set"},
		{&f.container, "container", "freight container"},
		{&f.engine, "engine", "engine number"},
		{&f.registration, "registration", "number of a registration document"},
		{&f.national, "national-number", "national identification number"},
		{&f.plates, "plates", "file of plates, one a line, with a tab and the country where it is known; - for standard input"},
	} {
		c.Flags().StringVar(x.to, x.name, "", x.about)
	}
	c.MarkFlagsOneRequired("plate", "vin", "document", "surname", "firearm", "phone", "imei", "container", "engine",
		"registration", "national-number", "plates")
	c.MarkFlagsMutuallyExclusive("plate", "vin", "document", "surname", "firearm", "phone", "imei", "container", "engine",
		"registration", "national-number", "plates")
}

// questions gives what the flags ask.
func (f *lookUpFlags) questions(c *cobra.Command, in io.Reader) ([]*karaulav1.Question, error) {
	q := &karaulav1.Question{}
	switch {
	case f.plates != "":
		return f.plateFile(c, in)
	case f.plate != "":
		q.About = &karaulav1.Question_Plate{Plate: &karaulav1.PlateQuestion{Number: f.plate, Country: f.country}}
	case f.vin != "":
		q.About = &karaulav1.Question_Vin{Vin: f.vin}
	case f.document != "":
		q.About = &karaulav1.Question_Document{Document: &karaulav1.DocumentQuestion{Number: f.document, IssuingState: f.state}}
	case f.surname != "":
		q.About = &karaulav1.Question_Person{Person: &karaulav1.PersonQuestion{
			Surname: f.surname, GivenNames: f.given, BirthDate: f.born,
		}}
	case f.firearm != "":
		q.About = &karaulav1.Question_Firearm{Firearm: &karaulav1.FirearmQuestion{Serial: f.firearm, Make: f.maker}}
	case f.phone != "":
		q.About = &karaulav1.Question_Phone{Phone: f.phone}
	case f.imei != "":
		q.About = &karaulav1.Question_Imei{Imei: f.imei}
	case f.container != "":
		q.About = &karaulav1.Question_Container{Container: f.container}
	case f.engine != "":
		q.About = &karaulav1.Question_EngineNumber{EngineNumber: f.engine}
	case f.registration != "":
		q.About = &karaulav1.Question_RegistrationDocument{RegistrationDocument: f.registration}
	case f.national != "":
		q.About = &karaulav1.Question_NationalNumber{NationalNumber: f.national}
	default:
		return nil, errUsage(c, "what is asked for is empty")
	}
	return []*karaulav1.Question{q}, nil
}

// plateFile reads a file of plates.
func (f *lookUpFlags) plateFile(c *cobra.Command, in io.Reader) ([]*karaulav1.Question, error) {
	if f.plates != "-" {
		file, err := os.Open(f.plates)
		if err != nil {
			return nil, problem.Wrap(problem.Invalid, err, "the file of plates cannot be read; nothing was looked up")
		}
		defer file.Close() //nolint:errcheck // it was only read
		in = file
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxPlateLine)
	var out []*karaulav1.Question
	for n := 1; lines.Scan(); n++ {
		number, country, _ := strings.Cut(lines.Text(), "\t")
		if strings.TrimSpace(number) == "" {
			continue
		}
		out = append(out, &karaulav1.Question{Tag: strconv.Itoa(n), About: &karaulav1.Question_Plate{
			Plate: &karaulav1.PlateQuestion{Number: number, Country: strings.TrimSpace(country)},
		}})
	}
	if err := lines.Err(); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the plates cannot be read: a line has at most %d bytes; nothing was looked up", maxPlateLine)
	}
	if len(out) == 0 {
		return nil, errUsage(c, "there are no plates")
	}
	return out, nil
}
