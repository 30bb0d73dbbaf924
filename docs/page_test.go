// Package docs holds the documentation and the tests that keep it true: command
// blocks are run as they stand, what they print is compared with the page, and
// links and tables are checked.
//
// A page may use these fenced blocks:
//
//	sh          commands; run in one bash, in the page's order; none may fail
//	sh exit=3   the same, and exactly one command fails, with this status
//	sh skip     commands that another test holds against something else
//	output      what the commands before print on the terminal
//
// In an output block ids, times, fingerprints and digests stand for any others
// of their kind, the same one always for the same one; … stands for anything,
// alone in a line for any lines; runs of blanks are one blank. Ports of
// 127.0.0.1 are exchanged for free ones while a test runs.
//
// The package must never hold anything but tests.
package docs

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// block is one fenced block of a page.
type block struct {
	line  int      // of the opening fence, from 1
	words []string // behind the fence: language, then options
	text  string   // with a line feed at the end of every line
}

// is reports whether the block is in a language.
func (b block) is(language string) bool { return len(b.words) > 0 && b.words[0] == language }

// skipped reports whether the block's commands are not run.
func (b block) skipped() bool { return b.is("sh") && slices.Contains(b.words, "skip") }

// readPage gives the text of a file beside this one.
func readPage(t *testing.T, path string) string {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// blocks gives the fenced blocks of a page, in their order.
func blocks(t *testing.T, page string) []block {
	t.Helper()
	var out []block
	open := false
	for i, line := range strings.Split(page, "\n") {
		rest, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && !open:
			out = append(out, block{line: i + 1, words: strings.Fields(rest)})
			open = true
		case fence:
			open = false
		case open:
			out[len(out)-1].text += line + "\n"
		}
	}
	if open {
		t.Fatalf("line %d: a block is not closed", out[len(out)-1].line)
	}
	return out
}

// ports exchanges the ports of loopback addresses for free ones and back.
type ports struct{ there, back *strings.Replacer }

var loopback = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// newPorts finds a free port for every loopback address of a text.
func newPorts(t *testing.T, text string) ports {
	t.Helper()
	known := map[string]bool{}
	var there, back []string
	for _, address := range loopback.FindAllString(text, -1) {
		if known[address] {
			continue
		}
		known[address] = true
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() //nolint:errcheck // only held so that no port is found twice
		there = append(there, address, l.Addr().String())
		back = append(back, l.Addr().String(), address)
	}
	return ports{strings.NewReplacer(there...), strings.NewReplacer(back...)}
}

// kind is one sort of text that differs from run to run.
type kind struct {
	tied    bool
	pattern string
}

// kinds are what stands for another one of its kind in an output block. Of
// those that are tied, one on the page stands for one in the output.
var kinds = []kind{
	{true, `[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`},
	{true, `(?:[0-9A-F]{4} ){7}[0-9A-F]{4}`},
	{true, `sha256:[0-9a-f]{64}`},
	{true, `[a-z]{2}\+[0-9a-f]{8}\+[A-Za-z0-9+/]+=*`},
	{false, `\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}Z`},
	{false, `…`},
}

var anyKind = func() *regexp.Regexp {
	var all []string
	for _, k := range kinds {
		all = append(all, "("+k.pattern+")")
	}
	return regexp.MustCompile(strings.Join(all, "|"))
}()

// meanings says what the ids of a page are in the output of a run.
type meanings map[string]string

// compare reports how output differs from what the page says, "" if it doesn't.
func (m meanings) compare(said, got string) string {
	got = squeeze(got)
	pattern, names := toPattern(squeeze(said))
	found := pattern.FindStringSubmatch(got)
	if found == nil {
		return fmt.Sprintf("the page says:\n%s\nthe commands print:\n%s", said, got)
	}
	for i, name := range names {
		switch is, known := m[name]; {
		case name == "":
		case known && is != found[i+1]:
			return fmt.Sprintf("%s stands for %s and for %s", name, is, found[i+1])
		default:
			m[name] = found[i+1]
		}
	}
	return ""
}

// squeeze makes one blank of several and takes those at the ends of lines away.
func squeeze(text string) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// toPattern makes an expression of an output block, and gives what stands for
// what its groups find; "" where anything may stand.
func toPattern(said string) (pattern *regexp.Regexp, names []string) {
	var out strings.Builder
	out.WriteString("^")
	for _, line := range strings.SplitAfter(said, "\n") {
		if line == "…\n" {
			out.WriteString(`(?:[^\n]*\n)*?`)
			continue
		}
		at := 0
		for _, found := range anyKind.FindAllStringSubmatchIndex(line, -1) {
			out.WriteString(regexp.QuoteMeta(line[at:found[0]]))
			at = found[1]
			k, name := kindOf(found), ""
			if k.tied {
				name = line[found[0]:found[1]]
			}
			expr := k.pattern
			if expr == "…" {
				expr = `[^\n]*?`
			}
			names = append(names, name)
			out.WriteString("(" + expr + ")")
		}
		out.WriteString(regexp.QuoteMeta(line[at:]))
	}
	out.WriteString("$")
	return regexp.MustCompile(out.String()), names
}

// kindOf gives the kind that was found: that of the group that matched.
func kindOf(found []int) kind {
	for i, k := range kinds {
		if found[2*i+2] >= 0 {
			return k
		}
	}
	panic("a match without a group")
}
