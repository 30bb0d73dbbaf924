package faults

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"karaula/deploy/examples"
	"karaula/gateway/book"
	"karaula/gateway/desk"
)

// Sent is one alert that `karaula alert send` acknowledged: it ended with 0 and
// printed the id.
type Sent struct {
	ID     string
	Number uint64
	Epoch  uint64
	// Began is when the first try of this alert began, Acked when the command
	// that was believed ended.
	Began, Acked time.Time
	Tries        int
}

// Record is what one party's senders tried and were told.
type Record struct {
	mu      sync.Mutex
	changed *sync.Cond
	tried   map[string]bool // ids
	sent    []Sent
	exits   map[int]int // commands by exit code
	odd     []string    // answers that no command should give
	halts   bool        // a halted channel is an outage: somebody repairs it
}

// NewRecord gives an empty record.
func NewRecord() *Record {
	r := &Record{tried: map[string]bool{}, exits: map[int]int{}}
	r.changed = sync.NewCond(&r.mu)
	return r
}

// Sent gives what was acknowledged, by number.
func (r *Record) Sent() []Sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Clone(r.sent)
	slices.SortFunc(out, func(a, b Sent) int { return cmp.Compare(a.Number, b.Number) })
	return out
}

// Tried reports whether somebody tried to send an alert with this id.
func (r *Record) Tried(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tried[id]
}

// Count gives how many alerts were tried and how many acknowledged.
func (r *Record) Count() (tried, acked int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.tried), len(r.sent)
}

// Failed gives how many commands ended with something other than 0.
func (r *Record) Failed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for code, count := range r.exits {
		if code != 0 {
			n += count
		}
	}
	return n
}

// Exits gives how many commands ended with which code.
func (r *Record) Exits() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var codes []int
	for c := range r.exits {
		codes = append(codes, c)
	}
	slices.Sort(codes)
	var out []string
	for _, c := range codes {
		out = append(out, fmt.Sprintf("%d×%d", r.exits[c], c))
	}
	return strings.Join(out, " ")
}

// Odd gives answers that no command should give.
func (r *Record) Odd() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.odd)
}

// Await waits until so many alerts have been acknowledged.
func (r *Record) Await(ctx context.Context, acked int) error {
	stop := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.changed.Broadcast()
	})
	defer stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.sent) < acked {
		if ctx.Err() != nil {
			return fmt.Errorf("only %d of %d alerts were acknowledged: %w", len(r.sent), acked, ctx.Err())
		}
		r.changed.Wait()
	}
	return nil
}

// Alerts writes n alerts with ids of their own as the file that alert send
// reads. The text of each names its id, so that content can be told apart.
func Alerts(n int) (ids []string, file string) {
	text, _ := examples.Alert("route") // part of the program
	body := string(text)
	var b strings.Builder
	for range n {
		id := book.IDText(desk.NewAlertID(time.Now()))
		ids = append(ids, id)
		b.WriteString("---\nid: " + id + "\n")
		b.WriteString(strings.Replace(body, "purpose: prevention", "purpose: prevention\ncase_reference: TEST-"+id, 1))
	}
	return ids, b.String()
}

// Send sends n alerts with the real command. It tries the same ones again, as a
// person would, until they are acknowledged, something other than an outage is
// answered, or ctx ends.
func (r *Record) Send(ctx context.Context, n *Node, count int) error {
	ids, file := Alerts(count)
	r.mu.Lock()
	for _, id := range ids {
		r.tried[id] = true
	}
	r.mu.Unlock()
	began := time.Now()
	for try := 1; ; try++ {
		a, err := n.Run(ctx, file, "alert", "send", "-", "--channel", Channel, "--output", "json", "--wait", "4s")
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the command was killed; nobody was told anything
		}
		if err != nil {
			return err
		}
		again, err := r.note(a, ids, began, try)
		if !again {
			return err
		}
	}
}

// outage are the exit codes after which the same alerts may be sent again: not
// reachable, or no answer in time.
var outage = map[int]bool{1: true, 7: true}

// note enters the answer of one command, and says whether to try again.
func (r *Record) note(a Answer, ids []string, began time.Time, try int) (again bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exits[a.Code]++
	if a.Code != 0 {
		if !outage[a.Code] && (a.Code != 6 || !r.halts) {
			return false, fmt.Errorf("alert send ended with %d: %s", a.Code, a.Err)
		}
		if !strings.HasPrefix(a.Err, "karaula: ") {
			r.odd = append(r.odd, "no reason: "+a.Err)
		}
		return true, nil
	}
	var out struct {
		Alerts []struct {
			ID     string `json:"id"`
			Epoch  uint64 `json:"epoch"`
			Number uint64 `json:"number"`
		} `json:"alerts"`
	}
	if err := json.Unmarshal([]byte(a.Out), &out); err != nil || len(out.Alerts) != len(ids) {
		return false, fmt.Errorf("alert send printed something else than %d alerts: %s", len(ids), a.Out)
	}
	for i, x := range out.Alerts {
		if x.ID != ids[i] {
			return false, fmt.Errorf("alert send acknowledged %s instead of %s", x.ID, ids[i])
		}
		r.sent = append(r.sent, Sent{
			ID: x.ID, Number: x.Number, Epoch: x.Epoch, Began: began, Acked: time.Now(), Tries: try,
		})
	}
	r.changed.Broadcast()
	return false, nil
}

// Load is senders in the background.
type Load struct {
	Record *Record

	stop context.CancelFunc
	work sync.WaitGroup
	mu   sync.Mutex
	errs []error
}

// Start starts so many senders at a node, each sending one file after the
// other: mostly one alert, now and then several.
func Start(ctx context.Context, n *Node, r *Record, senders int) *Load {
	l := &Load{Record: r}
	ctx, l.stop = context.WithCancel(ctx)
	for s := range senders {
		l.work.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				count := 1
				if (i+s)%5 == 4 {
					count = 7
				}
				if err := r.Send(ctx, n, count); err != nil {
					l.mu.Lock()
					l.errs = append(l.errs, err)
					l.mu.Unlock()
					return
				}
			}
		})
	}
	return l
}

// Stop ends the senders, commands in flight included, and gives what they could
// not understand.
func (l *Load) Stop() []error {
	l.stop()
	l.work.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.errs
}
