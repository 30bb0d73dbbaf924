package ledger_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"

	"karaula/docs/spec/vectors"
	"karaula/internal/ledger"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

var update = flag.Bool("update", false, "write the test vectors again")

// TestVectors reads every vector of ledger ids and roots.
func TestVectors(t *testing.T) {
	t.Parallel()
	if *update {
		writeVectors(t)
		t.Skip("vectors written; run again without -update")
	}
	all, err := vectors.Read("ledger")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(v.Headers, answer(t, v)); diff != "" {
				t.Errorf("another answer (-want +got):\n%s", diff)
			}
		})
	}
}

// answer computes the headers of a vector again from those that are given.
func answer(t *testing.T, v *vectors.Vector) []vectors.Header {
	t.Helper()
	out := []vectors.Header{{Name: "expect", Value: "ok"}, {Name: "comment", Value: v.Get("comment")}}
	if strings.HasPrefix(v.Name, "ledger/frontier-") {
		return frontierHeaders(t, v)
	}
	if v.Get("size") != "" {
		return append(out, rootHeaders(t, v.Get("size"))...)
	}
	mode, ok := terms.ParseMode(v.Get("mode"))
	agreement, err := v.Hex("agreement")
	if !ok || err != nil {
		t.Fatalf("bad vector: mode %q, %v", v.Get("mode"), err)
	}
	id := ledger.NewID(v.Get("channel"), v.Get("origin"), mode, [32]byte(agreement))
	return append(out,
		vectors.Header{Name: "channel", Value: v.Get("channel")}, vectors.Header{Name: "origin", Value: v.Get("origin")},
		vectors.Header{Name: "mode", Value: v.Get("mode")}, vectors.Header{Name: "agreement", Value: v.Get("agreement")},
		vectors.Header{Name: "id", Value: id.String()})
}

// rootHeaders computes root and right edge of the tree over "statement 1",
// "statement 2" and so on.
func rootHeaders(t *testing.T, size string) []vectors.Header {
	t.Helper()
	n, err := strconv.Atoi(size)
	if err != nil {
		t.Fatal(err)
	}
	var tree ledger.Tree
	for i := range n {
		tree.Append(tlog.RecordHash(fmt.Appendf(nil, "statement %d", i+1)))
	}
	root := tree.Root()
	out := []vectors.Header{{Name: "size", Value: size}, {Name: "root", Value: hex.EncodeToString(root[:])}}
	for _, h := range tree.Frontier() {
		out = append(out, vectors.Header{Name: "frontier", Value: hex.EncodeToString(h[:])})
	}
	return out
}

// frontierHeaders says whether a right edge that somebody gives is one.
func frontierHeaders(t *testing.T, v *vectors.Vector) []vectors.Header {
	t.Helper()
	size, err := strconv.ParseUint(v.Get("size"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	root, err := v.Hex("root")
	if err != nil {
		t.Fatal(err)
	}
	var edge [][32]byte
	for _, h := range v.Headers {
		if h.Name == "frontier" {
			hash, err := hex.DecodeString(h.Value)
			if err != nil {
				t.Fatal(err)
			}
			edge = append(edge, [32]byte(hash))
		}
	}
	out := slices.Clone(v.Headers)
	out[0].Value = "ok"
	if _, err := ledger.FromFrontier(size, edge, [32]byte(root)); err != nil {
		out[0].Value = terms.CodeWord(karaulav1.Code_CODE_HISTORY_INCOMPLETE)
	}
	return out
}

// frontierVectors are right edges as somebody may give them for a tree of 11.
func frontierVectors(t *testing.T) []*vectors.Vector {
	t.Helper()
	good := rootHeaders(t, "11") // size, root, three hashes
	other := rootHeaders(t, "7") // as many hashes
	edited := func(name, comment string, change func([]vectors.Header) []vectors.Header) *vectors.Vector {
		headers := append([]vectors.Header{{Name: "comment", Value: comment}}, change(slices.Clone(good))...)
		return &vectors.Vector{Name: "ledger/frontier-" + name, Headers: headers}
	}
	return []*vectors.Vector{
		edited("ok", "the right edge of 11 statements: the roots over 1 to 8, 9 to 10, and 11",
			func(h []vectors.Header) []vectors.Header { return h }),
		edited("short", "a hash is missing: 11 has three bits set", func(h []vectors.Header) []vectors.Header { return h[:4] }),
		edited("long", "a hash too many", func(h []vectors.Header) []vectors.Header { return append(h, h[4]) }),
		edited("none", "no hash at all", func(h []vectors.Header) []vectors.Header { return h[:2] }),
		edited("turned", "smallest subtree first", func(h []vectors.Header) []vectors.Header {
			slices.Reverse(h[2:])
			return h
		}),
		edited("other-size", "the right edge of 7 statements, which has as many hashes",
			func(h []vectors.Header) []vectors.Header { return append(h[:2], other[2:]...) }),
		edited("other-root", "the right edge and root of 7 statements, said to be of 11",
			func(h []vectors.Header) []vectors.Header { return append(h[:1], other[1:]...) }),
		edited("too-large", "a size beyond the limit of the format", func(h []vectors.Header) []vectors.Header {
			h[0].Value = strconv.FormatUint(1<<62+11, 10)
			return append(h, h[4])
		}),
	}
}

// writeVectors writes the vectors again.
func writeVectors(t *testing.T) {
	t.Helper()
	write := func(v *vectors.Vector) {
		v.Headers = append([]vectors.Header{{Name: "expect", Value: "ok"}}, v.Headers...)
		v.Headers = answer(t, v)
		path := filepath.Join("..", "..", "docs", "spec", "vectors", v.Name+".txt")
		if err := os.WriteFile(path, v.Encode(), 0o644); err != nil { //nolint:gosec // public
			t.Fatal(err)
		}
	}
	for _, n := range []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "100"} {
		write(&vectors.Vector{Name: "ledger/root-" + n, Headers: []vectors.Header{
			{Name: "comment", Value: `statement i, from 1, is the ASCII text "statement i"; the edge is largest subtree first`},
			{Name: "size", Value: n},
		}})
	}
	for _, v := range frontierVectors(t) {
		write(v)
	}
	for i, v := range []struct{ channel, origin, mode, agreement string }{
		{"b01-al-me", "al", "actual", "00"},
		{"b01-al-me", "me", "actual", "00"},
		{"b01-al-me", "al", "exercise", "00"},
		{"t01-plav", "xk", "test", "a5"},
	} {
		digest := ""
		for range 32 {
			digest += v.agreement
		}
		write(&vectors.Vector{Name: fmt.Sprintf("ledger/id-%d", i+1), Headers: []vectors.Header{
			{Name: "comment", Value: "agreement is the digest of the channel's first agreement text"},
			{Name: "channel", Value: v.channel},
			{Name: "origin", Value: v.origin},
			{Name: "mode", Value: v.mode},
			{Name: "agreement", Value: digest},
		}})
	}
}
