package demo_test

import (
	"bytes"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"karaula/cmd/karaula/internal/demo"
	"karaula/deploy/examples"
	"karaula/internal/alert"
	"karaula/internal/problem"
)

// play plays a script and gives its events and everything that was logged.
func play(t *testing.T, o demo.Options) (events []demo.Event, log string, err error) {
	t.Helper()
	var mu sync.Mutex
	var logs bytes.Buffer
	o.Logger = slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.Version = "test"
	o.Emit = func(e demo.Event) error {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
		return nil
	}
	err = demo.Run(t.Context(), o)
	return events, logs.String(), err
}

func script(t *testing.T, text string) *demo.Script {
	t.Helper()
	s, err := demo.ParseScript([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheBuiltInScriptEndsWellAndLeavesNoContentBehind(t *testing.T) {
	dir := t.TempDir()
	events, log, err := play(t, demo.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	last := events[len(events)-1]
	if last.Event != "summary" || last.OK == nil || !*last.OK {
		t.Fatalf("last event: %+v", last)
	}
	c := last.Counts
	if c.Nodes != 6 || c.Said < 8 || c.Deliveries < 15 || c.Receipts != c.Deliveries || c.Hostile < 5 ||
		c.Forbidden != 2 {
		t.Errorf("counts: %+v", c)
	}
	checkReaders(t, events)
	noContent(t, dir, log)
}

// checkReaders compares the readers of every alert with what the ids of the
// example agreements say, so that demo and agreements cannot err together.
func checkReaders(t *testing.T, events []demo.Event) {
	t.Helper()
	parties := map[string][]string{
		"b01-al-me": {"al", "me"}, "b02-al-xk": {"al", "xk"}, "b05-mk-rs": {"mk", "rs"}, "t01-plav": {"al", "me", "xk"},
		"t02-trebinje": {"ba", "me", "rs"}, "m01-pccsee5": {"al", "ba", "me", "mk", "rs"},
		"m02-wb6": {"al", "ba", "me", "mk", "rs", "xk"},
	}
	readers := map[string][]string{}
	said := map[string]demo.Event{}
	for _, e := range events {
		switch e.Event {
		case "say":
			said[e.Alert] = e
		case "received":
			readers[e.Alert] = append(readers[e.Alert], e.Party)
		}
	}
	for id, s := range said {
		want := slices.DeleteFunc(slices.Clone(parties[s.Channel]), func(p string) bool { return p == s.Party })
		got := slices.Sorted(slices.Values(readers[id]))
		if !slices.Equal(got, want) {
			t.Errorf("%s on %s was received by %v, want %v", s.Type, s.Channel, got, want)
		}
	}
}

// noContent looks for words of the example alerts in every file that the six
// nodes wrote, and in their logs. It first proves that it would find them.
func noContent(t *testing.T, dir, log string) {
	t.Helper()
	words := contentWords(t)
	if len(words) < 10 {
		t.Fatalf("only %d words to look for: %v", len(words), words)
	}
	proof := filepath.Join(t.TempDir(), "proof")
	if err := os.WriteFile(proof, []byte("xx"+words[0]+"xx"), 0o600); err != nil {
		t.Fatal(err)
	}
	if len(find(t, proof, words)) != 1 {
		t.Fatal("the search does not find what is there")
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !d.Type().IsRegular() {
			return err
		}
		files++
		for _, w := range find(t, path, words) {
			t.Errorf("%q stands in %s", w, strings.TrimPrefix(path, dir))
		}
		return nil
	})
	if err != nil || files < 100 {
		t.Fatalf("looked into %d files: %v", files, err)
	}
	for _, w := range words {
		if strings.Contains(log, w) {
			t.Errorf("%q stands in a log", w)
		}
	}
}

func find(t *testing.T, path string, words []string) (found []string) {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range words {
		if bytes.Contains(body, []byte(w)) {
			found = append(found, w)
		}
	}
	return found
}

// contentWords gives values of the alerts that the script sends: quoted strings
// of at least six characters that stand nowhere else, such as plates and names.
func contentWords(t *testing.T) []string {
	t.Helper()
	words := map[string]bool{}
	for _, name := range []string{"vehicle", "vehicle-urgent", "route", "trafficking", "patrol"} {
		body, ok := examples.Alert(name)
		if !ok {
			t.Fatalf("no example %s", name)
		}
		alerts, err := alert.Parse(bytes.NewReader(body), name)
		if err != nil {
			t.Fatal(err)
		}
		json, err := alert.MarshalJSON(alerts[0])
		if err != nil {
			t.Fatal(err)
		}
		for i, part := range strings.Split(string(json), `"`) {
			if i%2 == 1 && (strings.Contains(part, " ") || strings.ToUpper(part) == part) && len(part) >= 6 {
				words[part] = true
			}
		}
	}
	// Words that agreements, cards and logs hold too.
	for w := range words {
		if strings.Contains(w, "olice") || strings.HasPrefix(w, "20") || strings.HasPrefix(w, "Art") {
			delete(words, w)
		}
	}
	return slices.Sorted(maps.Keys(words))
}

func TestTheDemoFailsWhenSomethingIsAllowedThatShouldNotBe(t *testing.T) {
	_, _, err := play(t, demo.Options{Script: script(t, `
steps:
  - say: {from: al, channel: b01-al-me, alert: vehicle, refused: true}
`)})
	if !problem.Is(err, problem.Failed) || !strings.Contains(err.Error(), "step 1") {
		t.Errorf("err = %v", err)
	}
}

func TestTheDemoFailsWhenSomethingIsForbiddenThatShouldPass(t *testing.T) {
	_, _, err := play(t, demo.Options{Script: script(t, `
steps:
  - say: {from: rs, channel: m02-wb6, alert: vehicle}
`)})
	if !problem.Is(err, problem.NotAllowed) {
		t.Errorf("err = %v", err)
	}
}

func TestScriptsAreStrict(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"unknown field": "steps:\n  - shout: {from: al}\n",
		"two actions":   "steps:\n  - cut: {node: al}\n    back: {node: al}\n",
		"no action":     "steps:\n  - {}\n",
		"bad party":     "steps:\n  - cut: {node: Al}\n",
		"two documents": "title: a\n---\ntitle: b\n",
		"too large":     strings.Repeat("#", demo.MaxScript+1),
		"not yaml":      "\t{",
	} {
		if _, err := demo.ParseScript([]byte(text)); !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := demo.ParseScript(demo.Text()); err != nil {
		t.Errorf("the built-in script: %v", err)
	}
}

func FuzzParseScript(f *testing.F) {
	f.Add(demo.Text())
	f.Add([]byte("steps:\n  - say: {from: al, channel: b01-al-me, alert: vehicle}\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := demo.ParseScript(body)
		if err == nil && s == nil {
			t.Error("neither a script nor an error")
		}
	})
}
