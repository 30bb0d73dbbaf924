package agreement

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"karaula/internal/problem"
	"karaula/internal/terms"
)

var update = flag.Bool("update", false, "write the test vectors anew")

const vectorDir = "../../docs/spec/vectors/agreement"

// vector is a file of docs/spec/vectors/agreement: header lines, an empty line,
// an agreement file.
type vector struct {
	header [][2]string
	body   []byte
}

func (v *vector) set(name, value string) { v.header = append(v.header, [2]string{name, value}) }

func (v *vector) all(name string) (out []string) {
	for _, h := range v.header {
		if h[0] == name {
			out = append(out, h[1])
		}
	}
	return out
}

func (v *vector) encode() []byte {
	var b bytes.Buffer
	for _, h := range v.header {
		fmt.Fprintf(&b, "%s: %s\n", h[0], h[1])
	}
	b.WriteByte('\n')
	b.Write(v.body)
	return b.Bytes()
}

func readVector(path string) (*vector, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	head, body, ok := bytes.Cut(file, []byte("\n\n"))
	if !ok {
		return nil, errors.New("no empty line")
	}
	v := &vector{body: body}
	for line := range strings.SplitSeq(string(head), "\n") {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			return nil, fmt.Errorf("bad header line %q", line)
		}
		v.set(name, value)
	}
	return v, nil
}

// recipe makes one vector: the sample with replacements, then signatures.
type recipe struct {
	name, comment string
	change        []string
	signers       []string
	after         []string // replacements in the signed file
}

// recipes lists the vectors. The linter's own tests try more.
func recipes(t testing.TB) []recipe {
	t.Helper()
	digest := func(c string) string { return "sha256:" + strings.Repeat(c, 64) }
	later := "version 3\nsupersedes " + digest("a") + "\nfirst " + digest("b")
	me := key(t, "me").vkey
	return []recipe{
		{name: "ok-unsigned", comment: "a text that nobody has signed"},
		{name: "ok-partly", comment: "signed by one of two parties", signers: []string{"me"}},
		{
			name: "ok-complete", comment: "signed by both parties and the auditor",
			signers: []string{"dpa", "me", "al"},
		},
		{
			name: "ok-version-3", comment: "a later version",
			change: []string{"version 1", later}, signers: []string{"al", "me"},
		},
		{name: "ok-sealed-types", comment: "alert types are sealed", change: []string{"types=open", "types=sealed"}},
		{
			name: "ok-letters", comment: "other letters in quoted strings",
			change: []string{`"Art. 5"`, `"чл. 5, § 2"`},
		},
		{name: "ok-microseconds", comment: "times to the microsecond", change: []string{
			"2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z", "2027-01-01T00:00:00Z", "2026-12-31T23:59:59.999999Z",
		}},
		{
			name: "ok-warning", comment: "kept longer than usual: only a warning",
			change: []string{"retain<=1y", "retain<=2y"},
		},
		{
			name: "ok-no-articles", comment: "no free text",
			change: []string{"---\nArticle 1\n\nNobody ever agreed to this.\n", ""},
		},
		{
			name: "ok-repeated-line", comment: "a signature line that stands twice counts once", signers: []string{"al"},
			after: []string{"\n— al ", "\n— al " + signatureOf(t, "al") + "\n— al "},
		},
		{name: "invalid-first-line", comment: "another format", change: []string{"agreement v1", "agreement v2"}},
		{name: "invalid-order", comment: "two lines in the wrong order", change: []string{
			"quota 1GiB\nwithdraw notice=90d", "withdraw notice=90d\nquota 1GiB",
		}},
		{name: "invalid-missing", comment: "a line is missing", change: []string{"exercise no\n", ""}},
		{
			name: "invalid-duplicate", comment: "a line stands twice",
			change: []string{"exercise no", "exercise no\nexercise no"},
		},
		{name: "invalid-reserved", comment: "a reserved word as id", change: []string{"id b01-al-me", "id link"}},
		{
			name: "invalid-months", comment: "there are no months",
			change: []string{"winding-down 30d", "winding-down 6m"},
		},
		{name: "invalid-leading-zero", comment: "one spelling for each number", change: []string{"30d", "030d"}},
		{
			name: "invalid-time-zone", comment: "times are UTC",
			change: []string{"2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00"},
		},
		{
			name: "invalid-validity", comment: "valid-until is not after valid-from",
			change: []string{"until 2027", "until 2026"},
		},
		{name: "invalid-one-root", comment: "two parties with one root key", change: []string{
			"root=" + me, "root=" + sameKey(t, "al", "me"),
		}},
		{
			name: "invalid-root-name", comment: "a root key of another name",
			change: []string{"root=" + me, "root=" + sameKey(t, "me", "xk")},
		},
		{
			name: "invalid-version", comment: "version 2 without the digests of those before",
			change: []string{"version 1", "version 2"},
		},
		{
			name: "invalid-unknown-party", comment: "a clause names no party",
			change: []string{"say al,me", "say al,rs"},
		},
		{
			name: "invalid-never-personal", comment: "routes never hold personal data",
			change: []string{"vehicle,hit", "vehicle,route"},
		},
		{
			name: "invalid-exercise", comment: "a channel for exercises without exercise yes",
			change: []string{"=actual", "=exercise"},
		},
		{name: "invalid-no-clause", comment: "a channel without a clause", change: []string{
			"types=open", "types=open\nchannel second mode=actual types=open",
		}},
		{name: "invalid-spaces", comment: "two spaces", change: []string{"quota 1GiB", "quota  1GiB"}},
		{
			name: "invalid-bidi", comment: "a bidirectional control in the free text",
			change: []string{"Article 1", "Article \u202e1"},
		},
		{name: "invalid-many", comment: "everything that is wrong is said at once", change: []string{
			"version 1", "version one", "256KiB", "4GiB", "retain<=1y", "retain<=0s",
		}},
		{
			name: "verification-changed", comment: "a clause was widened after signing", signers: []string{"al", "me"},
			after: []string{"handling<=H2", "handling<=H3"},
		},
		{
			name: "verification-articles", comment: "the free text is signed too", signers: []string{"al", "me"},
			after: []string{"Nobody ever", "Everybody always"},
		},
	}
}

// sameKey is the verifier key of one party's key under another name.
func sameKey(t testing.TB, of, name string) string {
	t.Helper()
	vkey, err := vkeyOf(name, key(t, of).Signer.(testSigner))
	if err != nil {
		t.Fatal(err)
	}
	return vkey
}

// signatureOf is a party's signature of the sample, as its line has it.
func signatureOf(t testing.TB, code string) string {
	t.Helper()
	_, line, _ := strings.Cut(string(mustSign(t, sample(t), code)), "\n— "+code+" ")
	return strings.TrimSuffix(line, "\n")
}

// answer says what this implementation makes of a file, as header lines.
func answer(file []byte) [][2]string {
	var v vector
	a, findings := Lint(file)
	s, err := Open(file)
	switch {
	case err == nil:
		v.set("expect", "ok")
	case problem.Is(err, problem.Verification):
		v.set("expect", "verification")
	default:
		v.set("expect", "invalid")
	}
	for _, f := range findings {
		v.set("finding", fmt.Sprintf("%d %s %s", f.Line, f.Severity, f.Code))
	}
	if err != nil {
		return v.header
	}
	v.set("digest", hex.EncodeToString(a.Digest[:]))
	v.set("first", hex.EncodeToString(a.First[:]))
	v.set("signed-by", strings.Join(append([]string{"-"}, s.SignedBy...), " "))
	for _, at := range []time.Time{
		a.ValidFrom.Add(-time.Microsecond), a.ValidFrom, a.ValidUntil.Add(-time.Microsecond), a.ValidUntil, a.ClosesAt(),
	} {
		v.set("phase", FormatTime(at)+" "+a.PhaseAt(at).String())
	}
	for _, r := range Matrix(a) {
		v.set("may", fmt.Sprintf("%s %s %s: %s", r.From, r.To, terms.TypeWord(r.Type), strings.Join(r.Refs(), "; ")))
	}
	return v.header
}

func TestVectors(t *testing.T) {
	t.Parallel()
	if *update {
		writeVectors(t)
	}
	paths, err := filepath.Glob(filepath.Join(vectorDir, "*.agreement"))
	if err != nil || len(paths) != len(recipes(t)) {
		t.Fatalf("%d vectors, %v, want %d", len(paths), err, len(recipes(t)))
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			v, err := readVector(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := v.all("comment"); len(got) != 1 || !strings.HasPrefix(filepath.Base(path), v.all("expect")[0]+"-") {
				t.Errorf("comment %q, expect %q", got, v.all("expect"))
			}
			want := [][2]string{}
			for _, h := range v.header {
				if h[0] != "comment" {
					want = append(want, h)
				}
			}
			if d := cmp.Diff(want, answer(v.body)); d != "" {
				t.Errorf("answer (-want +got):\n%s", d)
			}
		})
	}
}

func writeVectors(t *testing.T) {
	t.Helper()
	old, err := filepath.Glob(filepath.Join(vectorDir, "*.agreement"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range recipes(t) {
		file := string(mustSign(t, sample(t, r.change...), r.signers...))
		for i := 0; i < len(r.after); i += 2 {
			file = strings.Replace(file, r.after[i], r.after[i+1], 1)
		}
		got := answer([]byte(file))
		v := vector{header: append([][2]string{got[0], {"comment", r.comment}}, got[1:]...), body: []byte(file)}
		if err := os.WriteFile(filepath.Join(vectorDir, r.name+".agreement"), v.encode(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
