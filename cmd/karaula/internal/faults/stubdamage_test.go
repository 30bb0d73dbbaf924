package faults

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Whatever becomes of the stubs of erased statements on either side, the node goes on,
// or stops the channel and is mended by a repair; what was erased comes back nowhere,
// what was not stays, and both ledgers verify. The short form tries one harm on each side.
func TestDamagedStubs(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	w, r := makeWorld(t), records()
	start(t, w)
	erased, kept, probe := oneToErase(t, w, r["al"])
	command(t, w.AL, nil, "alert", "erase", erased, "--reason", "claim granted (invented)")
	erasedEverywhere(t, w, erased)
	send(t, w.AL, r["al"], 1)
	must(t, w.Settle(patient(t)))
	must(t, w.Stop())
	al, err := Keep(w.AL.Dir, filepath.Join(w.Dir, "kept-al"))
	must(t, err)
	me, err := Keep(w.ME.Dir, filepath.Join(w.Dir, "kept-me"))
	must(t, err)
	did := map[string]int{}
	for _, n := range w.Nodes() {
		harms := Harms()
		if !long() {
			harms = harms[rng.IntN(len(harms)):][:1]
		}
		for _, h := range harms {
			must(t, al.Restore())
			must(t, me.Restore())
			what, err := h.Do(block(n, "STUB"), rng)
			must(t, err)
			start(t, w)
			outcome, err := calm(t, w)
			if err != nil {
				t.Errorf("%s, %s: %v\n%s", n.Party, what, err, n.Tail(3000))
			}
			did[outcome]++
			send(t, w.AL, r["al"], 1)
			send(t, w.ME, r["me"], 1)
			must(t, w.Settle(patient(t)))
			nowhere(t, w, probe, erased)
			for _, n := range w.Nodes() {
				if a, err := n.Run(patient(t), "", "audit", "replay", "--reason", "damage (invented)"); err != nil || a.Code != 0 && !onlyMoved(a.Out) {
					t.Errorf("%s: audit replay of %s: %v, exit code %d: %s%s", what, n.Party, err, a.Code, a.Out, a.Err)
				}
				if len(holds(t, n.Dir, probe[kept])) == 0 {
					t.Errorf("%s: %s does not hold what was not erased", what, n.Party)
				}
			}
			must(t, w.Stop())
			nowhere(t, w, probe, erased)
		}
	}
	tell(t, "stubs damaged: %s", counts(did))
}

// calm waits until both nodes are at rest, and repairs the channel where a node says
// that it is halted.
func calm(t *testing.T, w *World) (outcome string, err error) {
	t.Helper()
	outcome = didGoOn
	for began := time.Now(); time.Since(began) < patience; {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err = w.Settle(ctx)
		cancel()
		if err == nil {
			return outcome, nil
		}
		for _, n := range w.Nodes() {
			s, statusErr := n.Status(t.Context())
			if statusErr != nil || !strings.Contains(strings.Join(s.Warnings, "\n"), "is halted") {
				continue
			}
			outcome = didRepair
			linked(t, w, n)
			if a, err := n.Run(patient(t), "", "ledger", "repair", "--channel", Channel); err != nil || a.Code != 0 {
				return outcome, fmt.Errorf("ledger repair: %w, exit code %d: %s%s", err, a.Code, a.Out, a.Err)
			}
		}
	}
	return outcome, err
}
