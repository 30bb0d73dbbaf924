package faults

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"filippo.io/age"

	"karaula/deploy/examples"
	"karaula/internal/node"
	"karaula/internal/seal"
)

// The reasons for a look, which the desk keeps, and which are no less private.
const lookReason = "TESTREASON seen at a crossing"

// example is an example alert with words of its own.
type example struct {
	name, file string
	words      []string
}

// exampleAlerts gives every example alert.
func exampleAlerts(t *testing.T) []example {
	t.Helper()
	var list []example
	for _, name := range slices.Sorted(maps.Keys(examples.Alerts())) {
		text, _ := examples.Alert(name)
		words, err := WordsOf(text)
		must(t, err)
		if len(words) < 3 {
			t.Fatalf("the example %s has the words %q only", name, words)
		}
		list = append(list, example{name, string(text), words})
	}
	return list
}

// debug has a node log everything that it can.
func debug(t *testing.T, n *Node) {
	t.Helper()
	path := node.Layout{Dir: n.Dir}.Config()
	raw, err := os.ReadFile(path)
	must(t, err)
	changed := strings.Replace(string(raw), `level: "info"`, `level: "debug"`, 1)
	if changed == string(raw) {
		t.Fatalf("%s sets no level", path)
	}
	must(t, os.WriteFile(path, []byte(changed), 0o600))
}

// sendAndLook sends an alert from one node, and has it shown at the other with a
// reason, where its words must come up. It gives what was looked for.
func sendAndLook(t *testing.T, w *World, from *Node, e example) {
	t.Helper()
	a, err := from.Run(patient(t), e.file, "alert", "send", "-", "--channel", Channel, "--output", "json", "--wait", "60s")
	must(t, err)
	var out struct {
		Alerts []struct {
			ID string `json:"id"`
		} `json:"alerts"`
	}
	if a.Code != 0 || json.Unmarshal([]byte(a.Out), &out) != nil || len(out.Alerts) != 1 {
		t.Fatalf("%s is not sent: %d, %s%s", e.name, a.Code, a.Out, a.Err)
	}
	for _, n := range []*Node{w.Partner(from), from} {
		shown := ""
		must(t, Until(patient(t), func() string {
			a, err := n.Run(patient(t), "", "alert", "show", out.Alerts[0].ID, "--reason", lookReason, "--output", "json")
			if err != nil || a.Code != 0 {
				return fmt.Sprintf("%s does not show %s: %v %s", n.Party, e.name, err, a.Err)
			}
			shown = a.Out
			return ""
		}))
		for _, word := range e.words {
			quoted, err := json.Marshal(word)
			must(t, err)
			plain := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(strings.Trim(string(quoted), `"`))
			if !strings.Contains(shown, plain) && !strings.Contains(shown, strings.Trim(string(quoted), `"`)) {
				t.Errorf("%s shows %s without %q", n.Party, e.name, word)
			}
		}
	}
}

// speaker gives the node that says an example: the nodes take turns, but of a
// document only the issuing state speaks.
func speaker(w *World, e example, turn int) *Node {
	switch e.name {
	case "document":
		return w.AL
	case "document-passport":
		return w.ME
	default:
		return w.Nodes()[turn%2]
	}
}

// Whoever reads everything that two nodes ever wrote to their disks, streams,
// journals, index, registers and logs at their most talkative, finds no word of
// the alerts that were sent, received, shown and looked up, and none of the
// reasons why.
func TestNothingOnDiskHoldsContent(t *testing.T) {
	t.Parallel()
	w := makeWorld(t)
	for _, n := range w.Nodes() {
		debug(t, n)
	}
	start(t, w)
	words := []string{lookReason}
	for i, e := range exampleAlerts(t) {
		sendAndLook(t, w, speaker(w, e, i), e)
		words = append(words, e.words...)
	}
	must(t, w.Settle(patient(t)))
	for _, n := range w.Nodes() {
		inFolder(t, w, n)
	}
	for _, n := range w.Nodes() { // once more what is written at a start and at a stop
		must(t, n.Stop())
		must(t, n.Start(patient(t), Whole))
	}
	must(t, w.Settle(patient(t)))
	traces := NewTraces(words)
	search := func() {
		found, files, size, err := traces.In(w.Dir)
		must(t, err)
		t.Logf("%d words in %d forms looked for in %d files, %d bytes: %d found", len(words), len(traces.forms), files, size, len(found))
		for _, f := range found {
			t.Error(f)
		}
		if files < 20 || size < 100_000 {
			t.Errorf("only %d files with %d bytes were there", files, size)
		}
	}
	search()
	must(t, w.Stop())
	search()
}

// inFolder checks that a running node writes to no file outside the world.
func inFolder(t *testing.T, w *World, n *Node) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return
	}
	n.mu.Lock()
	proc := fmt.Sprintf("/proc/%d/", n.procs[Whole].cmd.Process.Pid)
	n.mu.Unlock()
	list, err := os.ReadDir(proc + "fd")
	must(t, err)
	inside := 0
	for _, fd := range list {
		path, err := os.Readlink(proc + "fd/" + fd.Name())
		info, statErr := os.Stat(path)
		state, stateErr := os.ReadFile(proc + "fdinfo/" + fd.Name())
		if err != nil || statErr != nil || stateErr != nil || !info.Mode().IsRegular() || readOnly.Match(state) {
			continue
		}
		if inside++; !strings.HasPrefix(path, w.Dir) {
			t.Errorf("%s writes to %s", n.Party, path)
		}
	}
	if inside < 2 {
		t.Errorf("%s writes to %d files only", n.Party, inside)
	}
}

// readOnly matches what the kernel says of a file that is open for reading.
var readOnly = regexp.MustCompile(`(?m)^flags:\s+[0-7]*[04]$`)

// The search is worth what it finds: a word in every form, and nothing in what
// is sealed.
func TestTracesAreFound(t *testing.T) {
	t.Parallel()
	const word = "Testović Primer 000"
	wide := make([]byte, 0, 2*len(word))
	for _, u := range utf16.Encode([]rune(word)) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	packed := func(w io.WriteCloser, b *bytes.Buffer, text string) []byte {
		_, err := w.Write([]byte(text))
		must(t, err)
		must(t, w.Close())
		return b.Bytes()
	}
	z, g := bytes.NewBufferString("before"), bytes.NewBufferString("before")
	b64 := func(before string) []byte {
		return []byte(base64.StdEncoding.EncodeToString([]byte(before + word + "q")))
	}
	traces := NewTraces([]string{word})
	for _, c := range []struct {
		form    string
		planted []byte
	}{
		{"as it is", []byte("xx" + word + "yy")},
		{"as it is", []byte("xx" + strings.ToUpper(word) + "yy")},
		{"without spaces", []byte("plate=" + strings.ReplaceAll(word, " ", ""))},
		{"UTF-16 LE", wide},
		{"hexadecimal", []byte(hex.EncodeToString([]byte("abc" + word)))},
		{"base64", b64("")},
		{"base64", b64("z")},
		{"base64", b64("zz")},
		{"base64 for addresses", []byte(base64.URLEncoding.EncodeToString([]byte("\xff\xfe" + word)))},
		{"packed, as it is", packed(zlib.NewWriter(z), z, "and "+word)},
		{"packed, base64", packed(gzip.NewWriter(g), g, string(b64("x")))},
	} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "planted"), c.planted, 0o600))
		found, files, _, err := traces.In(dir)
		must(t, err)
		if files != 1 || !slices.ContainsFunc(found, func(f Trace) bool { return f.Form == c.form }) {
			t.Errorf("%s: found %v", c.form, found)
		}
	}
	key, err := age.GenerateHybridIdentity()
	must(t, err)
	frame, err := seal.Frame([]byte(word), [32]byte{1})
	must(t, err)
	sealed, err := seal.Seal(frame, []*age.HybridRecipient{key.Recipient()})
	must(t, err)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "sealed"), sealed, 0o600))
	if found, _, _, err := traces.In(dir); err != nil || len(found) > 0 {
		t.Errorf("sealed: %v, %v", found, err)
	}
}
