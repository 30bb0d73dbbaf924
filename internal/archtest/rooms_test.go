package archtest_test

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// rule says what files of some rooms must not import. The same rules stand in
// .golangci.yml (depguard) as far as they can be said there.
type rule struct {
	why    string
	rooms  []string // where the rule holds; "" is everywhere
	except []string // rooms in which it does not
	deny   []string // import paths, or what they begin with
	code   bool     // only in code, not in tests
}

// testRooms hold what tests of several packages share.
var testRooms = []string{
	"internal/testworld", "internal/testbroker", "internal/signedtext/texttest", "docs/spec/vectors",
	"cmd/karaula/internal/faults", "cmd/karaula/internal/hostile",
}

// prefixed gives the import paths of rooms.
func prefixed(rooms []string) []string {
	out := make([]string, 0, len(rooms))
	for _, r := range rooms {
		out = append(out, module+"/"+r)
	}
	return out
}

var rules = []rule{
	{
		why:   "imports run one way: cmd, then gateway and broker, then internal, then proto",
		rooms: []string{"internal"},
		deny:  []string{"karaula/broker", "karaula/gateway", "karaula/cmd"},
	},
	{
		why:   "broker and gateway meet in NATS subjects only",
		rooms: []string{"broker"},
		deny:  []string{"karaula/gateway", "karaula/cmd"},
	},
	{
		why:   "broker and gateway meet in NATS subjects only",
		rooms: []string{"gateway"},
		deny:  []string{"karaula/broker", "karaula/cmd"},
	},
	{
		why:   "the broker knows no content and imports nothing that opens it",
		rooms: []string{"broker"},
		deny:  []string{"filippo.io/age", "karaula/internal/seal", "karaula/internal/alert", "karaula/internal/envelope"},
		code:  true,
	},
	{
		why:   "generated code stands below everything",
		rooms: []string{"proto"},
		deny:  []string{"karaula/internal", "karaula/broker", "karaula/gateway", "karaula/cmd"},
	},
	{why: "nobody imports a command", rooms: []string{""}, except: []string{"cmd"}, deny: []string{"karaula/cmd"}},
	{
		why:    "test worlds are for tests",
		rooms:  []string{""},
		except: testRooms,
		deny:   append([]string{"karaula/docs", "testing"}, prefixed(testRooms)...),
		code:   true,
	},
	{why: "tests compare with go-cmp", rooms: []string{""}, deny: []string{"github.com/stretchr/testify"}},
	{
		why:   "tests about the whole project are imported by nothing",
		rooms: []string{""},
		deny:  []string{"karaula/internal/archtest"},
	},
}

// broken lists the imports of a file that a rule forbids.
func (r rule) broken(s source) []string {
	if (r.rooms[0] != "" && !in(s.room, r.rooms...)) || in(s.room, r.except...) || (r.code && s.test) {
		return nil
	}
	return slices.DeleteFunc(s.imports(), func(p string) bool { return !in(p, r.deny...) })
}

func TestImportsRunOneWay(t *testing.T) {
	t.Parallel()
	for _, r := range rules {
		for _, s := range all(t) {
			for _, p := range r.broken(s) {
				t.Errorf("%s imports %s: %s", s.path, p, r.why)
			}
		}
	}
}

// The rules are worth what they find.
func TestRulesFindWhatIsForbidden(t *testing.T) {
	t.Parallel()
	file := func(room string, test bool, imports ...string) source {
		s := source{path: room + "/x.go", room: room, test: test, file: &ast.File{}}
		for _, p := range imports {
			s.file.Imports = append(s.file.Imports, &ast.ImportSpec{Path: &ast.BasicLit{Value: `"` + p + `"`}})
		}
		return s
	}
	for _, c := range []struct {
		s    source
		want int
	}{
		{file("internal/card", false, "karaula/broker"), 1},
		{file("internal/card", true, "karaula/gateway/inbox"), 1},
		{file("internal/card", false, "karaula/internal/brokers"), 0},
		{file("broker", false, "karaula/gateway"), 1},
		{file("broker", false, "filippo.io/age/armor"), 1},
		{file("broker", true, "filippo.io/age"), 0},
		{file("gateway/link", false, "karaula/broker"), 1},
		{file("gateway/link", false, "filippo.io/age"), 0},
		{file("gateway/link", false, "karaula/internal/testworld"), 1},
		{file("gateway/link", true, "karaula/internal/testworld"), 0},
		{file("cmd/karaula", false, "karaula/broker", "karaula/gateway", "karaula/cmd/karaula/internal/setup"), 0},
		{file("deploy/examples", true, "github.com/stretchr/testify/assert"), 1},
	} {
		got := 0
		for _, r := range rules {
			got += len(r.broken(c.s))
		}
		if got != c.want {
			t.Errorf("%s (test %v): %d forbidden imports found, want %d", c.s.path, c.s.test, got, c.want)
		}
	}
}

// The broker shares package keyring with the gateway, for its own keys. What
// opens content or speaks for the party it must not touch.
func TestBrokerTouchesNoGatewayKeys(t *testing.T) {
	t.Parallel()
	forbidden := []string{
		"Gateway", "LoadGateway", "NewGateway", "LoadRoot", "ParseRoot", "NewRoot", "SealKey", "SignKey", "NoticeKey",
	}
	for _, s := range all(t) {
		if s.room != "broker" || s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "keyring" && slices.Contains(forbidden, sel.Sel.Name) {
				t.Errorf("%s uses keyring.%s: the broker has no business with it", s.path, sel.Sel.Name)
			}
			return true
		})
	}
}

// A package comment is the manual: what the package is for, and what it must
// never do.
func TestEveryPackageSaysWhatItIsForAndWhatNever(t *testing.T) {
	t.Parallel()
	docs := map[string]string{}
	for _, s := range all(t) {
		if s.test || ast.IsGenerated(s.file) {
			continue
		}
		docs[s.room] += s.file.Doc.Text()
	}
	for room, doc := range docs {
		name := room[strings.LastIndex(room, "/")+1:]
		switch {
		case !strings.HasPrefix(doc, "Package "+name) && !strings.HasPrefix(doc, "Command "+name):
			t.Errorf("%s has no package comment that begins with its name", room)
		case !strings.Contains(doc, "never"):
			t.Errorf("the package comment of %s does not say what the package must never do", room)
		}
	}
}
