package gateway

import (
	"context"
	"time"

	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// format is the version of the format that this program speaks.
const format = 1

// meeting is what a partner told with its last answers.
type meeting struct {
	clock    bool          // ahead is known
	ahead    time.Duration // of our clock; negative: behind
	versions []uint32      // that it speaks; nil before it was heard
	serial   uint64        // of its card
	err      error         // why the last greeting failed; nil if it did not
}

// clock notes how far the partner's clock is ahead of ours.
func (p *partner) clock(ahead time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.met.clock, p.met.ahead = true, ahead
}

// meet notes what a greeting gave.
func (p *partner) meet(theirs *karaulav1.Standing, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.met.err = err; err == nil {
		p.met.versions, p.met.serial = theirs.GetVersions(), theirs.GetCardSerial()
	}
}

// linkState is how a link stands, at one moment.
type linkState struct {
	meeting
	state, trouble string
	heardAt        time.Time
}

// now gives how the link stands.
func (p *partner) now() linkState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return linkState{p.met, p.state, p.trouble, p.heardAt}
}

// testLink makes one signed round trip to a partner's gateway.
func (g *Gateway) testLink(ctx context.Context, code string) (*karaulav1.TestLinkResponse, error) {
	p := g.partner(code)
	if p == nil {
		return nil, problem.New(problem.NotFound, "there is no link to %q: no agreement with it is in force", code).
			WithHint("karaula agreement list --dir DIR")
	}
	client := p.asker()
	if l := p.now(); client == nil || l.state != "up" {
		return nil, problem.New(problem.Unreachable, "the link to %s is down (%s); nothing was asked", code, l.trouble).
			WithHint("karaula doctor --dir DIR")
	}
	view := g.o.Register.View()
	began := time.Now()
	theirs, err := client.Hello(ctx, g.standing(view, code))
	took := time.Since(began)
	p.meet(theirs, err)
	if err != nil {
		return nil, err //nolint:wrapcheck // the link says what happened
	}
	out := &karaulav1.TestLinkResponse{
		RoundTrip: took.Microseconds(), ClockAhead: p.now().ahead.Microseconds(), Versions: theirs.GetVersions(),
		CardSerial: theirs.GetCardSerial(),
	}
	if c, ok := view.Card(code); ok {
		out.KnownSerial = c.Serial
	}
	for _, a := range theirs.GetAgreements() {
		if len(a.GetDigest()) != 32 {
			continue
		}
		e, ok := view.AgreementByDigest([32]byte(a.GetDigest()))
		if ok && !contains(out.GetAgreements(), e.Agreement.ID) {
			out.Agreements = append(out.Agreements, e.Agreement.ID)
		}
	}
	return out, nil
}
