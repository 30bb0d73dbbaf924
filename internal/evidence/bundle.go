package evidence

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
	"karaula/internal/terms"
)

// Limits of a bundle.
const (
	maxManifest = 1 << 20  // bytes of its first file
	maxLedgers  = 1000     // in it
	maxFiles    = 10_000   // of the register, and frames, each
	maxFile     = 1 << 20  // bytes of one of them
	maxKept     = 64 << 20 // bytes of all of them together
)

// The names in a bundle.
const (
	bundleHead   = "karaula bundle v1"
	manifestName = "bundle"
	registerName = "register/"
	ledgerName   = "ledgers/"
	frameName    = "frames/"
)

// Bundle is a slice of history in one file that verifies by itself: statements
// of some ledgers in their order, the hashes of what was said before them, and
// the register of the party that made it. See docs/spec/evidence.md.
type Bundle struct {
	// Party made it; that alone makes nothing of it true.
	Party string
	// Ledgers are those of which it holds statements; their Pieces read the file.
	Ledgers []Input
	// Register are the files of cards, agreements and notices by their paths.
	Register map[string][]byte
	// Frames are disclosed contents by the name of their statement.
	Frames map[string][]byte

	src  io.ReaderAt
	size int64
}

// statementName names a statement in a bundle: "b01-al-me.al/1-000000000005".
func statementName(channel, origin string, epoch, seq uint64) string {
	return fmt.Sprintf("%s.%s/%d-%012d", channel, origin, epoch, seq)
}

// IsBundle reports whether a file begins like a bundle.
func IsBundle(head []byte) bool {
	return len(head) > tarBlock && bytes.HasPrefix(head, []byte(manifestName+"\x00")) &&
		bytes.HasPrefix(head[tarBlock:], []byte(bundleHead+"\n"))
}

// WriteBundle writes a bundle. The pieces of each ledger are written as they
// come; what has no number of it is left out.
func (b *Bundle) WriteBundle(w io.Writer) error {
	t := newTarWriter(w)
	if err := t.file(manifestName, b.manifest()); err != nil {
		return err
	}
	for _, name := range sortedNames(b.Register) {
		if err := t.file(registerName+name, b.Register[name]); err != nil {
			return err
		}
	}
	for _, name := range sortedNames(b.Frames) {
		if err := t.file(frameName+name, b.Frames[name]); err != nil {
			return err
		}
	}
	for _, in := range b.Ledgers {
		if err := writeLedger(t, in); err != nil {
			return err
		}
	}
	if err := t.w.Close(); err != nil {
		return problem.Wrap(problem.Failed, err, "the bundle cannot be written; what is there of it is useless")
	}
	return nil
}

func writeLedger(t tarWriter, in Input) error {
	last, again := border.Position{}, 0
	for raw, err := range in.Pieces {
		if err != nil {
			return err
		}
		at, ok := numberOf(in, raw.Data)
		if !ok {
			continue
		}
		name := ledgerName + statementName(in.Channel, in.Origin, at.Epoch, at.Seq)
		if again++; at != last {
			last, again = at, 0
		}
		if again > 0 {
			name += "+" + strconv.Itoa(again)
		}
		if err := t.file(name, raw.Data); err != nil {
			return err
		}
	}
	return nil
}

// numberOf reads which statement of a ledger bytes claim to be.
func numberOf(in Input, raw []byte) (border.Position, bool) {
	p, ok := envelope.Peek(raw)
	if !ok || p.Said.GetChannel() != in.Channel || p.Said.GetOrigin() != in.Origin {
		return border.Position{}, false
	}
	return border.Position{Epoch: p.Said.GetEpoch(), Seq: p.Said.GetSeq()}, true
}

// manifest is the text of the bundle's first file.
func (b *Bundle) manifest() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s\nparty %s\n", bundleHead, b.Party)
	for _, in := range b.Ledgers {
		start := Start{Epoch: 1}
		if in.Start != nil {
			start = *in.Start
		}
		fmt.Fprintf(&out, "ledger %s %s %s %s %d %d\n", in.Channel, in.Origin, terms.ModeWord(in.Mode), in.ID, start.Epoch, start.Size)
		for _, h := range start.Edge {
			fmt.Fprintf(&out, "hash %s\n", b64.EncodeToString(h[:]))
		}
	}
	return out.Bytes()
}

// OpenBundle reads a bundle's form, and everything but its statements. It
// verifies nothing; errors are of kind Invalid.
func OpenBundle(r io.ReaderAt, size int64) (*Bundle, error) {
	b := &Bundle{Register: map[string][]byte{}, Frames: map[string][]byte{}, src: r, size: size}
	t := newTarReader(r, 0, size)
	name, n, _, err := t.next()
	if err != nil {
		return nil, err
	}
	if name != manifestName {
		return nil, problem.New(problem.Invalid, "not a bundle: its first file is not %q", manifestName)
	}
	text, err := t.read(name, n, maxManifest)
	if err != nil {
		return nil, err
	}
	if err := b.parseManifest(string(text)); err != nil {
		return nil, err
	}
	return b, b.scan(t)
}

// scan reads the small files and notes where the statements of each ledger begin.
func (b *Bundle) scan(t *tarReader) error {
	kept, reached := int64(0), -1
	for {
		name, n, at, err := t.next()
		if err != nil {
			return err
		}
		into, rest := b.Register, strings.TrimPrefix(name, registerName)
		switch {
		case name == "" && t.src.here() != b.size:
			return problem.New(problem.Invalid, "the bundle goes on behind its end")
		case name == "":
			return nil
		case strings.HasPrefix(name, ledgerName):
			if reached, err = b.begins(name, at, reached); err != nil {
				return err
			}
			continue
		case strings.HasPrefix(name, frameName):
			into, rest = b.Frames, strings.TrimPrefix(name, frameName)
		case !strings.HasPrefix(name, registerName):
			return problem.New(problem.Invalid, "the bundle holds a file %q that has no place in it", printable(name))
		}
		if kept += n; kept > maxKept || len(into) == maxFiles || into[rest] != nil {
			return problem.New(problem.Invalid, "the bundle holds too much beside its statements, or %s twice", printable(name))
		}
		if into[rest], err = t.read(name, n, maxFile); err != nil {
			return err
		}
	}
}

// begins notes that a ledger's statements begin here, if they do. They lie
// together, in the order of the manifest.
func (b *Bundle) begins(name string, at int64, reached int) (int, error) {
	for i := max(reached, 0); i < len(b.Ledgers); i++ {
		in := &b.Ledgers[i]
		if !strings.HasPrefix(name, ledgerName+in.Channel+"."+in.Origin+"/") {
			continue
		}
		if i != reached {
			in.Pieces = b.pieces(*in, at)
		}
		return i, nil
	}
	return 0, problem.New(problem.Invalid, "the bundle holds %s out of its order, or of a ledger that it does not name", printable(name))
}

// pieces reads the statements of a ledger that begin at a place of the file.
func (b *Bundle) pieces(in Input, at int64) Pieces {
	folder := ledgerName + in.Channel + "." + in.Origin + "/"
	return func(yield func(Raw, error) bool) {
		t := newTarReader(b.src, at, b.size)
		for {
			name, n, _, err := t.next()
			if err != nil {
				yield(Raw{}, err)
				return
			}
			rest, ok := strings.CutPrefix(name, folder)
			if !ok {
				return
			}
			data, err := t.read(name, n, subject.MaxEnvelope)
			if !yield(Raw{data, rest}, err) || err != nil {
				return
			}
		}
	}
}

// parseManifest reads the bundle's first file: exactly what manifest writes.
func (b *Bundle) parseManifest(text string) error {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	bad := func(i int) error {
		return problem.New(problem.Invalid, "line %d of the bundle's first file cannot be read", i+1)
	}
	party, ok := "", false
	if len(lines) > 1 {
		party, ok = strings.CutPrefix(lines[1], "party ")
	}
	if !ok || lines[0] != bundleHead || !terms.ValidParty(party) {
		return problem.New(problem.Invalid, "not a bundle that this version reads")
	}
	b.Party = party
	for i, line := range lines[2:] {
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case word == "ledger" && len(b.Ledgers) < maxLedgers:
			in, ok := parseLedger(strings.Split(rest, " "))
			if !ok {
				return bad(i + 2)
			}
			b.Ledgers = append(b.Ledgers, in)
		case word == "hash" && len(b.Ledgers) > 0:
			h, err := b64.DecodeString(rest)
			start := b.Ledgers[len(b.Ledgers)-1].Start
			if err != nil || len(h) != 32 || len(start.Edge) == 64 {
				return bad(i + 2)
			}
			start.Edge = append(start.Edge, [32]byte(h))
		default:
			return bad(i + 2)
		}
	}
	if string(b.manifest()) != text {
		return problem.New(problem.Invalid, "the bundle's first file is not in its form")
	}
	return nil
}

// parseLedger reads "CHANNEL ORIGIN MODE ID EPOCH SIZE".
func parseLedger(words []string) (Input, bool) {
	if len(words) != 6 {
		return Input{}, false
	}
	mode, ok := terms.ParseMode(words[2])
	epoch, err1 := strconv.ParseUint(words[4], 10, 62)
	size, err2 := strconv.ParseUint(words[5], 10, 62)
	in := Input{Channel: words[0], Origin: words[1], Mode: mode, Start: &Start{Epoch: epoch, Size: size}}
	ok = ok && err1 == nil && err2 == nil && epoch > 0 && size <= ledger.MaxSize &&
		terms.ValidID(in.Channel) && terms.ValidParty(in.Origin) && parseHex(words[3], in.ID[:])
	in.Pieces = func(func(Raw, error) bool) {}
	return in, ok
}

// VerifyOptions say how to verify a bundle.
type VerifyOptions struct {
	// Roots are the verifier keys that are believed.
	Roots []string
	Skew  time.Duration
	Now   time.Time
	Tell  func(*Said) error
}

// Verify verifies a bundle with nothing but root keys. What does not verify is a
// finding; errors are those of reading it.
func (b *Bundle) Verify(ctx context.Context, o VerifyOptions) (*Report, *register.View, error) {
	view, err := register.FromFiles(b.Party, b.Register, o.Now, o.Roots...)
	if err != nil {
		return nil, nil, err
	}
	disclosed := map[string]bool{}
	report, err := Replay(ctx, Options{
		View: view, Skew: o.Skew, Now: o.Now, Tell: o.Tell, Roots: o.Roots,
		Frame: func(channel, origin string, epoch, seq uint64) ([]byte, bool) {
			name := statementName(channel, origin, epoch, seq)
			frame, ok := b.Frames[name]
			disclosed[name] = ok
			return frame, ok
		},
	}, b.Ledgers)
	if err != nil {
		return nil, nil, err
	}
	first := append(b.damaged(view), untrusted(view, b.Ledgers, o.Roots)...)
	for _, name := range sortedNames(b.Frames) {
		if !disclosed[name] {
			first = append(first, &Finding{Class: Damaged, Where: frameName + printable(name), Text: "it is the content of no statement that is here"})
		}
	}
	report.Findings = append(first, report.Findings...)
	report.Broken = report.Broken || len(first) > 0
	return report, view, nil
}

func (b *Bundle) damaged(view *register.View) (out []*Finding) {
	for _, d := range view.Damaged() {
		out = append(out, &Finding{Class: Damaged, Where: registerName + printable(d.Path), Text: d.Err.Error()})
	}
	return out
}

// untrusted wants, of every text about these ledgers, a root key that is believed
// for every party: a party's root is what that party's own key says, not what the
// others say of it.
func untrusted(view *register.View, ledgers []Input, roots []string) (out []*Finding) {
	seen := map[string]bool{}
	for _, e := range view.Agreements() {
		about := slices.ContainsFunc(ledgers, func(in Input) bool { _, ok := e.Agreement.Channel(in.Channel); return ok })
		if !about || !e.Complete {
			continue
		}
		for _, p := range e.Agreement.Parties {
			if seen[p.Code+p.Root] || view.Trusts(p.Code, p.Root, roots) {
				continue
			}
			seen[p.Code+p.Root] = true
			out = append(out, &Finding{
				Class: Untrusted, Where: e.Agreement.ID + " version " + uintText(e.Agreement.Version),
				Text: "no root key that was given vouches for " + p.Code + "; the text names " + p.Root,
			})
		}
	}
	return out
}
