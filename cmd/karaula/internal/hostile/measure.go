package hostile

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"karaula/cmd/karaula/internal/faults"
	"karaula/gateway/desk"
	"karaula/internal/node"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Counts are the samples of /metrics, by name with labels.
type Counts map[string]float64

// Counts reads a node's metrics over HTTP.
func (w *World) Counts(n *faults.Node) (Counts, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.metrics[n]+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out := Counts{}
	lines := bufio.NewScanner(io.LimitReader(resp.Body, 8<<20))
	for lines.Scan() {
		name, value, ok := cutLast(lines.Text())
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil && !strings.HasPrefix(name, "#") {
			out[name] = v
		}
	}
	return out, lines.Err()
}

func cutLast(line string) (name, value string, ok bool) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return "", "", false
	}
	return line[:i], line[i+1:], true
}

// Since gives what has grown, of the names that begin with a prefix.
func (c Counts) Since(before Counts, prefix string) Counts {
	out := Counts{}
	for name, v := range c {
		if d := v - before[name]; strings.HasPrefix(name, prefix) && d > 0 {
			out[name] = d
		}
	}
	return out
}

// Show lists samples in the order of their names.
func (c Counts) Show() string {
	var list []string
	for name, v := range c {
		list = append(list, fmt.Sprintf("%s=%g", name, v))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// resident is how much memory a process has now, in bytes.
func resident(pid int) int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(raw), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseInt(fields[0], 10, 64)
	return kib << 10
}

// patience bounds every wait for something that must happen.
const patience = 3 * time.Minute

// Figures are what one try cost al and its other link.
type Figures struct {
	Memory  int64         // most that was resident
	Grown   int64         // by which that is more than before
	Disk    int64         // by which al's folder has grown
	Alerts  int           // between al and me meanwhile
	Latency time.Duration // mean from said to judged, both ways
	Lost    int           // alerts between al and me that could not be said
	Took    time.Duration
}

// Watch does something and measures al meanwhile.
func (w *World) Watch(do func()) Figures {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	var work sync.WaitGroup
	var peak, said, lost atomic.Int64
	pid := w.AL.PID(faults.Whole)
	memory := resident(pid)
	work.Go(func() {
		for ctx.Err() == nil {
			peak.Store(max(peak.Load(), resident(pid)))
			pause(ctx, 20*time.Millisecond)
		}
	})
	before := w.judged()
	disk, began := size(w.AL.Dir), time.Now()
	for _, n := range []*faults.Node{w.AL, w.ME} {
		work.Go(func() {
			for ctx.Err() == nil {
				if err := w.probe(ctx, n); err == nil {
					said.Add(1)
				} else if ctx.Err() == nil {
					lost.Add(1)
				}
				pause(ctx, 60*time.Millisecond)
			}
		})
	}
	pause(ctx, 500*time.Millisecond) // what comes before any damage belongs to it
	do()
	pause(ctx, 500*time.Millisecond)
	for end := time.Now().Add(patience); said.Load() == 0 && time.Now().Before(end); {
		pause(ctx, 50*time.Millisecond) // however slow the machine is
	}
	cancel()
	work.Wait()
	after := w.judged()
	for end := time.Now().Add(patience); after.count-before.count < float64(said.Load()) && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
		after = w.judged()
	}
	f := Figures{
		Memory: peak.Load(), Grown: peak.Load() - memory, Disk: size(w.AL.Dir) - disk, Lost: int(lost.Load()), Took: time.Since(began),
		Alerts: int(after.count - before.count),
	}
	if f.Alerts > 0 {
		f.Latency = time.Duration((after.seconds - before.seconds) / float64(f.Alerts) * float64(time.Second))
	}
	return f
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// probe says one alert on the channel that is not attacked.
func (w *World) probe(ctx context.Context, n *faults.Node) error {
	a := testworld.Alert(karaulav1.AlertType_ALERT_TYPE_ROUTE)
	client := desk.Dial(node.Layout{Dir: n.Dir}.Socket())
	_, err := client.Send(ctx, connect.NewRequest(&karaulav1.SendRequest{
		Channel: untouched, Alerts: []*karaulav1.Alert{a},
	}))
	return err
}

type lag struct{ seconds, count float64 }

// judged adds up how long alerts between al and me took from said to judged.
func (w *World) judged() (sum lag) {
	w.t.Helper()
	for _, n := range []*faults.Node{w.AL, w.ME} {
		c, err := w.Counts(n)
		w.must(err)
		label := `{channel="` + untouched + `"}`
		sum.seconds += c["karaula_said_to_judged_seconds_sum"+label]
		sum.count += c["karaula_said_to_judged_seconds_count"+label]
	}
	return sum
}

// Seen lists what al's officers see of the attacker as accepted.
func (w *World) Seen() ([]*karaulav1.AlertRow, error) {
	client := desk.Dial(w.Layout().Socket())
	resp, err := client.List(w.t.Context(), connect.NewRequest(&karaulav1.ListRequest{Channel: attacked, Limit: 10_000}))
	if err != nil {
		return nil, err
	}
	var out []*karaulav1.AlertRow
	for _, row := range resp.Msg.GetAlerts() {
		if row.GetClass() == karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED {
			out = append(out, row)
		}
	}
	return out, nil
}
