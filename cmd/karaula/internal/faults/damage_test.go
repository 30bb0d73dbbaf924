package faults

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"karaula/gateway/diary"
	"karaula/internal/node"
)

// ruin is a stopped world in which every store of AL holds something, and how it was.
type ruin struct {
	*World
	al, me *Keepsake
	record map[string]*Record
}

// makeRuin makes one.
func makeRuin(t *testing.T) *ruin {
	t.Helper()
	w, r := makeWorld(t), records()
	withAPI(t, w.AL)
	start(t, w)
	send(t, w.AL, r["al"], 3, 1)
	send(t, w.ME, r["me"], 4)
	must(t, w.Settle(patient(t)))
	list(t, w.AL) // a look is recorded
	must(t, w.Stop())
	start(t, w)
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 2)
	settleAndWalk(t, w, r, Expect{})
	x := &ruin{World: w, record: r}
	var err error
	x.al, err = Keep(w.AL.Dir, filepath.Join(w.Dir, "kept-al"))
	must(t, err)
	x.me, err = Keep(w.ME.Dir, filepath.Join(w.Dir, "kept-me"))
	must(t, err)
	return x
}

// withAPI gives a node an interface over the network, so that its files count.
func withAPI(t *testing.T, n *Node) {
	t.Helper()
	at, err := FreePort()
	must(t, err)
	command(t, n, nil, "api", "init", "--host", "127.0.0.1")
	file := node.Layout{Dir: n.Dir}.Config()
	raw, err := os.ReadFile(file)
	must(t, err)
	head, api, found := strings.Cut(string(raw), "\napi:\n")
	if !found {
		t.Fatal("node.yaml has no api")
	}
	text := head + "\napi:\n" + strings.Replace(api, `listen: ""`, "listen: "+at, 1)
	must(t, os.WriteFile(file, []byte(text), 0o600))
}

// restore sets both nodes back, and gives records of what had been said.
func (x *ruin) restore(t *testing.T) map[string]*Record {
	t.Helper()
	must(t, x.al.Restore())
	must(t, x.me.Restore())
	out := records()
	for party, r := range out {
		for _, s := range x.record[party].Sent() {
			r.sent = append(r.sent, s)
			r.tried[s.ID] = true
		}
	}
	for _, n := range x.Nodes() {
		must(t, os.Truncate(n.Log, 0))
	}
	return out
}

// What a node did about a damaged file.
const (
	didGoOn   = "went on by itself"
	didRepair = "stopped the channel; ledger repair mended it"
	didTell   = "went on, and says what the broker has lost of the desk's records"
	didRefuse = "did not start, and named the file; put back"
	didTakeIn = "went on without it, and named the file; taken in again"
)

// try damages one file of AL and sees what becomes of it.
func (x *ruin) try(t *testing.T, file string, h Harm, rng *rand.Rand) string {
	t.Helper()
	r := x.restore(t)
	defer x.AL.Clean()
	defer x.ME.Clean()
	what, err := h.Do(filepath.Join(x.AL.Dir, file), rng)
	must(t, err)
	if what == "" {
		return ""
	}
	wrong := func(format string, args ...any) {
		t.Errorf("%s, %s: %s\n%s", file, what, fmt.Sprintf(format, args...), x.AL.Tail(3000))
	}
	must(t, x.ME.Start(patient(t), Whole))
	outcome := didGoOn
	if err := x.AL.Start(patient(t), Whole); err != nil {
		outcome = didRefuse
		if !x.refusal(file, err) {
			wrong("the node does not start, and does not say why and what to do: %v", err)
			return ""
		}
		x.AL.Clean()
		must(t, x.al.PutBack(file))
		if err := x.AL.Start(patient(t), Whole); err != nil {
			wrong("it was put back, and the node does not start: %v", err)
			return ""
		}
	}
	word, lack := x.recover(t, file)
	if lack != "" {
		wrong("%s", lack)
		return ""
	}
	if word != "" {
		outcome = word
	}
	send(t, x.AL, r["al"], 1)
	send(t, x.ME, r["me"], 1)
	if err := x.Settle(patient(t)); err != nil {
		wrong("no rest: %v", err)
		return ""
	}
	for _, n := range x.Nodes() {
		if a, err := n.Run(patient(t), "", "audit", "replay", "--reason", "damage (invented)"); err != nil || a.Code != 0 && !onlyMoved(a.Out) {
			wrong("audit replay of %s: %v, exit code %d: %s%s", n.Party, err, a.Code, a.Out, a.Err)
		}
	}
	if err := x.Stop(); err != nil {
		wrong("%v", err)
		return ""
	}
	f, err := Walk(patient(t), x.World, r, Expect{Copies: true})
	if err != nil || len(f.Wrong) > 0 {
		wrong("the walk: %v\n%s", err, f.Show())
		return ""
	}
	return outcome
}

// onlyMoved reports whether a replay found nothing but that statements, all of
// which are there and verify, lie elsewhere or once more: a damaged IN stream is
// filled up behind what it still holds.
func onlyMoved(replay string) bool {
	_, findings, ok := strings.Cut(replay, "FOUND ")
	for line := range strings.Lines(findings) {
		word, _, _ := strings.Cut(line, " ")
		switch strings.TrimSpace(word) {
		case "", "WHERE", "moved", "repeated", "The":
		default:
			return false
		}
	}
	return ok
}

// refusal reports whether a node that does not start names the damaged file and
// says what to do.
func (x *ruin) refusal(file string, err error) bool {
	text := err.Error()
	at := strings.LastIndex(text, "--- al ")
	text = text[max(at, 0):]
	named := strings.Contains(text, filepath.Join(x.AL.Dir, file)) ||
		strings.HasPrefix(file, "register/parties/al/") && strings.Contains(text, "the own card is not in the register") // nobody knows its serial
	return named && strings.Contains(text, "hint: ") && !strings.Contains(text, "panic")
}

// recover waits until both nodes are at rest, and does what the node asks for. It
// gives what that was, and what is lacking.
func (x *ruin) recover(t *testing.T, file string) (word, lack string) {
	t.Helper()
	for began := time.Now(); ; {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := x.Settle(ctx)
		cancel()
		asked := x.asks(t)
		switch {
		case asked == didTell && err == nil:
			return didTell, ""
		case asked == didRepair:
			linked(t, x.World, x.AL)
			a, err := x.AL.Run(patient(t), "", "ledger", "repair", "--channel", Channel)
			if err != nil || a.Code != 0 {
				return "", fmt.Sprintf("ledger repair: %v, exit code %d: %s%s", err, a.Code, a.Out, a.Err)
			}
			word = didRepair
		case asked == didTakeIn:
			word = didTakeIn
			if a, err := x.takeIn(t, file); err != nil || a.Code != 0 {
				return "", fmt.Sprintf("taken in again: %v, exit code %d: %s", err, a.Code, a.Err)
			}
		case err == nil:
			return word, ""
		}
		if time.Since(began) > patience {
			return "", fmt.Sprintf("no rest: %v", err)
		}
	}
}

// asks gives what AL's status asks a person for; "" for nothing.
func (x *ruin) asks(t *testing.T) string {
	t.Helper()
	s, err := x.AL.Status(t.Context())
	if err != nil {
		return ""
	}
	out := ""
	for _, w := range s.Warnings {
		switch {
		case strings.Contains(w, "add FILE"):
			return didTakeIn
		case strings.Contains(w, "is halted"):
			return didRepair
		case strings.HasPrefix(w, diary.Missing):
			out = didTell
		}
	}
	return out
}

// takeIn takes a file of the register in again with the real command, from a copy,
// while the node runs.
func (x *ruin) takeIn(t *testing.T, file string) (Answer, error) {
	t.Helper()
	again := filepath.Join(t.TempDir(), "again")
	must(t, os.WriteFile(again, x.al.files[file].content, 0o600))
	what := "party"
	if strings.HasSuffix(file, ".agreement") {
		what = "agreement"
	}
	return x.AL.Run(patient(t), "", what, "add", again)
}

// trials gives every file with every harm, in random order.
func (x *ruin) trials(rng *rand.Rand) [][2]string {
	var out [][2]string
	only := os.Getenv("KARAULA_DAMAGE") // files whose name holds this
	for _, f := range x.al.Files() {
		if !strings.Contains(f, only) {
			continue
		}
		for _, h := range Harms() {
			if x.al.Size(f) > 0 || h == Removed {
				out = append(out, [2]string{f, string(h)})
			}
		}
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// Whatever file of a node's folder is damaged while it is stopped, the node goes on
// and is right, or says which file it is and what to do. The files are those that
// are there: a new store is tried without being named here. The short form tries a few.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	worlds, most := 1, 4
	if long() {
		worlds, most = 3, 1<<30
	}
	o := &outcomes{by: map[string]map[string]int{}}
	t.Cleanup(func() { o.tell(t) })
	offset := rng.Int()
	for i := range worlds {
		own := rand.New(rand.NewPCG(rng.Uint64(), uint64(i))) //nolint:gosec // guards nothing
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			t.Parallel()
			x := makeRuin(t)
			list := x.trials(rand.New(rand.NewPCG(1, 1))) //nolint:gosec // the same order in every world
			for at := i; at < min(len(list), most); at += worlds {
				trial := list[(at+offset)%len(list)]
				o.note(trial[0], x.try(t, trial[0], Harm(trial[1]), own))
			}
		})
	}
}

// outcomes counts what nodes did, by what kind of file it was.
type outcomes struct {
	mu sync.Mutex
	by map[string]map[string]int
}

func (o *outcomes) note(file, outcome string) {
	if outcome == "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	c := class(file)
	if o.by[c] == nil {
		o.by[c] = map[string]int{}
	}
	o.by[c][outcome]++
}

func (o *outcomes) tell(t *testing.T) {
	t.Helper()
	all, total := map[string]int{}, 0
	for _, c := range slices.Sorted(maps.Keys(o.by)) {
		t.Logf("%s: %s", c, counts(o.by[c]))
		for word, n := range o.by[c] {
			all[word] += n
			total += n
		}
	}
	tell(t, "%d damaged files of %d kinds: %s", total, len(o.by), counts(all))
}

// counts shows how often was what.
func counts(m map[string]int) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%d× %s", m[k], k))
	}
	return strings.Join(out, ", ")
}
