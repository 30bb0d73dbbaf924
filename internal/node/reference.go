package node

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Reference writes docs/configuration.md: every field with its type, default
// and documentation.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(`# Configuration

A node has one configuration file, ` + "`DIR/node.yaml`" + `, which ` + "`karaula init`" + ` writes, every field
with its explanation.
The node reads it when it starts. Unknown fields are refused, and so are anchors, aliases, merge keys and tags; the file
has at most 64 KiB. Everything that is wrong is said at once, with line numbers.

What the node may say to whom is not configured: it follows from the signed agreements. The file holds no secret.

This page is made from the comments in ` + "`internal/node/config.go`" + `; a test keeps the two the same.

`)
	var group string
	for _, f := range fields(reflect.ValueOf(*Default()), 0) {
		name := f.name
		if f.group {
			group = f.name
			fmt.Fprintf(&b, "## %s\n\n%s\n\n", name, f.doc)
			continue
		}
		if f.depth > 0 {
			name = group + "." + f.name
		}
		fmt.Fprintf(&b, "## %s\n\n%s. %s\n\n%s\n\n", name, typeWord(f.typ), defaultWords(f), f.doc)
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

// typeWord says what a field holds.
func typeWord(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "Length of time, with a unit (`90s`, `5m`, `1h`)"
	case reflect.TypeFor[Size]():
		return "Size"
	case reflect.TypeFor[[]string]():
		return "List of texts"
	case reflect.TypeFor[[]Officer]():
		return "List of `{uid, id, role}`"
	case reflect.TypeFor[[]ServerConfig]():
		return "List of `{name, client, route}`"
	case reflect.TypeFor[int]():
		return "Number"
	default:
		return "Text"
	}
}

// defaultWords says what holds where the field does not stand.
func defaultWords(f field) string {
	switch {
	case f.name == "party" || f.name == "name" || f.name == "listen":
		return "Must stand."
	case f.value == `""` || f.value == "[]":
		return "Default: empty."
	default:
		return "Default: `" + f.value + "`."
	}
}
