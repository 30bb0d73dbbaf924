package main

import (
	"bytes"
	"strings"
	"testing"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// A partner's word that a ledger is another one is shown with both roots, the
// statement that carries it, and what to do.
func TestLedgersShowWhatDiffers(t *testing.T) {
	t.Parallel()
	l := &karaulav1.LedgerState{
		Channel: "t01-al-me-xk", Origin: "me", State: "open",
		Differing: []*karaulav1.DifferingHead{{
			Party: "xk", Epoch: 1, Size: 2, Root: bytes.Repeat([]byte{7}, 32), Here: bytes.Repeat([]byte{8}, 32),
			StatementEpoch: 3, StatementSeq: 4, SaidAt: 1_700_000_000_000_000, Text: "xk has signed another history", Next: "keep everything",
		}},
	}
	info := describeLedger(l)
	l.Differing[0].Here = nil
	for name, c := range map[string]struct {
		page interface{ page(p *page) }
		want []string
	}{
		"show": {ledgerShowResult{[]ledgerInfo{info}}, []string{
			"differs: xk has signed another history\n",
			"xk says 2 of epoch 1, root 0707070707070707; here it is 0808080808080808; since its number 4 of epoch 3, 2023-11-14T22:13:20Z\n",
			"next: keep everything\n",
		}},
		"not here": {ledgerShowResult{[]ledgerInfo{describeLedger(l)}}, []string{"; there is no such size here; "}},
		"list": {ledgerListResult{[]ledgerInfo{info}}, []string{
			"open   xk       -", "another history of me; next: karaula ledger show --channel t01-al-me-xk --dir DIR\n",
		}},
	} {
		var out bytes.Buffer
		c.page.page(&page{&out})
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is not in\n%s", name, want, out.String())
			}
		}
	}
}
