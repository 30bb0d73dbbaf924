package register

import (
	"fmt"
	"path/filepath"
	"strings"

	"karaula/internal/agreement"
	"karaula/internal/problem"
)

// RemoveAgreement forgets an agreement. Its id stays reserved for ever if self
// or everybody had signed it. While it is in force or winding down and not
// suspended or withdrawn from by self, only proposals of the id are removed;
// without any the answer is a Conflict. The register's clock says what "while"
// means.
func (r *Register) RemoveAgreement(id string) error {
	return r.change(func(e *editor) error {
		v := &View{s: e.state, at: r.now()}
		list := e.state.texts[id]
		if len(list) == 0 {
			return problem.New(problem.NotFound, "there is no agreement %q", id)
		}
		if why := v.inUse(id); why != "" {
			return e.removeProposals(id, why)
		}
		if e.state.bound(id) {
			if err := e.bury(id); err != nil {
				return err
			}
		}
		return e.remove(filepath.Join(agreementsDir, id))
	})
}

// inUse says why an agreement can't be removed as a whole; empty if it can.
func (v *View) inUse(id string) string {
	for _, e := range v.entries(id) {
		phase := e.PhaseAt(v.at)
		if !e.Complete || phase == agreement.Closed {
			continue
		}
		if _, out := e.Suspensions[v.s.self]; out {
			continue
		}
		if from, out := e.Withdrawals[v.s.self]; out && !v.at.Before(from) {
			continue
		}
		return phase.String()
	}
	return ""
}

// removeProposals removes the texts of an id that bind nobody.
func (e *editor) removeProposals(id, why string) error {
	removed := false
	for _, t := range e.state.texts[id] {
		if !t.complete {
			removed = true
			if err := e.remove(t.path); err != nil {
				return err
			}
		}
	}
	if removed {
		return nil
	}
	return problem.New(problem.Conflict, "agreement %s is %s; it was not removed", id, why).
		WithHint("karaula agreement suspend %s --reason … --dir DIR stops it at once", id)
}

// bury writes the tombstone of an id.
func (e *editor) bury(id string) error {
	var b strings.Builder
	seen := map[string]bool{}
	for i, t := range e.state.texts[id] {
		if i == 0 {
			fmt.Fprintf(&b, "first %s\n", agreement.FormatDigest(t.Agreement.First))
		}
		for _, c := range t.Agreement.Channels {
			if !seen[c.ID] {
				seen[c.ID] = true
				fmt.Fprintf(&b, "channel %s\n", c.ID)
			}
		}
	}
	return e.write(filepath.Join(tombstonesDir, id), []byte(b.String()))
}
