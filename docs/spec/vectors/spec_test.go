package vectors_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"karaula/docs/spec/vectors"
	"karaula/gateway/api"
	"karaula/internal/envelope"
	"karaula/internal/journal"
	"karaula/internal/ledger"
	"karaula/internal/seal"
	"karaula/internal/subject"
	"karaula/internal/terms"
	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// limits are the bounds that limits.md names, as the code has them.
var limits = map[string]uint64{
	"envelope.MaxEnvelope": envelope.MaxEnvelope, "envelope.MaxStatement": envelope.MaxStatement,
	"envelope.MaxSigners": envelope.MaxSigners, "envelope.MaxParts": envelope.MaxParts,
	"envelope.MaxRecipients": envelope.MaxRecipients, "envelope.MaxHeads": envelope.MaxHeads,
	"envelope.MaxRefs": envelope.MaxRefs,
	"seal.MaxPart":     seal.MaxPart, "seal.MaxRecipients": seal.MaxRecipients,
	"seal.MinFrame": seal.MinFrame, "seal.MaxFrame": seal.MaxFrame,
	"wire.MaxDepth": wire.MaxDepth, "wire.MaxElements": wire.MaxElements,
	"ledger.MaxSize": ledger.MaxSize, "terms.MaxID": terms.MaxID, "journal.MaxRecord": journal.MaxRecord,
	"subject.MaxStreamMsg": subject.MaxStreamMsg, "subject.MaxPayload": subject.MaxPayload,
	"subject.MaxLinkRequest": subject.MaxLinkRequest, "subject.MaxLinkReply": subject.MaxLinkReply,
	"subject.MaxAckPending": subject.MaxAckPending, "subject.MaxWaiting": subject.MaxWaiting,
	"api.MaxBody": api.MaxBody, "api.MaxConnections": api.MaxConnections, "api.MaxFlight": api.MaxFlight,
	"api.MaxRate": api.MaxRate, "api.MaxStrangers": api.MaxStrangers,
	"subject.MaxRequestBatch": subject.MaxRequestBatch, "subject.QuarantineBytes": subject.QuarantineBytes,
}

var limitRow = regexp.MustCompile(`(?m)^\| ([a-z]+\.[A-Za-z]+) \| (\d+) \|`)

// TestLimits: limits.md names every bound once, with the value of the code.
func TestLimits(t *testing.T) {
	t.Parallel()
	named := map[string]bool{}
	for _, row := range limitRow.FindAllStringSubmatch(page(t, "limits.md"), -1) {
		value, err := strconv.ParseUint(row[2], 10, 64)
		want, ok := limits[row[1]]
		if err != nil || !ok || value != want || named[row[1]] {
			t.Errorf("%s is %s in the text, %d in the code (known: %t, twice: %t)", row[1], row[2], want, ok, named[row[1]])
		}
		named[row[1]] = true
	}
	for name := range limits {
		if !named[name] {
			t.Errorf("%s is not in the text", name)
		}
	}
}

var (
	example = regexp.MustCompile("(?s)<!-- ([a-z-]+): ([a-z/-]+) -->\n```hex\n(.*?)```")
	remark  = regexp.MustCompile(`(?m)#.*$`)
)

// TestWorkedExamples: the bytes in envelope.md are those of the vectors.
func TestWorkedExamples(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, m := range example.FindAllStringSubmatch(page(t, "envelope.md"), -1) {
		what, name := m[1], m[2]
		seen[what] = true
		shown, err := hex.DecodeString(strings.Join(strings.Fields(remark.ReplaceAllString(m[3], "")), ""))
		if err != nil {
			t.Errorf("%s of %s: %v", what, name, err)
			continue
		}
		if err := compare(what, name, shown); err != nil {
			t.Errorf("%s of %s: %v", what, name, err)
		}
	}
	for _, what := range []string{"vector", "pae-prefix", "leaf", "prefix", "commitment"} {
		if !seen[what] {
			t.Errorf("the text shows no %s", what)
		}
	}
}

// compare checks the bytes that the text shows as some aspect of a vector.
func compare(what, name string, shown []byte) error {
	v, err := vectors.Open(name)
	if err != nil {
		return err
	}
	var want []byte
	switch what {
	case "vector":
		want = v.Body
	case "leaf", "commitment":
		want, err = v.Hex(what)
	case "prefix":
		if !bytes.HasPrefix(v.Body, shown) || len(bytes.Trim(v.Body[len(shown):], "\x00")) != 0 {
			return fmt.Errorf("the bytes do not begin with %x, or do not go on with zeros", shown)
		}
		return nil
	case "pae-prefix":
		p, err := envelope.Parse(v.Body)
		if err != nil {
			return err
		}
		want, _ = bytes.CutSuffix(envelope.PAE(envelope.StatementType, p.StatementBytes), p.StatementBytes)
		if len(want) != 51 {
			return fmt.Errorf("the text says 51 bytes, there are %d", len(want))
		}
	default:
		return errors.New("an example of an unknown sort")
	}
	if err == nil && !bytes.Equal(shown, want) {
		err = fmt.Errorf("the text shows\n%x, the vector has\n%x", shown, want)
	}
	return err
}

var fieldRow = regexp.MustCompile(`(?m)^\| (\d+) \| ([a-z_]+) \| [^|]+ \|`)

// TestFieldTables: the tables of Envelope and Statement have the fields of the
// messages, with their numbers.
func TestFieldTables(t *testing.T) {
	t.Parallel()
	text := page(t, "envelope.md")
	for heading, m := range map[string]proto.Message{
		"## Envelope\n": &karaulav1.Envelope{}, "## Statement\n": &karaulav1.Statement{},
	} {
		_, section, ok := strings.Cut(text, "\n"+heading)
		section, _, _ = strings.Cut(section, "\n## ")
		section, _, _ = strings.Cut(section, "\n### ")
		rows := fieldRow.FindAllStringSubmatch(section, -1)
		fields := m.ProtoReflect().Descriptor().Fields()
		reserved := 0
		if _, ok := m.(*karaulav1.Statement); ok {
			reserved = 2 // 23 and 24 share a row
		}
		if !ok || len(rows)+reserved != fields.Len() {
			t.Errorf("%q has %d rows for %d fields", heading, len(rows), fields.Len())
		}
		for _, row := range rows {
			fd := fields.ByName(protoreflect.Name(row[2]))
			if fd == nil || strconv.Itoa(int(fd.Number())) != row[1] {
				t.Errorf("%q: field %s is not number %s", heading, row[2], row[1])
			}
		}
	}
}

// TestReservedIDs: the ids that the text calls reserved are, and a plain one is not.
func TestReservedIDs(t *testing.T) {
	t.Parallel()
	_, list, ok := strings.Cut(page(t, "envelope.md"), "\nReserved ids: `")
	list, _, _ = strings.Cut(list, "`")
	if words := strings.Fields(list); !ok || len(words) != 14 {
		t.Fatalf("the text lists %d reserved ids", len(words))
	}
	for id := range strings.FieldsSeq(list) {
		if terms.ValidID(id) {
			t.Errorf("%s is not reserved", id)
		}
	}
	if !terms.ValidID("b01-al-me") {
		t.Error("no id is valid")
	}
}

// page reads a page of the specification.
func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
