package alert_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/reflect/protoreflect"

	"karaula/internal/alert"
)

var update = flag.Bool("update", false, "write the field reference into docs/alerts.md")

const (
	docs     = "../../docs/alerts.md"
	protos   = "../../proto/karaula/v1"
	begin    = "<!-- fields -->\n"
	end      = "<!-- end of fields -->"
	maxWords = 40 // words of an enum that a table shows
)

// TestFieldReference: the page lists every field as the schema has it.
func TestFieldReference(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the fields", docs)
	}
	want := before + begin + reference(t) + end + after
	if *update {
		if err := os.WriteFile(docs, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(page) {
		t.Errorf("%s is not what the schema says: go test ./internal/alert -run TestFieldReference -update", docs)
	}
}

// TestTheExampleOfThePageIsValid: what the page shows can be sent.
func TestTheExampleOfThePageIsValid(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) == 0 {
		t.Fatal("the page shows no alert")
	}
	for _, b := range blocks {
		as, err := alert.ParseBytes(b[1], "page.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if fs := alert.Validate(as[0], now); len(fs) != 0 {
			t.Errorf("found %v", fs)
		}
	}
}

// reference writes a table for each message, the alert first.
func reference(t *testing.T) string {
	t.Helper()
	said := comments(t)
	var b strings.Builder
	var last protoreflect.Name
	for _, fd := range ordered() {
		if md := fd.ContainingMessage(); md.Name() != last {
			last = md.Name()
			fmt.Fprintf(&b, "\n### %s\n\n| field | form | | meaning |\n|--|--|--|--|\n", last)
		}
		flags := ""
		if required(t, fd) {
			flags += "!"
		}
		if markOf(fd).GetPersonal() {
			flags += "P"
		}
		if markOf(fd).GetFree() {
			flags += "F"
		}
		text, ok := said[string(last)+"."+string(fd.Name())]
		if !ok {
			t.Errorf("%s has no comment", fd.FullName())
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", fd.Name(), formOf(t, fd), flags, strings.ReplaceAll(text, "|", "\\|"))
	}
	b.WriteString("\n")
	return b.String()
}

// ordered lists the fields, message after message.
func ordered() []protoreflect.FieldDescriptor {
	byMessage := map[protoreflect.FullName][]protoreflect.FieldDescriptor{}
	var names []protoreflect.FullName
	for _, fd := range alertFields() {
		name := fd.ContainingMessage().FullName()
		if byMessage[name] == nil {
			names = append(names, name)
		}
		byMessage[name] = append(byMessage[name], fd)
	}
	var out []protoreflect.FieldDescriptor
	for _, n := range names {
		out = append(out, byMessage[n]...)
	}
	return out
}

// comments reads what the schema says above each field: "Alert.id" to its text.
func comments(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(protos + "/*.proto")
	if err != nil || len(files) == 0 {
		t.Fatalf("no schema in %s: %v", protos, err)
	}
	message := regexp.MustCompile(`^message (\w+) \{`)
	field := regexp.MustCompile(`^\s+(?:repeated |optional )?[\w.]+ (\w+) = \d+`)
	out := map[string]string{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var in string
		var above []string
		for line := range strings.Lines(string(data)) {
			text := strings.TrimSpace(line)
			if comment, ok := strings.CutPrefix(text, "//"); ok {
				above = append(above, strings.TrimSpace(comment))
				continue
			}
			if m := message.FindStringSubmatch(line); m != nil {
				in = m[1]
			} else if m := field.FindStringSubmatch(line); m != nil && above != nil {
				out[in+"."+m[1]] = strings.Join(above, " ")
			}
			above = nil
		}
	}
	return out
}

// itemRules gives the rules of a field's values.
func itemRules(t *testing.T, fd protoreflect.FieldDescriptor) *validate.FieldRules {
	t.Helper()
	r := rulesOf(t, fd)
	if fd.IsList() {
		return r.GetRepeated().GetItems()
	}
	return r
}

// formOf says what a field holds.
func formOf(t *testing.T, fd protoreflect.FieldDescriptor) string {
	t.Helper()
	form := ""
	r, m := itemRules(t, fd), markOf(fd)
	switch fd.Kind() {
	case protoreflect.MessageKind:
		form = fmt.Sprintf("[%s](#%s)", fd.Message().Name(), strings.ToLower(string(fd.Message().Name())))
	case protoreflect.EnumKind:
		ws := alert.Words(fd.Enum())
		if in := r.GetEnum().GetIn(); len(in) > 0 {
			ws = ws[:len(in)]
		}
		form = strings.Join(ws[:min(len(ws), maxWords)], ", ")
	case protoreflect.BoolKind:
		form = "true"
	case protoreflect.BytesKind:
		form = fmt.Sprintf("%d bytes in hexadecimal", r.GetBytes().GetLen())
	case protoreflect.DoubleKind:
		form = fmt.Sprintf("%g to %g", r.GetDouble().GetGte(), r.GetDouble().GetLte())
	case protoreflect.Uint32Kind:
		form = fmt.Sprintf("number to %d", r.GetUint32().GetLte())
	case protoreflect.Uint64Kind:
		form = fmt.Sprintf("number to %d", r.GetUint64().GetLte())
	case protoreflect.Int64Kind:
		form = "time"
	case protoreflect.StringKind:
		switch {
		case m.GetForm() != "":
			form = m.GetForm()
		case r.GetString().GetUuid():
			form = "UUID"
		default:
			form = fmt.Sprintf("text to %d", r.GetString().GetMaxLen())
		}
		if m.GetLines() {
			form += ", several lines"
		}
	default:
		t.Errorf("%s: no form", fd.FullName())
	}
	if fd.IsList() {
		return fmt.Sprintf("list to %d: %s", rulesOf(t, fd).GetRepeated().GetMaxItems(), form)
	}
	return form
}

// required reports whether an alert must set a field, by the schema alone.
func required(t *testing.T, fd protoreflect.FieldDescriptor) bool {
	t.Helper()
	r := rulesOf(t, fd)
	if r.GetRequired() || r.GetRepeated().GetMinItems() > 0 {
		return true
	}
	if fd.IsList() || r.GetIgnore() == validate.Ignore_IGNORE_IF_ZERO_VALUE {
		return false
	}
	s, e := r.GetString(), r.GetEnum()
	return s.GetMinLen() > 0 || s.GetPattern() != "" || s.GetUuid() || len(e.GetNotIn()) > 0 || len(e.GetIn()) > 0 ||
		r.GetInt64().HasGt() || r.GetUint32().HasGt() || r.GetUint64().HasGt() || r.GetBytes().GetLen() > 0
}
