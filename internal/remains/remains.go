// Package remains is what a gateway asks the machines of its cluster about content that
// was erased, and what they answer: in which of their server's files something of it lies
// (docs/adr/0043). It also asks whether the server's copies are whole.
//
// It must never carry what was found, and never let an answer that is not whole, or not to
// the question, count for "in no file".
package remains

import (
	"encoding/json"
	"slices"
	"strings"

	"karaula/internal/problem"
)

// Limits of a question and its answer.
const (
	MaxNeedles  = 2000 // in one question
	MinNeedle   = 32   // bytes of a needle
	MaxNeedle   = 64
	maxQuestion = 256 << 10
	maxAnswer   = 64 << 10
	maxText     = 1000 // bytes of a name, or of why something is not known
)

// Question asks about the files of one stream.
type Question struct {
	// Copies: whether the server's copies are whole is asked, and nothing else.
	Copies bool   `json:"copies,omitempty"`
	Stream string `json:"stream"` // of the owner's account
	// Needles are what is sought: bytes that lay in one message with erased content, and
	// nowhere else. They are no secret.
	Needles [][]byte `json:"needles"`
}

// Answer is of one server.
type Answer struct {
	Server  string `json:"server"`
	Needles int    `json:"needles"` // how many were asked about
	// Store and Log are the needles, by their place in the question, that lie in the
	// stream's own files, and in those of its log (Raft), ascending.
	Store []int `json:"store,omitempty"`
	Log   []int `json:"log,omitempty"`
	// Left is a folder that belongs to none of the server's streams, and in which something
	// of Log lies; empty if there is none.
	Left string `json:"left,omitempty"`
	// Unknown says why nothing is known of what was not found; empty if all was searched.
	Unknown string `json:"unknown,omitempty"`
	// Copies is what the server's copies lack; empty: nothing, or it was not asked.
	Copies string `json:"copies,omitempty"`
}

// ParseQuestion reads a question.
func ParseQuestion(raw []byte) (*Question, error) {
	var q Question
	if err := read(raw, maxQuestion, &q); err != nil {
		return nil, err
	}
	if q.Copies {
		return &Question{Copies: true}, nil
	}
	if q.Stream == "" || len(q.Stream) > maxText || len(q.Needles) == 0 || len(q.Needles) > MaxNeedles {
		return nil, problem.New(problem.Invalid, "not a question: a stream and 1 to %d needles are needed", MaxNeedles)
	}
	for _, n := range q.Needles {
		if len(n) < MinNeedle || len(n) > MaxNeedle {
			return nil, problem.New(problem.Invalid, "a needle has %d bytes, not %d to %d", len(n), MinNeedle, MaxNeedle)
		}
	}
	return &q, nil
}

// ParseAnswer reads a server's answer to a question.
func ParseAnswer(raw []byte, server string, q *Question) (*Answer, error) {
	var a Answer
	if err := read(raw, maxAnswer, &a); err != nil {
		return nil, err
	}
	switch {
	case a.Server != server:
		return nil, problem.New(problem.Invalid, "another server answers for %s", server)
	case a.Needles != len(q.Needles) || !within(a.Store, a.Needles) || !within(a.Log, a.Needles) ||
		max(len(a.Unknown), len(a.Copies), len(a.Left)) > maxText:
		return nil, problem.New(problem.Invalid, "the answer of %s is not to the question", server)
	}
	return &a, nil
}

// Bytes gives what is sent.
func (q *Question) Bytes() ([]byte, error) { return json.Marshal(q) }

// Bytes gives what is sent.
func (a *Answer) Bytes() ([]byte, error) {
	a.Unknown, a.Copies, a.Left = short(a.Unknown), short(a.Copies), short(a.Left)
	return json.Marshal(a)
}

func short(text string) string { return strings.ToValidUTF8(text[:min(len(text), maxText)], "") }

func read(raw []byte, limit int, to any) error {
	if len(raw) > limit {
		return problem.New(problem.Invalid, "%d bytes, more than %d", len(raw), limit)
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return problem.Wrap(problem.Invalid, err, "it cannot be read")
	}
	return nil
}

// within reports whether places are ascending, each once, and below a number.
func within(places []int, below int) bool {
	for i, p := range places {
		if p < 0 || p >= below || i > 0 && p <= places[i-1] {
			return false
		}
	}
	return true
}

// Gone reports whether a needle is known to lie in no file of the server.
func (a *Answer) Gone(needle int) bool {
	return a.Unknown == "" && !slices.Contains(a.Store, needle) && !slices.Contains(a.Log, needle)
}
