package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"karaula/internal/agreement"
	"karaula/internal/checkup"
	"karaula/internal/node"
)

// results are the JSON objects that commands print, by command.
var results = map[string]result{
	"karaula init":              initResult{},
	"karaula alert act":         actResult{},
	"karaula alert due":         dueResult{},
	"karaula alert extend":      sendResult{},
	"karaula alert withdraw":    sendResult{},
	"karaula alert history":     historyResult{},
	"karaula alert erase":       eraseResult{},
	"karaula alert import":      importResult{},
	"karaula backup":            backupResult{},
	"karaula restore":           restoreResult{},
	"karaula party add":         partyAddResult{},
	"karaula party root":        acceptResult{},
	"karaula party list":        partyListResult{},
	"karaula party show":        partyShowResult{},
	"karaula party remove":      partyRemoveResult{},
	"karaula card show":         cardResult{},
	"karaula card issue":        cardIssueResult{},
	"karaula card sign":         cardIssueResult{},
	"karaula card take":         cardIssueResult{},
	"karaula card confirm":      confirmResult{},
	"karaula key list":          keyListResult{},
	"karaula key renew":         renewResult{},
	"karaula key rotate":        cardIssueResult{},
	"karaula key root change":   rootResult{},
	"karaula key root sign":     rootResult{},
	"karaula key root take":     rootResult{},
	"karaula key revoke":        revokeResult{},
	"karaula key prune":         pruneResult{},
	"karaula key drill":         drillResult{},
	"karaula agreement new":     textResult{},
	"karaula agreement lint":    lintResult{},
	"karaula agreement sign":    signResult{},
	"karaula agreement diff":    diffResult{},
	"karaula agreement add":     agreementAddResult{},
	"karaula agreement list":    agreementListResult{},
	"karaula agreement show":    agreementShowResult{},
	"karaula agreement remove":  agreementRemoveResult{},
	"karaula agreement suspend": noticeResult{},
	"karaula agreement resume":  noticeResult{},
	"karaula agreement matrix":  matrixResult{},
	"karaula agreement explain": explainResult{},
	"karaula agreement compile": textResult{},
	"karaula agreement prove":   proveResult{},
	"karaula run":               runResult{},
	"karaula broker run":        runResult{},
	"karaula broker agent":      runResult{},
	"karaula broker sweep":      sweepResult{},
	"karaula gateway run":       runResult{},
	"karaula gateway takeover":  takeoverResult{},
	"karaula api init":          apiInitResult{},
	"karaula api client add":    clientAddResult{},
	"karaula api client list":   clientListResult{},
	"karaula api client remove": clientRemoveResult{},
	"karaula alert send":        sendResult{},
	"karaula alert share":       shareResult{},
	"karaula alert export":      alertExportResult{},
	"karaula alert list":        alertListResult{},
	"karaula alert show":        alertShowResult{},
	"karaula lookup":            lookUpResult{},
	"karaula alert watch":       watchEvent{},
	"karaula audit replay":      replayEvent{},
	"karaula audit as-of":       asOfResult{},
	"karaula audit desk":        deskResult{},
	"karaula audit export":      exportResult{},
	"karaula audit prove":       proofResult{},
	"karaula auditor init":      auditorResult{},
	"karaula auditor card":      cardIssueResult{},
	"karaula verify":            verifyResult{},
	"karaula ledger list":       ledgerListResult{},
	"karaula ledger show":       ledgerShowResult{},
	"karaula ledger repair":     ledgerRepairResult{},
	"karaula status":            statusResult{},
	"karaula doctor":            doctorResult{},
	"karaula exercise start":    exercisesResult{},
	"karaula exercise stop":     exercisesResult{},
	"karaula exercise list":     exercisesResult{},
	"karaula link test":         linkTestResult{},
	"karaula demo":              demoEvent{},
	"karaula bench":             benchResult{},
	"karaula version":           versionResult{},
}

// oneALine are the commands that print one object a line, as things happen.
var oneALine = map[string]bool{
	"karaula run": true, "karaula broker run": true, "karaula broker agent": true, "karaula gateway run": true,
	"karaula alert watch": true, "karaula audit replay": true, "karaula demo": true,
}

// reference writes what docs/cli.md says about every command.
func reference(t *testing.T, root *cobra.Command) string {
	t.Helper()
	docs := fieldDocs(t)
	var b strings.Builder
	walk(root, func(c *cobra.Command) {
		if c.HasSubCommands() || c.Hidden || c == root {
			return
		}
		fmt.Fprintf(&b, "\n### `%s`\n\n", c.CommandPath())
		fmt.Fprintf(&b, "%s\n\n", sentence(c))
		fmt.Fprintf(&b, "```text\n%s\n", c.UseLine())
		writeFlags(&b, c)
		fmt.Fprintf(&b, "```\n\nFor example:\n\n```text\n%s\n```\n", unindent(c.Example))
		if r, ok := results[c.CommandPath()]; ok {
			writeResult(&b, c, r, docs)
		}
	})
	return b.String()
}

// sentence is a command's long description, or its short one.
func sentence(c *cobra.Command) string {
	if c.Long != "" {
		return c.Long
	}
	return strings.ToUpper(c.Short[:1]) + c.Short[1:] + "."
}

func unindent(text string) string {
	return strings.TrimPrefix(strings.ReplaceAll(text, "\n  ", "\n"), "  ")
}

// writeFlags lists the flags as --help does, but for --help itself.
func writeFlags(b *strings.Builder, c *cobra.Command) {
	c.InitDefaultHelpFlag()
	var lines []string
	for line := range strings.SplitSeq(strings.TrimRight(c.LocalNonPersistentFlags().FlagUsages(), "\n"), "\n") {
		if !strings.Contains(line, "-h, --help") {
			lines = append(lines, "  "+strings.TrimPrefix(line, "      "))
		}
	}
	if len(lines) > 0 {
		fmt.Fprintf(b, "\n%s\n", strings.Join(lines, "\n"))
	}
}

func writeResult(b *strings.Builder, c *cobra.Command, r result, docs map[string]string) {
	form := "one object"
	if oneALine[c.CommandPath()] {
		form = "one object a line"
	}
	fmt.Fprintf(b, "\nJSON, %s:\n\n", form)
	writeFields(b, "", reflect.TypeOf(r), docs)
}

// writeFields lists the JSON fields of a type, those of inner objects too.
func writeFields(b *strings.Builder, prefix string, t reflect.Type, docs map[string]string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for f := range t.Fields() {
		if f.Anonymous && f.Tag.Get("json") == "" {
			writeFields(b, prefix, f.Type, docs)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		kind, inner := kindOf(f.Type)
		if strings.Contains(options, "omit") {
			kind += ", may be absent"
		}
		doc := docs[t.PkgPath()+"."+t.Name()+"."+f.Name]
		if doc != "" {
			doc = ": " + strings.TrimPrefix(doc, f.Name+" is ")
		}
		fmt.Fprintf(b, "* `%s%s` (%s)%s\n", prefix, name, kind, doc)
		switch {
		case inner != nil && strings.HasPrefix(kind, "list"):
			writeFields(b, prefix+name+"[].", inner, docs)
		case inner != nil:
			writeFields(b, prefix+name+".", inner, docs)
		}
	}
}

// kindOf names the JSON form of a Go type, and gives the type of an inner object.
func kindOf(t reflect.Type) (kind string, inner reflect.Type) {
	switch {
	case t.Kind() == reflect.Pointer:
		return kindOf(t.Elem())
	case t == reflect.TypeFor[time.Time]():
		return "time, RFC 3339 in UTC", nil
	case t == reflect.TypeFor[json.RawMessage]():
		return "object", nil
	case t.Kind() == reflect.Slice:
		kind, inner := kindOf(t.Elem())
		return "list of " + kind + "s", inner
	case t.Kind() == reflect.Struct:
		return "object", t
	case t.Kind() == reflect.String:
		return "string", nil
	case t.Kind() == reflect.Bool:
		return "truth value", nil
	default:
		return "number", nil
	}
}

// fieldDocs reads the comments of struct fields, by "package.Type.Field".
func fieldDocs(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	packages := map[string]string{
		reflect.TypeFor[initResult]().PkgPath():                       ".",
		reflect.TypeFor[demoEvent]().Field(0).Type.PkgPath():          "internal/demo",
		reflect.TypeFor[node.KnownLedger]().PkgPath():                 "../../internal/node",
		reflect.TypeFor[agreement.Finding]().PkgPath():                "../../internal/agreement",
		reflect.TypeFor[benchResult]().Field(0).Type.Elem().PkgPath(): "internal/bench",
		reflect.TypeFor[checkup.Check]().PkgPath():                    "../../internal/checkup",
	}
	for pkg, dir := range packages {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool { return noteFields(out, pkg, n) })
		}
	}
	return out
}

// noteFields keeps the comments of one struct type's fields.
func noteFields(out map[string]string, pkg string, n ast.Node) bool {
	spec, ok := n.(*ast.TypeSpec)
	if !ok {
		return true
	}
	if s, ok := spec.Type.(*ast.StructType); ok {
		for _, f := range s.Fields.List {
			text := f.Doc.Text() + f.Comment.Text()
			for _, name := range f.Names {
				out[pkg+"."+spec.Name.Name+"."+name.Name] = strings.TrimSuffix(strings.Join(strings.Fields(text), " "), ".")
			}
		}
	}
	return true
}

// pageFile is the page that holds the contract.
const pageFile = "../../docs/cli.md"

// generated is the line below which the page is written by this test.
const generated = "<!-- below: go test ./cmd/karaula -run TestCLIPage -update -->\n"

func readPage(t *testing.T) (written, reference string) {
	t.Helper()
	body, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	written, reference, found := strings.Cut(string(body), generated)
	if !found {
		t.Fatalf("%s has no line %q", pageFile, generated)
	}
	return written, reference
}
