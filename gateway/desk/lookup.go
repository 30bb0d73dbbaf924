package desk

import (
	"context"

	"connectrpc.com/connect"

	"karaula/gateway/book"
	"karaula/gateway/index"
	"karaula/internal/alert"
	"karaula/internal/problem"
	"karaula/internal/searchkey"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Limits of a look-up.
const (
	maxQuestions = 1000
	maxTag       = 64
)

// LookUp implements the look-up. Who asked, when, what for and why is recorded
// before anything is answered.
func (d *Desk) LookUp(
	ctx context.Context, req *connect.Request[karaulav1.LookUpRequest],
) (*connect.Response[karaulav1.LookUpResponse], error) {
	resp, err := d.lookUp(ctx, req.Msg)
	return reply(d, resp, err)
}

func (d *Desk) lookUp(ctx context.Context, req *karaulav1.LookUpRequest) (*karaulav1.LookUpResponse, error) {
	officer, err := who(ctx, "officer", "supervisor", "system")
	if err != nil {
		return nil, err
	}
	if err := checkLookUp(req); err != nil {
		return nil, err
	}
	exercise := req.GetExercise()
	in, err := d.indexFor(exercise)
	if err != nil {
		return nil, err
	}
	now := d.cfg.Now()
	resp := &karaulav1.LookUpResponse{Complete: d.cfg.Complete(), Exercise: exercise}
	entry := &karaulav1.DeskEntry{Reason: req.GetReason(), Purpose: req.GetPurpose(), Exercise: exercise}
	for _, q := range req.GetQuestions() {
		answer := &karaulav1.LookUpAnswer{Tag: q.GetTag()}
		resp.Answers = append(resp.Answers, answer)
		list, err := searchkey.Ask(q)
		if err != nil {
			answer.Error = err.Error()
			continue
		}
		terms := in.Terms(exercise, list)
		found, more := in.Find(terms, now)
		answer.More = more
		for _, m := range found {
			answer.Matches = append(answer.Matches, d.match(m, exercise))
		}
		entry.Asked = append(entry.Asked, terms[0].Hash[:])
		entry.Matched = append(entry.Matched, uint32(len(found))) //nolint:gosec // at most index.MaxMatches
	}
	return resp, d.record(ctx, officer, "look-up", entry)
}

// indexFor gives the index that a look-up asks: of what is meant, or of the one
// exercise that it names. A name that nobody has announced would be answered with
// "no hit", which is no practice.
func (d *Desk) indexFor(exercise string) (*index.Index, error) {
	if exercise == "" {
		return d.cfg.Index, nil
	}
	for _, e := range d.cfg.Exercises() {
		if e.GetName() == exercise {
			return d.cfg.DrillIndex, nil
		}
	}
	return nil, problem.New(problem.NotFound, "no exercise of this name is announced here; nothing was looked up").
		WithHint("karaula exercise list --dir DIR")
}

// checkLookUp refuses a request that says too little or asks too much.
func checkLookUp(req *karaulav1.LookUpRequest) error {
	n := len(req.GetQuestions())
	switch {
	case n == 0 || n > maxQuestions:
		return problem.New(problem.Invalid, "%d questions in one request, 1 to %d are taken; nothing was looked up", n, maxQuestions)
	case karaulav1.Purpose_name[int32(req.GetPurpose())] == "" || req.GetPurpose() == 0:
		return problem.New(problem.Invalid, "a look-up needs a purpose; nothing was looked up").
			WithHint("--purpose prevention, detection, investigation, prosecution or public-security")
	case req.GetReason() == "":
		return problem.New(problem.Invalid, "a look-up needs a reason; nothing was looked up").
			WithHint(`--reason "check at the crossing"`)
	case len(req.GetReason()) > maxReason:
		return problem.New(problem.Invalid, "the reason is longer than %d bytes; nothing was looked up", maxReason)
	}
	for _, q := range req.GetQuestions() {
		if len(q.GetTag()) > maxTag {
			return problem.New(problem.Invalid, "a tag is longer than %d bytes; nothing was looked up", maxTag)
		}
	}
	return nil
}

func (d *Desk) match(m index.Match, exercise string) *karaulav1.Match {
	out := &karaulav1.Match{
		AlertId: book.IDText(m.ID), Version: m.Version, Type: m.Type, Origin: m.Origin, Channels: m.Channels,
		Rank: karaulav1.MatchRank(m.Rank()), Urgency: alert.UrgencyWord(m.Urgency), EraseAfter: m.EraseAfter,
		Exercise: exercise,
	}
	for _, e := range d.bookFor(exercise).Find(m.ID) {
		if e.Origin == m.Origin && e.Version == m.Version && !e.Refused() {
			out.Handling, out.Descent = e.Handling, e.Descent
		}
	}
	for _, k := range m.Kinds {
		out.Why = append(out.Why, k.Why())
	}
	return out
}
