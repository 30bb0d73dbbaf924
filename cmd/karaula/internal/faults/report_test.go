package faults

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// report is what the parts of the campaign say at its end, a line each.
var report struct {
	sync.Mutex

	lines   []string
	skipped []string
}

// tell has a part say how much it tried and what it found.
func tell(t *testing.T, format string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(format, args...)
	t.Log(text)
	t.Cleanup(func() {
		state := "ok  "
		if t.Failed() {
			state = "FAIL"
		}
		report.Lock()
		defer report.Unlock()
		report.lines = append(report.lines, fmt.Sprintf("%s %s: %s", state, t.Name(), text))
	})
}

// skip skips a part that cannot be tried on this machine, and has the report say so.
func skip(t *testing.T, why string) {
	t.Helper()
	report.Lock()
	report.skipped = append(report.skipped, fmt.Sprintf("not tried: %s: %s", t.Name(), why))
	report.Unlock()
	t.Skip(why)
}

// printReport prints the campaign's summary.
func printReport() {
	report.Lock()
	defer report.Unlock()
	slices.Sort(report.lines)
	slices.Sort(report.skipped)
	if len(report.lines)+len(report.skipped) == 0 {
		return
	}
	fmt.Fprintf(os.Stdout, "=== the campaign\n%s\n=== %d parts, %d not tried\n",
		strings.Join(append(report.lines, report.skipped...), "\n"), len(report.lines), len(report.skipped))
}
