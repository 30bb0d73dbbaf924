package main

import (
	"bytes"
	"strings"
	"testing"

	"karaula/internal/evidence"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// TestAuditsMarkExercises: no line of an audit of an exercise, and no page that
// verifies one, can be taken for what is meant.
func TestAuditsMarkExercises(t *testing.T) {
	t.Parallel()
	for mode, marked := range map[karaulav1.Mode]bool{
		karaulav1.Mode_MODE_EXERCISE: true, karaulav1.Mode_MODE_ACTUAL: false,
	} {
		said := newSaidLine(&evidence.Said{Channel: "c", Mode: mode, Origin: "al", Seq: 1})
		report := newReplayResult(&evidence.Report{Ledgers: []*evidence.LedgerReport{{Channel: "c", Mode: mode, Origin: "al"}}})
		for name, r := range map[string]interface{ page(p *page) }{
			"line":   said,
			"replay": report,
			"bundle": verifyResult{Verified: true, Ledgers: report.Ledgers},
			"proof":  verifyResult{Verified: true, Mode: said.Mode},
		} {
			var b bytes.Buffer
			r.page(&page{w: &b})
			if got := strings.Contains(b.String(), "EXERCISE"); got != marked {
				t.Errorf("%s of %v: %q", name, mode, b.String())
			}
		}
	}
}
