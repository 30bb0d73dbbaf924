package archtest_test

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// decoders are the functions that turn bytes into something: a file of code that
// calls one is a parser. What is parsed by hand (journal frames, the guard before
// the NATS client, PROXY lines) this rule does not see; it has targets all the same.
var decoders = map[string][]string{
	"proto":      {"Unmarshal"},
	"protojson":  {"Unmarshal"},
	"wire":       {"Unmarshal"},
	"json":       {"Unmarshal", "NewDecoder"},
	"yaml":       {"Unmarshal", "Load", "NewDecoder", "NewLoader"},
	"xml":        {"Unmarshal", "NewDecoder"},
	"csv":        {"NewReader"},
	"gob":        {"NewDecoder"},
	"tar":        {"NewReader"},
	"zip":        {"NewReader"},
	"gzip":       {"NewReader"},
	"zstd":       {"NewReader"},
	"age":        {"Decrypt"},
	"note":       {"Open"},
	"x509":       {"ParseCertificate"},
	"signedtext": {"ReadForm"},
	"tlog":       {"ParseTree", "ParseRecord"},
}

// targets names for every file that parses the fuzz targets that reach it, or,
// after "none: ", why nobody outside decides about its bytes.
var targets = map[string]string{
	"internal/backup/backup.go":           "internal/backup FuzzUnpack",
	"internal/backup/open.go":             "internal/backup FuzzUnpack",
	"internal/border/join.go":             "internal/border FuzzPlace",
	"internal/evidence/bareproof.go":      "internal/evidence FuzzProof",
	"internal/evidence/tar.go":            "internal/evidence FuzzOpenBundle",
	"internal/node/restored.go":           "internal/node FuzzLoadRestored",
	"broker/remote.go":                    "none: answers of our own servers to the account of operation",
	"gateway/pair/state.go":               "gateway/pair FuzzRecord",
	"gateway/stream/read.go":              "none: answers of our own broker about its streams",
	"internal/checkup/texts.go":           "internal/card FuzzOpen FuzzText",
	"broker/plan.go":                      "internal/card FuzzOpen", // certificates of cards that the register took in
	"broker/planfrom.go":                  "internal/keyring FuzzLoad",
	"broker/prove/cast.go":                "none: certificates that the prover makes",
	"internal/alert/json.go":              "internal/alert FuzzParse",
	"internal/card/read.go":               "internal/card FuzzOpen FuzzText",
	"internal/card/whole.go":              "internal/card FuzzOpen FuzzText",
	"internal/keyring/tls.go":             "internal/keyring FuzzLoad",
	"broker/prove/client.go":              "none: a broker that the prover has started itself",
	"cmd/karaula/internal/demo/script.go": "cmd/karaula/internal/demo FuzzParseScript",
	"gateway/strict/strict.go":            "gateway/strict FuzzJSON",
	"internal/access/access.go":           "internal/access FuzzParse",
	"internal/keyring/pem.go":             "internal/keyring FuzzCertificate",
	"gateway/channel.go":                  "none: bodies of statements of our own",
	"gateway/diary/record.go":             "gateway/diary FuzzOpenRecord",
	"internal/evidence/desk.go":           "gateway FuzzVerifyDesk",
	"gateway/hear.go":                     "internal/border FuzzPlace", // bodies that the border check has accepted
	"gateway/inbox/mac.go":                "gateway/inbox FuzzAuthenticated",
	"gateway/index/file.go":               "gateway/index FuzzFile",
	"gateway/keys.go":                     "internal/seal FuzzUnframe", // own alerts, sealed by this gateway
	"gateway/keyuse.go":                   "none: records of our own desk and bodies of our own statements, for counting",
	"gateway/known.go":                    "internal/border FuzzPlace", // bodies that the border check has accepted
	"gateway/link/check.go":               "gateway/link FuzzRequest FuzzReply",
	"gateway/link/message.go":             "gateway/link FuzzRequest FuzzReply",
	"gateway/numbers.go":                  "none: bodies of statements of our own",
	"gateway/outbox/recover.go":           "none: bodies of statements of our own, found in the journal",
	"internal/alert/yaml.go":              "internal/alert FuzzParse",
	"internal/border/epoch.go":            "internal/border FuzzPlace",
	"internal/border/inner.go":            "internal/border FuzzPlace",
	"internal/border/onward.go":           "internal/border FuzzLineage",
	"internal/card/open.go":               "internal/card FuzzOpen FuzzText",
	"internal/envelope/body.go":           "internal/border FuzzPlace",
	"internal/envelope/mend.go":           "internal/envelope FuzzParse",
	"internal/envelope/parse.go":          "internal/envelope FuzzParse",
	"internal/envelope/peek.go":           "internal/envelope FuzzParse",
	"internal/journal/frame.go":           "internal/journal FuzzReplay",
	"internal/keyring/file.go":            "internal/keyring FuzzLoad",
	"internal/keyring/store.go":           "internal/keyring FuzzLoad",
	"internal/node/load.go":               "internal/node FuzzParse",
	"internal/notice/read.go":             "internal/notice FuzzOpen",
	"internal/notice/request.go":          "internal/notice FuzzOpenRequest",
	"internal/remains/remains.go":         "internal/remains FuzzAnswer FuzzQuestion",
	"internal/seal/seal.go":               "internal/seal FuzzOpen",
	"internal/table/map.go":               "internal/table FuzzMap",
	"internal/table/ndjson.go":            "internal/table FuzzRows",
	"internal/wire/wire.go":               "internal/wire FuzzCheck",
}

// decodes lists the decoders that a file calls.
func decodes(s source) (out []string) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(decoders[x.Name], sel.Sel.Name) {
			out = append(out, x.Name+"."+sel.Sel.Name)
		}
		return true
	})
	return out
}

// fuzzTargets lists the fuzz targets of the project, as "room Name", that have
// seeds.
func fuzzTargets(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, s := range all(t) {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !s.test || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Fuzz") {
				continue
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Add" {
					out[s.room+" "+f.Name.Name] = true
				}
				return true
			})
		}
	}
	return out
}

// Every file that turns bytes into something says which fuzz target reaches it.
// That it does reach it is a claim that the reader must check; that the target is
// there, has seeds, and is run by tools/fuzz is not.
func TestSourcesThatParseHaveFuzzTargets(t *testing.T) {
	t.Parallel()
	have := fuzzTargets(t)
	parsers := map[string]bool{}
	for _, s := range all(t) {
		calls := decodes(s)
		if s.test || in(s.room, testRooms...) || len(calls) == 0 {
			continue
		}
		parsers[s.path] = true
		line, ok := targets[s.path]
		if !ok {
			t.Errorf("%s calls %s: name its fuzz target in targets, or say why nobody outside decides about its bytes",
				s.path, strings.Join(calls, ", "))
		}
		if strings.HasPrefix(line, "none: ") {
			continue
		}
		room, names, _ := strings.Cut(line, " ")
		for name := range strings.FieldsSeq(names) {
			if !have[room+" "+name] {
				t.Errorf("%s: there is no fuzz target %s with seeds in %s", s.path, name, room)
			}
		}
	}
	for path := range targets {
		if !parsers[path] {
			t.Errorf("%s parses nothing any more", path)
		}
	}
}
