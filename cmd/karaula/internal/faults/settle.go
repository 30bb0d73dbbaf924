package faults

import (
	"context"
	"fmt"
	"strings"
	"time"

	"karaula/gateway/diary"
)

// look is the pause between two looks at a condition.
const look = 50 * time.Millisecond

// Until waits until a condition holds: ok gives "" then, and otherwise what is
// lacking.
func Until(ctx context.Context, ok func() string) error {
	lack := ""
	for {
		now := ok()
		if now == "" {
			return nil
		}
		if lack == "" || ctx.Err() == nil { // what fails because time is up tells nothing
			lack = now
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", lack, ctx.Err())
		case <-time.After(look):
		}
	}
}

// Settle waits until both nodes have heard and answered everything that the
// other one said, with nothing held, put aside or warned of but the desk: a test that
// takes a broker's disk away or sets it back has taken its records, too, and that stays
// told until the next start.
func (w *World) Settle(ctx context.Context) error {
	before := ""
	return Until(ctx, func() string {
		var now strings.Builder
		said, received := map[string]uint64{}, map[string]uint64{}
		for _, n := range w.Nodes() {
			s, err := n.Status(ctx)
			if err != nil {
				before = ""
				return err.Error()
			}
			if lack := s.lacks(n.Party, w.Partner(n).Party, said, received); lack != "" {
				before = ""
				return lack
			}
			fmt.Fprint(&now, n.Party, said[n.Party], received[n.Party], " ")
		}
		for _, n := range w.Nodes() {
			if p := w.Partner(n).Party; received[n.Party] != said[p] {
				before = ""
				return fmt.Sprintf("%s has received %d of the %d statements of %s", n.Party, received[n.Party], said[p], p)
			}
		}
		// The two were not asked at the same moment: twice the same is rest.
		if before != now.String() {
			before = now.String()
			return "not at rest: " + before
		}
		return ""
	})
}

// lacks says what keeps a node from being at rest, and notes its numbers.
func (s *Status) lacks(party, partner string, said, received map[string]uint64) string {
	for _, w := range s.Warnings {
		if !strings.HasPrefix(w, diary.Missing) {
			return party + " warns: " + w
		}
	}
	if !s.Broker || s.Link(partner) != "up" {
		return fmt.Sprintf("%s: broker %v, link %s", party, s.Broker, s.Link(partner))
	}
	if len(s.Channels) == 0 || len(s.Channels[0].Partners) == 0 {
		return party + " has no channel"
	}
	c, p := s.Channels[0], s.Channels[0].Partners[0]
	said[party], received[party] = c.Said, p.Received
	if p.Backlog > 0 || p.Held > 0 || p.Contested || p.Judged != p.Received {
		return fmt.Sprintf("%s: backlog %d, held %d, contested %v, judged %d of %d",
			party, p.Backlog, p.Held, p.Contested, p.Judged, p.Received)
	}
	return ""
}

// Said gives the last own number of a node on the channel.
func (s *Status) Said() uint64 {
	if len(s.Channels) == 0 {
		return 0
	}
	return s.Channels[0].Said
}

// Received gives how many of the partner's numbers are there.
func (s *Status) Received() uint64 {
	for _, c := range s.Channels {
		for _, p := range c.Partners {
			return p.Received
		}
	}
	return 0
}
