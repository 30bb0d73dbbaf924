package bench

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/internal/alert"
	"karaula/internal/problem"
)

// TestRunIsComplete runs everything small. It checks that every figure is there
// and fits the others, never how fast the machine is.
func TestRunIsComplete(t *testing.T) {
	t.Parallel()
	var told []string
	profiled := 0
	dir := t.TempDir()
	const n = 300
	r, err := Run(t.Context(), Options{
		Alerts: n, Size: 1500, Dir: dir, Version: "test", Logger: slog.New(slog.DiscardHandler),
		Progress: func(s string) { told = append(told, s) },
		Loaded:   func() func() { profiled++; return func() { profiled++ } },
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(told) < 5 || profiled != 2 {
		t.Errorf("told %q, profiled %d", told, profiled)
	}
	for name, ok := range map[string]bool{
		"setting":        r.Setting.Cores > 0 && r.Setting.Go != "" && r.Setting.Size == 1500 && r.Setting.Filesystem != "",
		"sealed":         r.Setting.Sealed > r.Setting.Size+2*1100, // two post-quantum stanzas
		"floor":          r.Floor.Operations == n && rate(r.Floor.Operations, r.Floor.Seconds, r.Floor.PerSecond),
		"end to end":     r.EndToEnd.Alerts == n && rate(n, r.EndToEnd.Seconds, r.EndToEnd.PerSecond),
		"of the floor":   r.EndToEnd.OfFloor == r.EndToEnd.PerSecond/r.Floor.PerSecond,
		"processor time": r.EndToEnd.OfFloorCPU > 0 && r.EndToEnd.OfFloorCPU == r.Floor.CPUMicros/r.EndToEnd.CPUMicros,
		"callers":        r.EndToEnd.Callers > 1 && r.EndToEnd.Batch*r.EndToEnd.Callers >= n,
		"receipts":       r.EndToEnd.Receipts >= 1 && r.EndToEnd.Receipts <= n,
		"their share":    r.EndToEnd.Share == float64(r.EndToEnd.Receipts)/n,
		"sender's disk":  r.EndToEnd.SenderDisk > int64(r.Setting.Sealed),
		"recipient's":    r.EndToEnd.OtherDisk > int64(r.Setting.Sealed),
		"import":         r.Import.Rows == n && rate(n, r.Import.Seconds, r.Import.PerSecond) && r.Import.CPUMicros > 0,
		"of end to end":  r.Import.OfEndToEnd == r.Import.PerSecond/r.EndToEnd.PerSecond && r.Import.OfEndToEndCPU > 0,
		"loop":           r.Loop.Alerts == n/10 && rate(r.Loop.Alerts, r.Loop.Seconds, r.Loop.PerSecond),
		"loop's order":   r.Loop.AcceptedMillis > 0 && r.Loop.ReceiptMillis >= r.Loop.AcceptedMillis,
		"times the loop": r.Loop.Times == r.EndToEnd.PerSecond/r.Loop.PerSecond,
		"without wait":   r.Loop.AcceptedPerSecond >= r.Loop.PerSecond,
		"latency":        r.Latency.Alerts == n/10 && r.Latency.P50Millis > 0 && r.Latency.P99Millis >= r.Latency.P50Millis,
	} {
		if !ok {
			t.Errorf("%s does not fit: %+v", name, r)
		}
	}
	for _, code := range codes() {
		if _, err := os.Stat(filepath.Join(dir, code, "node.yaml")); err != nil {
			t.Errorf("--dir keeps the nodes' folders: %v", err)
		}
	}
}

func rate(n int, seconds, perSecond float64) bool {
	return seconds > 0 && perSecond == float64(n)/seconds
}

func TestAlertsAreValidAndOfTheirSize(t *testing.T) {
	t.Parallel()
	for _, size := range []int{MinSize, 1024, MaxSize} {
		list, err := alerts(3, size)
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		for _, a := range list {
			ids[a.GetId()] = true
			if n := proto.Size(a); n < size || n > size+16 {
				t.Errorf("an alert of %d bytes has %d", size, n)
			}
			if err := alert.Validate(a, time.Now()).Err(); err != nil {
				t.Errorf("size %d: %v", size, err)
			}
		}
		if len(ids) != len(list) {
			t.Error("ids come twice")
		}
	}
}

func TestWhatCannotBeMeasuredIsRefused(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{
		{Alerts: MinAlerts - 1, Size: MinSize},
		{Alerts: MaxAlerts + 1, Size: MinSize},
		{Alerts: MinAlerts, Size: MinSize - 1},
		{Alerts: MinAlerts, Size: MaxSize + 1},
	} {
		if _, err := Run(t.Context(), o); !problem.Is(err, problem.Invalid) {
			t.Errorf("%d alerts of %d bytes: %v, want Invalid", o.Alerts, o.Size, err)
		}
	}
}

func TestAnIncompleteRunFails(t *testing.T) {
	t.Parallel()
	before := counts{accepted: 7, judged: 9}
	for name, tc := range map[string]struct {
		after counts
		ok    bool
	}{
		"all":         {counts{accepted: 12, judged: 14}, true},
		"one missing": {counts{accepted: 11, judged: 13}, false},
		"one refused": {counts{accepted: 12, judged: 15}, false},
	} {
		if err := before.complete(tc.after, 5); (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	list := []time.Duration{4, 1, 3, 2, 5}
	for q, want := range map[float64]time.Duration{0: 1, .5: 3, .99: 5, 1: 5} {
		if got := quantile(list, q); got != want {
			t.Errorf("quantile %v is %d, want %d", q, got, want)
		}
	}
	if quantile(nil, .5) != 0 {
		t.Error("nothing has no quantile but 0")
	}
}
