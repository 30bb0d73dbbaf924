package docs

import (
	"slices"
	"testing"
)

// TestCompare shows what the comparison of pages and output lets pass, and what
// it doesn't: a test of pages that could not fail would be worth nothing.
func TestCompare(t *testing.T) {
	t.Parallel()
	const (
		idA = "01920000-0000-7000-8000-00000000000a"
		idB = "01920000-0000-7000-8000-00000000000b"
		idC = "01920000-0000-7000-8000-00000000000c"
	)
	for _, tt := range []struct {
		name, page, output string
		same               bool
	}{
		{"equal", "sent\n", "sent\n", true},
		{"other words", "sent\n", "refused\n", false},
		{"blanks", "a   b\n  c\n", "a b\nc   \n", true},
		{"another line", "a\n", "a\nb\n", false},
		{"a line less", "a\nb\n", "a\n", false},
		{"time", "at 2026-03-01 10:00:00Z\n", "at 2027-12-31T23:59:59Z\n", true},
		{"no time", "at 2026-03-01 10:00:00Z\n", "at noon\n", false},
		{"id", idA + "\n", idC + "\n", true},
		{"id twice", idA + "\n" + idA + "\n", idC + "\n" + idC + "\n", true},
		{"id not the same", idA + "\n" + idA + "\n", idB + "\n" + idC + "\n", false},
		{"ids", idA + "\n" + idB + "\n", idB + "\n" + idC + "\n", true},
		{"no id", idA + "\n", "vehicle\n", false},
		{"fingerprint", "0123 4567 89AB CDEF 0123 4567 89AB CDEF\n", "FFFF FFFF FFFF FFFF FFFF FFFF FFFF FFFF\n", true},
		{"left out of a line", "a … z\n", "a b c z\n", true},
		{"left out lines", "a\n…\nz\n", "a\nb\nc\nz\n", true},
		{"left out no lines", "a\n…\nz\n", "a\nz\n", true},
		{"left out, then another end", "a\n…\nz\n", "a\nb\n", false},
		{"signs of expressions", "a.c (x)\n", "abc (x)\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := (meanings{}).compare(tt.page, tt.output); (diff == "") != tt.same {
				t.Errorf("same is %v: %s", !tt.same, diff)
			}
		})
	}
}

// TestRunBlocks shows that failures, output and variables are kept by block.
func TestRunBlocks(t *testing.T) {
	t.Parallel()
	got := runBlocks(t, t.TempDir(), []block{
		{text: "a=one\necho $a\necho two >&2\n"},
		{text: "(exit 3)\necho $a\n! true; false\n"},
		{text: "sleep 600 &\nuntil true; do :; done\n"},
	})
	for i, want := range []ran{{"one\ntwo", nil}, {"one", []string{"3", "1"}}, {"", nil}} {
		if squeeze(got[i].output) != squeeze(want.output) || !slices.Equal(got[i].failed, want.failed) {
			t.Errorf("block %d: got %q, failed %v, want %q, %v", i, got[i].output, got[i].failed, want.output, want.failed)
		}
	}
}
