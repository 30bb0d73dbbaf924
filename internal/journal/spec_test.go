package journal

import (
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// TestWorkedExample: the frame in docs/spec/journal.md is the one that is written.
func TestWorkedExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/spec/journal.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, ok := strings.Cut(string(text), "<!-- journal-frame -->\n```hex\n")
	shown, _, _ = strings.Cut(shown, "```")
	shown = strings.Join(strings.Fields(regexp.MustCompile(`(?m)#.*$`).ReplaceAllString(shown, "")), "")
	frame, err := encode(&karaulav1.JournalRecord{Record: &karaulav1.JournalRecord_Confirmed{
		Confirmed: &karaulav1.JournalConfirmed{Seq: 3, Offset: 7},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(frame); !ok || got != shown {
		t.Errorf("the frame is %s, the text shows %s", got, shown)
	}
}
