package link

import (
	"time"

	"karaula/internal/problem"
)

// Code says why a request was not done. Codes are stable and never reused
// (docs/spec/link.md).
type Code string

// The codes of refusals.
const (
	CodeNotAParty   Code = "not-a-party"        // the asker is no party to what it asks about
	CodeNotFound    Code = "not-found"          // there is no such thing here, or no longer
	CodeTooOften    Code = "too-often"          // too many requests; try again later
	CodeTooOld      Code = "too-old"            // asked_at is outside the tolerated skew
	CodeReplayed    Code = "replayed"           // this id has been used already
	CodeMalformed   Code = "malformed"          // not a valid request
	CodeUnsupported Code = "unsupported-format" // a version or a question that is not spoken here
	CodeTooLarge    Code = "too-large"          // the answer does not fit into a reply
	CodeFailed      Code = "failed"             // something failed here; try again later
)

// outcomes that are never told to the asker, because nothing is known about
// who asks. They and the codes are what [ServeOptions.OnRequest] reports.
const (
	outcomeDone         Code = "done"
	outcomeDropped      Code = "dropped"        // over the limit of refusals
	outcomeBadSignature Code = "bad-signature"  // no valid signature of the partner's link key
	outcomeUnknownKey   Code = "unknown-key"    // signed with a key that the partner's card does not name
	outcomeOversized    Code = "oversized"      // more bytes than a request may have
	outcomeNotMessage   Code = "not-a-message"  // not a LinkMessage
	outcomeWrongParty   Code = "wrong-party"    // validly signed, but from or to somebody else
	outcomeNoReply      Code = "no-reply-inbox" // nobody waits for an answer
)

// Refused says that a partner has answered, and that the answer is no.
type Refused struct {
	// Partner is the party code of who refused.
	Partner string
	// Code says why.
	Code Code
	// RetryAfter says when to ask again; zero: not at all.
	RetryAfter time.Duration
}

// Error says who refused and why.
func (r *Refused) Error() string { return r.problem().Error() }

// Unwrap gives the problem, whose kind decides exit codes.
func (r *Refused) Unwrap() error { return r.problem() }

// problem words the refusal.
func (r *Refused) problem() *problem.Problem {
	kind := problem.Failed
	switch r.Code {
	case CodeNotFound:
		kind = problem.NotFound
	case CodeNotAParty:
		kind = problem.NotAllowed
	case CodeTooOften, CodeFailed:
		kind = problem.Unreachable
	case CodeMalformed, CodeTooLarge:
		kind = problem.Invalid
	default: // failed
	}
	p := problem.New(kind, "the gateway of %q refused the request (%s)", r.Partner, r.Code)
	switch r.Code {
	case CodeTooOld:
		_ = p.WithHint("compare the clocks of both nodes")
	case CodeUnsupported:
		_ = p.WithHint("the partner runs an older version")
	case CodeTooOften, CodeFailed:
		_ = p.WithHint("safe to retry in %s", r.RetryAfter)
	default: // nothing to do about it here
	}
	return p
}

// knownCode gives the code of a partner's refusal, or CodeFailed for a word
// that this version does not know: outside text is never shown.
func knownCode(word string) Code {
	switch c := Code(word); c {
	case CodeNotAParty, CodeNotFound, CodeTooOften, CodeTooOld, CodeReplayed,
		CodeMalformed, CodeUnsupported, CodeTooLarge, CodeFailed:
		return c
	default:
		return CodeFailed
	}
}
