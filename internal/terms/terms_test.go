package terms_test

import (
	"strings"
	"testing"

	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func TestValidID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"b01-al-me": true, "al": true, "m02-wb6": true, "a": true,
		"": false, "1a": false, "AL": false, "a--b": false, "a-": false, "-a": false,
		"a.b": false, "a*": false, "a>": false, "ä": false, "link": false, "sys": false,
		strings.Repeat("a", 32): true, strings.Repeat("a", 33): false,
	} {
		if got := terms.ValidID(id); got != want {
			t.Errorf("ValidID(%q) = %v, want %v", id, got, want)
		}
	}
}

func TestValidParty(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{"al": true, "eulex": true, "a": false, "a-b": false, "x": false} {
		if got := terms.ValidParty(code); got != want {
			t.Errorf("ValidParty(%q) = %v, want %v", code, got, want)
		}
	}
}

func TestEveryWordComesBack(t *testing.T) {
	t.Parallel()
	for _, typ := range terms.Types() {
		if got, ok := terms.ParseType(terms.TypeWord(typ)); !ok || got != typ {
			t.Errorf("type %v does not come back from %q", typ, terms.TypeWord(typ))
		}
	}
	for _, u := range []karaulav1.KeyUse{1, 2, 3, 4, 5, 6, 7, 8} {
		if got, ok := terms.ParseUse(terms.UseWord(u)); !ok || got != u {
			t.Errorf("use %v does not come back from %q", u, terms.UseWord(u))
		}
	}
	for _, h := range []karaulav1.Handling{1, 2, 3, 4} {
		if got, ok := terms.ParseHandling(terms.HandlingWord(h)); !ok || got != h {
			t.Errorf("handling %v does not come back from %q", h, terms.HandlingWord(h))
		}
	}
	for _, m := range []karaulav1.Mode{1, 2, 3} {
		if got, ok := terms.ParseMode(terms.ModeWord(m)); !ok || got != m {
			t.Errorf("mode %v does not come back from %q", m, terms.ModeWord(m))
		}
	}
}

func TestUnspecifiedHasNoWordToParse(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "unspecified", "sealed", "VEHICLE"} {
		if _, ok := terms.ParseType(s); ok {
			t.Errorf("ParseType(%q) succeeded", s)
		}
	}
	if _, ok := terms.ParseMode("unspecified"); ok {
		t.Error("ParseMode accepts the unspecified mode")
	}
}

func TestWordsAreTheOnesOfTheDocuments(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		terms.TypeWord(karaulav1.AlertType_ALERT_TYPE_TRAFFICKING): "trafficking",
		terms.TypeWord(0): "sealed",
		terms.KindWord(karaulav1.Kind_KIND_HEARTBEAT):  "heartbeat",
		terms.CodeWord(karaulav1.Code_CODE_WRONG_ROOT): "wrong-root",
		terms.CodeWord(0): "accepted",
		terms.UseWord(karaulav1.KeyUse_KEY_USE_EXERCISE_SIGN): "exercise-sign",
	} {
		if got != want {
			t.Errorf("word is %q, want %q", got, want)
		}
	}
}
