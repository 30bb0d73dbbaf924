package docs

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"karaula/deploy/examples"
)

var (
	partyLine = regexp.MustCompile(`(?m)^party (\S+)`)
	sayLine   = regexp.MustCompile(`(?m)^say (\S+) (\S+) personal=(\S+) handling<=(\S+) `)
)

// exampleRow gives the row of the page that an example agreement must have.
func exampleRow(t *testing.T, id, folder, text string) string {
	t.Helper()
	text, _, _ = strings.Cut(text, "\n---\n") // what follows is for people
	var parties, personal, plain, ceilings []string
	for _, m := range partyLine.FindAllStringSubmatch(text, -1) {
		parties = append(parties, m[1])
	}
	for _, m := range sayLine.FindAllStringSubmatch(text, -1) {
		if m[1] != strings.Join(parties, ",") {
			t.Errorf("%s: %s may say something that not all parties may; the page says otherwise", id, m[1])
		}
		if m[3] == "yes" {
			personal = append(personal, strings.Split(m[2], ",")...)
		} else {
			plain = append(plain, strings.Split(m[2], ",")...)
		}
		ceilings = append(ceilings, m[4])
	}
	list := func(words []string) string { return cmp.Or(strings.Join(words, ", "), "–") }
	return fmt.Sprintf("| [%s](../deploy/examples/agreements/%s%s.agreement) | %s | %s | %s | %s |",
		id, folder, id, list(parties), list(personal), list(plain), list(slices.Compact(ceilings)))
}

// TestAgreementsPage holds the page against the example texts, active and not.
func TestAgreementsPage(t *testing.T) {
	t.Parallel()
	page := readPage(t, "agreements.md")
	active, inactive, ok := strings.Cut(page, "\nNot active;")
	if !ok {
		t.Fatal("the page has no section of inactive texts")
	}
	rows := 0
	for _, set := range []struct {
		folder, section string
		texts           map[string][]byte
	}{{"", active, examples.Agreements()}, {"inactive/", inactive, examples.Inactive()}} {
		for _, id := range slices.Sorted(maps.Keys(set.texts)) {
			rows++
			if row := exampleRow(t, id, set.folder, string(set.texts[id])); !strings.Contains(set.section, "\n"+row+"\n") {
				t.Errorf("the page lacks this row:\n%s", row)
			}
		}
	}
	if n := strings.Count(page, "| [") + strings.Count(page, "|["); n != rows {
		t.Errorf("the page has %d rows of example texts, there are %d texts", n, rows)
	}
}
