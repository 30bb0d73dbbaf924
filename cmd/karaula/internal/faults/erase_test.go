package faults

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"karaula/internal/envelope"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/subject"
)

// oneToErase has al say three alerts that everybody gets. It gives the ids of the second
// one, which is to be erased, and of the last one, which is kept, and their probes.
func oneToErase(t *testing.T, w *World, r *Record) (erased, kept string, probe map[string][]byte) {
	t.Helper()
	send(t, w.AL, r, 3)
	must(t, w.Settle(patient(t)))
	sent := r.Sent()
	erased, kept = sent[1].ID, sent[2].ID
	return erased, kept, probes(t, w, []string{erased, kept})
}

// probes are pieces of the sealed content of every alert of al, by id, from its
// signing journal.
func probes(t *testing.T, w *World, ids []string) map[string][]byte {
	t.Helper()
	return probesOf(t, w.AL, ids)
}

// probesOf are likewise of every alert of a node.
func probesOf(t *testing.T, n *Node, ids []string) map[string][]byte {
	t.Helper()
	l := node.Layout{Dir: n.Dir}
	keys, err := keyring.LoadGateway(l.GatewayKeys(), nil)
	must(t, err)
	s := &Store{Keys: keys}
	must(t, s.readJournal(l.Journal(subject.Actual(Channel))))
	k := &walker{stores: map[string]*Store{n.Party: s}}
	out := map[string][]byte{}
	for _, raw := range s.Journal {
		p, err := envelope.Parse(raw)
		must(t, err)
		if len(p.Envelope.GetParts()) == 0 {
			continue
		}
		id, err := k.open(p, n.Party)
		must(t, err)
		part := p.Envelope.GetParts()[0]
		out[id] = part[len(part)/2 : len(part)/2+64]
	}
	for _, id := range ids {
		if out[id] == nil {
			t.Fatalf("no content of %s", id)
		}
	}
	return out
}

// holds gives the files in a folder that hold some bytes.
func holds(t *testing.T, dir string, probe []byte) []string {
	t.Helper()
	var out []string
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		if bytes.Contains(raw, probe) {
			out = append(out, path)
		}
		return err
	}))
	return out
}

// listed is what a node lists of an alert.
type listed struct {
	ID         string `json:"id"`
	State      string `json:"state"`
	ErasedAt   string `json:"erased_at"`
	Deliveries []struct {
		State    string `json:"state"`
		ErasedAt string `json:"erased_at"`
		Until    string `json:"backups_until"`
	} `json:"deliveries"`
}

func list(t *testing.T, n *Node) map[string]listed {
	t.Helper()
	var page struct {
		Alerts []listed `json:"alerts"`
	}
	command(t, n, &page, "alert", "list")
	out := map[string]listed{}
	for _, a := range page.Alerts {
		out[a.ID] = a
	}
	return out
}

// erasedEverywhere waits until al knows by me's receipts that these are erased.
func erasedEverywhere(t *testing.T, w *World, ids ...string) {
	t.Helper()
	must(t, Until(patient(t), func() string {
		all := list(t, w.AL)
		for _, id := range ids {
			a := all[id]
			if a.ErasedAt == "" || len(a.Deliveries) != 1 || a.Deliveries[0].ErasedAt == "" && a.Deliveries[0].State != "lapsed" {
				return fmt.Sprintf("%s is not erased everywhere: %+v", id, a)
			}
		}
		return ""
	}))
}

// What is erased is in no file of either node, while they run and afterwards; what
// is not, is. A partner that was away gets what is left of it, and both ledgers go
// on where they were.
func TestErasedContentIsInNoFile(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 4)
	must(t, w.Settle(patient(t)))
	must(t, w.ME.Stop())
	send(t, w.AL, r["al"], 1) // me is away
	var ids []string
	for _, s := range r["al"].Sent() {
		ids = append(ids, s.ID)
	}
	probe := probes(t, w, ids)
	erased, taken, kept, away := ids[0], ids[1], ids[2], ids[4]
	for _, n := range w.Nodes() {
		for _, id := range []string{erased, taken, kept} {
			if len(holds(t, n.Dir, probe[id])) == 0 {
				t.Fatalf("%s does not hold %s: the search shows nothing", n.Party, id)
			}
		}
	}
	command(t, w.AL, nil, "alert", "erase", erased, "--reason", "claim granted (invented)")
	command(t, w.AL, nil, "alert", "erase", away, "--reason", "claim granted (invented)")
	command(t, w.AL, nil, "alert", "withdraw", taken, "--assessment", "no longer needed (invented)")
	must(t, Until(patient(t), func() string {
		if files := holds(t, w.AL.Dir, probe[away]); len(files) > 0 {
			return "al holds it in " + strings.Join(files, ", ")
		}
		return ""
	}))
	must(t, w.ME.Start(patient(t), Whole))
	erasedEverywhere(t, w, erased, away)
	nowhere(t, w, probe, erased, taken, away)

	a, err := w.ME.Run(patient(t), "", "alert", "erase", kept, "--reason", "not mine")
	must(t, err)
	if a.Code != 3 || !strings.Contains(a.Err, "only who said it can have it erased") {
		t.Errorf("an order about somebody else's alert: exit code %d, %s", a.Code, a.Err)
	}
	for _, n := range w.Nodes() {
		inStock(t, n)
	}
	both(t, w, (*Node).Stop)
	nowhere(t, w, probe, erased, taken, away)
	start(t, w)
	send(t, w.AL, r["al"], 1)
	send(t, w.ME, r["me"], 1)
	settleInStock(t, w)
	erasedEverywhere(t, w, erased, away)
	for _, n := range w.Nodes() {
		if all := list(t, n); all[kept].ErasedAt != "" || n == w.ME && all[away].State != "erased" && all[away].ID != "" {
			t.Errorf("%s lists %+v", n.Party, all)
		}
		if len(holds(t, n.Dir, probe[kept])) == 0 {
			t.Errorf("%s does not hold %s any more", n.Party, kept)
		}
	}
	nowhere(t, w, probe, erased, taken, away)
}

// nowhere waits until no file of either node holds the content of alerts.
func nowhere(t *testing.T, w *World, probe map[string][]byte, ids ...string) {
	t.Helper()
	for _, n := range w.Nodes() {
		must(t, Until(patient(t), func() string {
			for _, id := range ids {
				if files := holds(t, n.Dir, probe[id]); len(files) > 0 {
					return fmt.Sprintf("%s holds %s in %s", n.Party, id, strings.Join(files, ", "))
				}
			}
			return ""
		}))
	}
}

// On three servers each one's log of what it was told keeps the content until it
// is compacted, which NATS does every few minutes. Long form only.
func TestErasedContentIsInNoFileOfACluster(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("takes minutes; KARAULA_KILLS=1 asks for it")
	}
	w, r := makeCluster(t, false), records()
	send(t, w.AL, r["al"], 2)
	must(t, w.Settle(patient(t)))
	erased, kept := r["al"].Sent()[0].ID, r["al"].Sent()[1].ID
	probe := probes(t, w, []string{erased, kept})
	if n := len(holds(t, w.Dir, probe[erased])); n < 5 { // three servers, the journal, and me
		t.Fatalf("%d files hold it: the search shows nothing", n)
	}
	began := time.Now()
	command(t, w.AL, nil, "alert", "erase", erased, "--reason", "claim granted (invented)")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	must(t, Until(ctx, func() string {
		if files := holds(t, w.Dir, probe[erased]); len(files) > 0 {
			return "held in " + strings.Join(files, ", ")
		}
		return ""
	}))
	t.Logf("gone from all files after %s", time.Since(began).Round(time.Second))
	if n := len(holds(t, w.Dir, probe[kept])); n < 4 { // three servers and me; the journal begins behind both now
		t.Errorf("only %d files hold what was not erased", n)
	}
	for _, n := range w.Nodes() {
		inStock(t, n)
	}
	must(t, w.Stop())
	must(t, w.Cluster.Stop())
}
