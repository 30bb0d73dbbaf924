package hostile

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"karaula/cmd/karaula/internal/faults"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// ledgerOf is what a node says of xk's ledger.
type ledgerOf struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
	State  string `json:"state"`
	Forks  []struct {
		Number        uint64 `json:"number"`
		First, Second []byte
	} `json:"forks"`
}

// ledger asks a node for xk's ledger.
func (w *World) ledger(n *faults.Node) (out ledgerOf) {
	w.t.Helper()
	a, err := n.Run(w.t.Context(), "", "ledger", "show", "--channel", common, "--output", "json")
	w.must(err)
	var all struct {
		Ledgers []ledgerOf `json:"ledgers"`
	}
	if a.Code != 0 || json.Unmarshal([]byte(a.Out), &all) != nil {
		return out // it is starting
	}
	for _, l := range all.Ledgers {
		if l.Origin == "xk" {
			out = l
		}
	}
	return out
}

// comes waits until a node holds so much of xk.
func (w *World) comes(n *faults.Node, size uint64) {
	w.t.Helper()
	w.must(faults.Until(w.t.Context(), func() string {
		if got := w.ledger(n).Size; got != size {
			return fmt.Sprintf("%s holds %d statements", n.Party, got)
		}
		return ""
	}))
}

// takeBack takes the last message out of xk's stream.
func (w *World) takeBack() {
	w.t.Helper()
	_, last, err := w.out.End(w.t.Context())
	w.must(err)
	w.must(w.out.Erase(w.t.Context(), last))
}

// xk shows al one history and me another, each whole and signed: its broker gives
// each of them only its own. By what al and me say to each other both find out by
// themselves, and each holds a proof that needs nobody's word.
func TestTwoHistoriesAreFoundByBoth(t *testing.T) {
	t.Parallel()
	w := MakeCommon(t, bin)
	w.Say(heartbeat())
	w.comes(w.AL, 1)
	w.comes(w.ME, 1)
	w.must(w.ME.Stop())
	other := w.Voice.Clone()
	w.Say(testworld.Said(karaulav1.AlertType_ALERT_TYPE_VEHICLE))
	w.comes(w.AL, 2)
	w.must(w.AL.Stop())
	w.takeBack()
	w.parties.Now = time.Now()
	w.Publish(other.Say(testworld.Said(karaulav1.AlertType_ALERT_TYPE_VEHICLE)))
	w.must(w.ME.Start(t.Context(), faults.Whole))
	w.comes(w.ME, 2)
	w.takeBack()
	w.must(w.AL.Start(t.Context(), faults.Whole))
	for _, n := range []*faults.Node{w.AL, w.ME} {
		w.finds(n)
	}
}

// finds waits until a node has found the two histories, and has it replay what it
// holds and write the proof, which is verified alone.
func (w *World) finds(n *faults.Node) {
	w.t.Helper()
	w.must(faults.Until(w.t.Context(), func() string {
		if l := w.ledger(n); l.State != "contested" || len(l.Forks) != 1 || len(l.Forks[0].First) == 0 || len(l.Forks[0].Second) == 0 {
			return fmt.Sprintf("%s says %s of xk's ledger, and shows %d contradictions", n.Party, l.State, len(l.Forks))
		}
		return ""
	}))
	dir := w.t.TempDir()
	a, err := n.Run(w.t.Context(), "", "audit", "replay", "--reason", "two histories", "--forks", dir)
	w.must(err)
	if a.Code != 6 {
		w.t.Errorf("%s: replay: exit code %d: %s%s", n.Party, a.Code, a.Out, a.Err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.fork"))
	w.must(err)
	if len(files) != 1 {
		w.t.Fatalf("%s wrote the proofs %v: %s%s", n.Party, files, a.Out, a.Err)
	}
	root := w.parties.Parties["xk"].Root.VKey
	if out, err := exec.CommandContext(w.t.Context(), n.Bin, "verify", files[0], "--root", root).CombinedOutput(); err != nil {
		w.t.Errorf("the proof of %s does not verify: %v: %s", n.Party, err, out)
	}
}
