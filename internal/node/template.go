package node

import (
	_ "embed"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v4"
)

// source is this package's config.go: the comments in it are the one place
// where fields are documented.
//
//go:embed config.go
var source string

// docs gives the comment of each field, by "Type.Field".
var docs = sync.OnceValue(func() map[string]string {
	out := map[string]string{}
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", source, parser.ParseComments)
	if err != nil {
		return out // the compiler has read the same file; a test sees that nothing is missing
	}
	ast.Inspect(file, func(n ast.Node) bool {
		t, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := t.Type.(*ast.StructType); ok {
			for _, f := range s.Fields.List {
				for _, name := range f.Names {
					out[t.Name.Name+"."+name.Name] = strings.TrimSpace(f.Doc.Text())
				}
			}
		}
		return true
	})
	return out
})

// field is one field of the configuration, for template and reference.
type field struct {
	name  string // as in YAML
	depth int    // 0 at the top
	doc   string
	group bool   // has fields of its own
	value string // in YAML, on one line
	typ   reflect.Type
}

// fields lists the fields of c in the order of the source.
func fields(v reflect.Value, depth int) []field {
	var out []field
	for i := range v.NumField() {
		sf, fv := v.Type().Field(i), v.Field(i)
		f := field{
			name: sf.Tag.Get("yaml"), depth: depth, typ: sf.Type,
			doc: docs()[v.Type().Name()+"."+sf.Name],
		}
		if sf.Type.Kind() == reflect.Struct {
			f.group = true
			out = append(append(out, f), fields(fv, depth+1)...)
			continue
		}
		f.value = inline(fv.Interface())
		out = append(out, f)
	}
	return out
}

// Template writes the configuration as a node.yaml in which every field stands
// with its explanation. [Parse] reads the same configuration from it.
func Template(c *Config) []byte {
	var b strings.Builder
	b.WriteString("# The configuration of a Karaula node. Every field stands here; unknown ones are\n" +
		"# refused. What the node may say to whom is not configured: it follows from the\n" +
		"# agreements. The node reads this file when it starts.\n")
	for _, f := range fields(reflect.ValueOf(*c), 0) {
		indent := strings.Repeat("  ", f.depth)
		b.WriteString("\n")
		for line := range strings.SplitSeq(f.doc, "\n") {
			b.WriteString(strings.TrimRight(indent+"# "+line, " ") + "\n")
		}
		switch {
		case f.group:
			b.WriteString(indent + f.name + ":\n")
		case f.typ == reflect.TypeFor[[]Officer]() && len(c.Officers) > 0:
			b.WriteString(indent + f.name + ":\n")
			for _, o := range c.Officers {
				b.WriteString(indent + "  - " + inline(o) + "\n")
			}
		case f.typ == reflect.TypeFor[[]ServerConfig]() && len(c.Cluster.Servers) > 0:
			b.WriteString(indent + f.name + ":\n")
			for _, s := range c.Cluster.Servers {
				b.WriteString(indent + "  - " + inline(s) + "\n")
			}
		default:
			b.WriteString(indent + f.name + ": " + f.value + "\n")
		}
	}
	return []byte(b.String())
}

// inline writes a value as YAML on one line.
func inline(v any) string {
	switch v := v.(type) {
	case time.Duration:
		return short(v)
	case Size:
		return v.String()
	case string:
		return quoted(v)
	case []string:
		parts := make([]string, 0, len(v))
		for _, s := range v {
			parts = append(parts, quoted(s))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case []Officer:
		parts := make([]string, 0, len(v))
		for _, o := range v {
			parts = append(parts, inline(o))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case []ServerConfig:
		parts := make([]string, 0, len(v))
		for _, s := range v {
			parts = append(parts, inline(s))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case ServerConfig:
		return "{name: " + quoted(v.Name) + ", client: " + quoted(v.Client) + ", route: " + quoted(v.Route) + "}"
	case Officer:
		return "{uid: " + inline(v.UID) + ", id: " + quoted(v.ID) + ", role: " + quoted(v.Role) + "}"
	}
	text, err := yaml.Marshal(v)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// quoted writes a string between double quotes, as YAML and JSON read it.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(s) + `"`
}

// short writes a length of time without the zeros that String adds: "1h", "5m".
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
