package docs

import (
	"os"
	"strings"
	"testing"

	"karaula/internal/terms"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Every code that a hostile partner is answered with stands in the threat model,
// and no other word is taken for one.
func TestThreatModelNamesTheCodesOfTheTries(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(page), "| try | reason code |\n|---|---|\n")
	if !ok {
		t.Fatal("the page has no table of reason codes")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	for _, try := range testworld.Tries() {
		_, code, _ := strings.Cut(try.Want, " ")
		if !strings.Contains(table, "`"+code+"`") {
			t.Errorf("%s: the table has no `%s`", try.Name, code)
		}
	}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		for i, word := range strings.Split(cells[2], "`") {
			if i%2 == 1 && !known(word) {
				t.Errorf("`%s` is no reason code: %s", word, line)
			}
		}
	}
}

// known reports whether a word is that of a reason code.
func known(word string) bool {
	for n := range karaulav1.Code_name {
		if terms.CodeWord(karaulav1.Code(n)) == word && n != 0 {
			return true
		}
	}
	return false
}
