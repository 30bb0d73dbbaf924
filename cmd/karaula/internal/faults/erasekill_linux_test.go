package faults

import (
	"os"
	"slices"
	"strings"
	"testing"

	"karaula/internal/node"
	"karaula/internal/subject"
)

// A node, or its broker alone, is killed at each of the moments of an erasure between
// two of its steps: the call that would put the next file in place waits in the kernel,
// and is never made. After the next start the content is in no file of either node,
// what was not erased is, and both ledgers verify from first to last. Between stub and overwriting the
// server has noted already that the message is deleted: it is for the sweep of the next
// start to overwrite it (package sweep).
func TestKilledInTheMiddleOfAnErasure(t *testing.T) {
	t.Parallel()
	journal := func(n *Node) string { return node.Layout{Dir: n.Dir}.Journal(subject.Actual(Channel)) }
	index := func(n *Node) string { return node.Layout{Dir: n.Dir}.Index() }
	for name, c := range map[string]struct {
		side  string
		next  func(n *Node) string // the file that the next step would put in place
		lies  func(n *Node) string // where the content still is at that moment
		sweep bool                 // the next start has to sweep it
		short bool                 // tried in the short form as well
		parts []Part               // what runs; the first one is killed
	}{
		"sender, stub and overwriting":           {"al", out, out, true, true, []Part{Whole}},
		"sender, overwriting and journal":        {"al", journal, journal, false, true, []Part{Whole}},
		"sender, journal and index":              {"al", index, nil, false, false, []Part{Whole}},
		"recipient, stub and overwriting":        {"me", in, in, true, false, []Part{Whole}},
		"recipient, overwriting and index":       {"me", index, nil, false, false, []Part{Whole}},
		"sender's broker, stub and overwriting":  {"al", out, out, true, false, []Part{Broker, Gateway}},
		"recipient's broker, and its gateway on": {"me", in, in, true, false, []Part{Broker, Gateway}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !long() && !c.short {
				t.Skip("make faults tries it")
			}
			w, r := makeWorld(t), records()
			start(t, w)
			erased, kept, probe := oneToErase(t, w, r["al"])
			n := w.Node(c.side)
			must(t, n.Stop())
			under(t, n, injection{calls: "rename,renameat,renameat2", how: "delay_enter=20000000", files: []string{c.next(n)}}, c.parts[0])
			for _, p := range c.parts {
				must(t, n.Start(patient(t), p))
			}
			linked(t, w, n)

			command(t, w.AL, nil, "alert", "erase", erased, "--reason", "claim granted (invented)")
			must(t, Until(patient(t), func() string {
				for _, end := range []string{".new", ".tmp"} {
					if _, err := os.Stat(c.next(n) + end); err == nil {
						return ""
					}
				}
				return "no other file is about to be put in the place of " + c.next(n)
			}))
			must(t, n.Kill(c.parts[0]))
			where := holds(t, n.Dir, probe[erased])
			if c.lies != nil && !slices.Contains(where, c.lies(n)) || c.lies == nil && len(where) > 0 {
				t.Errorf("killed at another moment: the content lies in %v", where)
			}
			n.Before = nil
			must(t, n.Start(patient(t), c.parts[0]))
			must(t, Until(patient(t), func() string { // a gateway that runs on comes back to its broker by itself
				a, err := n.Run(patient(t), "", "alert", "list")
				must(t, err)
				if a.Code != 0 {
					return a.Err
				}
				return ""
			}))
			erasedEverywhere(t, w, erased)
			nowhere(t, w, probe, erased)
			if swept := strings.Count(n.Tail(1<<20), "an erasure was interrupted"); (swept > 0) != c.sweep {
				t.Errorf("swept %d times", swept)
			}
			send(t, w.AL, r["al"], 1)
			send(t, w.ME, r["me"], 1)
			settleInStock(t, w)
			for _, n := range w.Nodes() {
				command(t, n, nil, "audit", "replay", "--reason", "invented audit")
				if len(holds(t, n.Dir, probe[kept])) == 0 {
					t.Errorf("%s does not hold what was not erased", n.Party)
				}
			}
			must(t, w.Stop())
			nowhere(t, w, probe, erased)
			tell(t, "killed while the content lay in %d files; gone from all; both ledgers verify", len(where))
		})
	}
}

// A broker that notes a message as deleted and then fails to write its block anew, and
// runs on: nobody is told that the content is erased. The disk mended and the node
// started again, it is, and everybody is.
func TestAnErasureThatFails(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	erased, kept, probe := oneToErase(t, w, r["al"])
	inTheWay := in(w.ME) + ".tmp"
	must(t, os.Mkdir(inTheWay, 0o700))
	command(t, w.AL, nil, "alert", "erase", erased, "--reason", "claim granted (invented)")
	must(t, Until(patient(t), func() string { // and it was tried again by then
		if strings.Contains(w.ME.Tail(1<<20), "the broker erases nothing, so what it was told to erase may still be there") {
			return ""
		}
		return "me does not complain"
	}))
	if a := list(t, w.AL)[erased]; len(a.Deliveries) != 1 || a.Deliveries[0].ErasedAt != "" {
		t.Errorf("al was told that it is erased: %+v", a)
	}
	if where := holds(t, w.ME.Dir, probe[erased]); !slices.Contains(where, in(w.ME)) {
		t.Fatalf("it lies in %v", where)
	}
	must(t, w.ME.Stop())
	must(t, os.Remove(inTheWay))
	must(t, w.ME.Start(patient(t), Whole))
	erasedEverywhere(t, w, erased)
	nowhere(t, w, probe, erased)
	send(t, w.AL, r["al"], 1)
	send(t, w.ME, r["me"], 1)
	settleInStock(t, w)
	for _, n := range w.Nodes() {
		if len(holds(t, n.Dir, probe[kept])) == 0 {
			t.Errorf("%s does not hold what was not erased", n.Party)
		}
	}
}

// out is the file in which al's own statements lie, in the one in which me's node
// keeps those that it has received.
func out(n *Node) string { return block(n, "OUT_"+Channel) }

func in(n *Node) string { return block(n, "IN_"+Channel+"_al") }
