package broker

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestServerLogIsTamedAndLimited(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	l := newServerLog(slog.New(slog.NewTextHandler(&out, nil)))
	l.now = func() time.Time { return now }
	l.Errorf("subject %q from %s", "x", "evil\nlevel=ERROR msg=forged\x1b[31m"+strings.Repeat("y", 10_000))
	n := strings.Count(out.String(), "\n")
	if n != 1 || strings.ContainsRune(out.String(), '\x1b') || out.Len() > 2*maxLogLine {
		t.Errorf("one line became %d lines, %d bytes: %.500q", n, out.Len(), out.String())
	}
	l.Debugf("never")
	l.Tracef("payload")
	l.Noticef("hidden at this level")
	l.Warnf("Clients that are not using %q option will fail to connect", "TLS Handshake First")
	for range 1000 {
		l.Warnf("again")
	}
	if n := strings.Count(out.String(), "again"); n >= logBurst || strings.Contains(out.String(), "payload") {
		t.Errorf("%d of 1000 lines at once were written", n)
	}
	out.Reset()
	now = now.Add(time.Second)
	l.Warnf("later")
	if !strings.Contains(out.String(), "dropped=") {
		t.Errorf("nobody is told of dropped lines: %s", out.String())
	}
	l.Fatalf("cannot %s", "listen")
	if got := <-l.fatal; got != "cannot listen" {
		t.Errorf("fatal is %q", got)
	}
}

// opening are the parts of keyring that hold or give keys that open or sign.
var opening = []string{"LoadGateway", "NewGateway", "Gateway", "LoadRoot", "NewRoot"}

// The broker must not be able to open content, whoever changes it later.
func TestBrokerImportsNothingThatOpens(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-f", "{{join .GoFiles \" \"}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(string(out)) {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			for _, bad := range []string{
				"filippo.io/age", "karaula/internal/seal", "karaula/internal/envelope", "karaula/gateway",
			} {
				if strings.HasPrefix(strings.Trim(spec.Path.Value, `"`), bad) {
					t.Errorf("%s imports %s", name, spec.Path.Value)
				}
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && slices.Contains(opening, sel.Sel.Name) {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "keyring" {
					t.Errorf("%s uses keyring.%s", name, sel.Sel.Name)
				}
			}
			return true
		})
	}
	deps, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Fields(string(deps))
	for _, bad := range []string{"karaula/internal/seal", "karaula/internal/journal"} {
		if slices.Contains(list, bad) {
			t.Errorf("the broker depends on %s", bad)
		}
	}
	if slices.ContainsFunc(list, func(p string) bool { return strings.HasPrefix(p, "karaula/gateway") }) {
		t.Error("the broker depends on the gateway")
	}
}
