package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"karaula/internal/agreement"
)

// TestMain lets testscript run the real command. Only here can the clock be
// set: a script says `env KARAULA_NOW=2026-03-01T12:00:00Z`.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"karaula": func() { os.Exit(testMain()) }})
}

func testMain() int {
	if text := os.Getenv("KARAULA_NOW"); text != "" {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			panic(err)
		}
		clock = func() time.Time { return at }
	}
	return Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "replace": replace, "amend": amend, "evidence": evidenceFiles,
			"ports": ports, "await": await, "take": take,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("KARAULA_NOW", "2026-03-01T12:00:00Z")
			return nil
		},
	})
}

// exits is the script command `exits CODE COMMAND…`: the command must end with
// exactly this exit code, and with a reason on stderr if it is not 0.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code is %d, not %d", got, want)
	}
	if got != 0 && !strings.HasPrefix(ts.ReadFile("stderr"), "karaula: ") {
		ts.Fatalf("no reason on stderr")
	}
}

// replace is the script command `replace FILE OLD NEW`: every OLD in a file
// becomes NEW, and there must be one.
func replace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace FILE OLD NEW")
	}
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, args[1], args[2])), 0o644))
}

// amend is the script command `amend OLD NEW`: NEW becomes the unsigned version 2
// of the agreement in OLD.
func amend(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: amend OLD NEW")
	}
	old, _ := agreement.Lint([]byte(ts.ReadFile(args[0])))
	digest := agreement.FormatDigest(old.Digest)
	text := strings.Replace(string(old.Text), "version 1\n", "version 2\nsupersedes "+digest+"\nfirst "+digest+"\n", 1)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o644))
}

// evidenceFiles is the script command `evidence FOLDER`: the test vectors of
// docs/spec/evidence.md, and their root keys as $ROOT_AL and so on.
func evidenceFiles(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: evidence FOLDER")
	}
	ts.Check(os.CopyFS(ts.MkAbs(args[0]), os.DirFS(vectorDir)))
	roots, err := os.ReadFile(filepath.Join(vectorDir, "roots.txt"))
	ts.Check(err)
	for root := range strings.FieldsSeq(string(roots)) {
		party, _, _ := strings.Cut(root, "+")
		ts.Setenv("ROOT_"+strings.ToUpper(party), root)
	}
}

// take is the script command `take NAME PATTERN`: what the pattern's group matches in
// the standard output of the last command becomes a variable.
func take(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: take NAME PATTERN")
	}
	found := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("%q is not in the output", args[1])
	}
	ts.Setenv(args[0], found[1])
}

const vectorDir = "../../docs/spec/vectors/evidence"

// ports is the script command `ports NAME...`: each becomes a variable with a port
// of loopback that was free a moment ago.
func ports(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: ports NAME...")
	}
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed when all are taken
		ts.Check(err)
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		ts.Check(err)
		ts.Setenv(name, port)
	}
}

// awaitPatience is how long a script waits for something to become true.
const awaitPatience = 2 * time.Minute

// await is the script command `await PATTERN COMMAND...`: the command is run again
// until it succeeds and its standard output has a line that matches.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await PATTERN COMMAND...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for deadline := time.Now().Add(awaitPatience); ; time.Sleep(100 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if out := ts.ReadFile("stdout"); err == nil && pattern.MatchString(out) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%q did not come: %v", args[0], err)
		}
	}
}
