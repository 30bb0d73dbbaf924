package desk

import (
	"errors"
	"strconv"

	"connectrpc.com/connect"

	"karaula/internal/problem"
)

// Headers in which a problem crosses the socket.
const (
	headerKind = "Karaula-Kind"
	headerHint = "Karaula-Hint"
	headerAt   = "Karaula-Alert" // which alert of the request it is about
)

// atAlert is an error about one alert of a request, from 1.
type atAlert struct {
	error
	at int
}

func (e *atAlert) Unwrap() error { return e.error }

// toConnect gives an error the form in which it crosses the socket. Whatever is
// not a problem becomes "internal", and its text stays in the node's log.
func (d *Desk) toConnect(err error) error {
	if err == nil {
		return nil
	}
	var p *problem.Problem
	if !errors.As(err, &p) {
		d.cfg.Logger.Error("internal error at the desk", "error", err.Error())
		p = problem.New(problem.Failed, "internal error; the node's log says more")
	}
	out := connect.NewError(code(p.Kind), errors.New(p.Error()))
	out.Meta().Set(headerKind, strconv.Itoa(int(p.Kind)))
	if hint := problem.HintOf(err); hint != "" {
		out.Meta().Set(headerHint, hint)
	}
	if at, ok := errors.AsType[*atAlert](err); ok {
		out.Meta().Set(headerAt, strconv.Itoa(at.at))
	}
	return out
}

func code(k problem.Kind) connect.Code {
	switch k {
	case problem.Invalid:
		return connect.CodeInvalidArgument
	case problem.NotAllowed, problem.Locked:
		return connect.CodePermissionDenied
	case problem.NotFound:
		return connect.CodeNotFound
	case problem.Verification:
		return connect.CodeDataLoss
	case problem.Unreachable:
		return connect.CodeUnavailable
	case problem.Conflict:
		return connect.CodeAborted
	default:
		return connect.CodeUnknown
	}
}

// FromConnect gives back the problem that crossed the socket.
func FromConnect(err error) error {
	if err == nil {
		return nil
	}
	var c *connect.Error
	if !errors.As(err, &c) {
		return problem.Wrap(problem.Unreachable, err, "the node does not answer")
	}
	if n, convErr := strconv.Atoi(c.Meta().Get(headerKind)); convErr == nil {
		return &problem.Problem{Kind: problem.Kind(n), Text: c.Message(), Hint: c.Meta().Get(headerHint)}
	}
	if c.Code() == connect.CodeUnavailable {
		return problem.Wrap(problem.Unreachable, c, "the node does not answer").
			WithHint("start it with: karaula run --dir DIR")
	}
	return problem.Wrap(problem.Failed, c, "the node refused the request")
}

// AlertOf gives which alert of a Send, from 1, an error that crossed the socket is
// about; false if it is about the whole request. Those before it could be sent.
func AlertOf(err error) (int, bool) {
	c, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return 0, false
	}
	at, convErr := strconv.Atoi(c.Meta().Get(headerAt))
	return at, convErr == nil && at > 0
}

// reply gives an answer, or its error, to the caller.
func reply[T any](d *Desk, m *T, err error) (*connect.Response[T], error) {
	if err != nil {
		return nil, d.toConnect(err)
	}
	return connect.NewResponse(m), nil
}
