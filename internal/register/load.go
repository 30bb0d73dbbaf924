package register

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/signedtext"
)

// state is everything that the folder holds, verified. It is never changed
// after it was made.
type state struct {
	self       string
	dir        string // of the register; empty if it is in memory
	generation uint64
	cards      map[string][]*card.Card // by party, ascending serial
	texts      map[string][]*text      // by agreement id, ascending version
	notices    map[string][]*notice.Notice
	tombstones map[string]tombstone
	conflicts  []string
	damaged    []Damage
	index      index

	claims   map[string][]*notice.Notice // root changes that verify by themselves, by party, ascending serial
	changes  map[rootOf]*notice.Notice   // those that have effect, by the root that they replace
	believed []string                    // roots that the reader of somebody's files believes; see [FromFiles]
	ownRoot  string                      // the own root that a person has taken in; see [Register.TakeOwnRoot]
	thrown   []thrown                    // files that a root change disowns

	known, parsed map[[32]byte]any // while loading: of the last time, of this time
}

// Damage is a file of the register that was left out because it does not verify.
type Damage struct {
	// Path is relative to the register folder.
	Path string
	// Err says what is wrong with it.
	Err error
}

// text is one agreement text with its signatures, and where it stands among
// the versions of its id.
type text struct {
	*agreement.Signed
	former   []agreement.Party // parties of the version before that are none of this one
	missing  []string          // parties, also former ones, that have not signed
	whole    bool              // nobody is missing, whatever became of the roots that signed
	complete bool              // whole, and no root that signed disowns it
	before   bool              // the version before is here
	path     string
}

// binding reports whether self or everybody has signed, so that another text
// in its place would be a contradiction.
func (t *text) binding(self string) bool { return t.complete || slices.Contains(t.SignedBy, self) }

// tombstone reserves an id for ever.
type tombstone struct {
	first    [32]byte // digest of the agreement's version 1
	channels []string
}

// load reads and verifies the folder.
func (r *Register) load(generation uint64) (*state, error) {
	s := &state{
		self: r.self, dir: r.dir, generation: generation, cards: map[string][]*card.Card{}, texts: map[string][]*text{},
		notices: map[string][]*notice.Notice{}, tombstones: map[string]tombstone{},
		claims: map[string][]*notice.Notice{}, changes: map[rootOf]*notice.Notice{}, believed: r.believed,
	}
	s.known, s.parsed = r.parsed, map[[32]byte]any{}
	steps := []func(*Register) error{s.loadOwnRoot, s.loadCards, s.loadTexts, s.loadNotices, s.loadTombstones, s.loadConflicts}
	for _, step := range steps {
		if err := step(r); err != nil {
			return nil, err
		}
	}
	r.parsed, s.known, s.parsed = s.parsed, nil, nil
	s.makeIndex()
	return s, nil
}

// walk hands every file below a folder to read, in the order of names; a file
// for which read fails is damaged.
func (s *state) walk(r *Register, sub string, limit int64, read func(path string, body []byte) error) error {
	if r.memory != nil {
		s.walkMemory(r.memory, sub, limit, read)
		return nil
	}
	root := filepath.Join(r.dir, sub)
	return filepath.WalkDir(root, func(full string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile: the generation tells
		}
		if err != nil {
			return problem.Wrap(problem.Failed, err, "the register can't be read")
		}
		if d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		path := strings.TrimPrefix(strings.TrimPrefix(full, r.dir), string(filepath.Separator))
		body, err := readLimited(full, limit)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			err = read(path, body)
		}
		if err != nil {
			s.damaged = append(s.damaged, Damage{path, err})
		}
		return nil
	})
}

// readLimited reads a file of at most limit bytes.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = problem.New(problem.Invalid, "the file is larger than %d bytes", limit)
	}
	return body, err
}

// misplaced is what is said of a file under another name than its own.
func misplaced(want string) error {
	return problem.New(problem.Verification, "the file should be %s", want)
}

// loadOwnRoot reads which root a person has put in the place of the node's own.
func (s *state) loadOwnRoot(r *Register) error {
	body, err := r.memory[ownRootFile], error(nil)
	switch {
	case r.memory == nil:
		body, err = os.ReadFile(filepath.Join(r.dir, ownRootFile))
	case len(r.believed) > 0:
		return nil // the reader has its own belief
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && body == nil:
		return nil
	case err != nil:
		return problem.Wrap(problem.Failed, err, "the register can't be read")
	}
	vkey := strings.TrimSuffix(string(body), "\n")
	if name, _, err := signedtext.ParseVKey(vkey); err != nil || name != s.self {
		s.damaged = append(s.damaged, Damage{ownRootFile, problem.New(problem.Invalid, "not a verifier key of %s", s.self)})
		return nil
	}
	s.ownRoot = vkey
	return nil
}

func (s *state) loadCards(r *Register) error {
	err := s.walk(r, partiesDir, card.MaxFile, func(path string, body []byte) error {
		c, err := parse(s, body, card.Open)
		if err != nil {
			return err
		}
		if want := cardPath(c); want != path {
			return misplaced(want)
		}
		s.cards[c.Party] = append(s.cards[c.Party], c)
		return nil
	})
	for _, list := range s.cards {
		slices.SortFunc(list, func(a, b *card.Card) int { return compare(a.Serial, b.Serial) })
	}
	return err
}

func cardPath(c *card.Card) string {
	return filepath.Join(partiesDir, c.Party, fmt.Sprintf("%d.card", c.Serial))
}

func textPath(a *agreement.Agreement) string {
	return filepath.Join(agreementsDir, a.ID, fmt.Sprintf("%d-%s.agreement", a.Version, short(a.Digest)))
}

func noticePath(n *notice.Notice) string {
	if n.Act == notice.RootChange { // a thief of the replaced root may have taken the serial
		return filepath.Join(noticesDir, n.Party, "root-"+short(n.TextID)+".notice")
	}
	return filepath.Join(noticesDir, n.Party, fmt.Sprintf("%d.notice", n.Serial))
}

// short gives the part of a digest that stands in file names.
func short(d [32]byte) string { return hex.EncodeToString(d[:8]) }

func (s *state) loadTexts(r *Register) error {
	type file struct {
		path string
		body []byte
		a    *agreement.Agreement
	}
	var files []file
	err := s.walk(r, agreementsDir, agreement.MaxFile, func(path string, body []byte) error {
		signed, err := parse(s, body, openSigned)
		if err != nil {
			return err
		}
		if want := textPath(signed.Agreement); want != path {
			return misplaced(want)
		}
		files = append(files, file{path, body, signed.Agreement})
		return nil
	})
	slices.SortFunc(files, func(a, b file) int { return compare(a.a.Version, b.a.Version) })
	for _, f := range files {
		t, err := s.openText(f.body)
		if err != nil {
			s.damaged = append(s.damaged, Damage{f.path, err})
			continue
		}
		s.texts[f.a.ID] = append(s.texts[f.a.ID], t)
	}
	return err
}

// openText opens an agreement file with the parties of the version before, if
// that is here.
func (s *state) openText(file []byte) (*text, error) {
	signed, err := parse(s, file, openSigned)
	if err != nil {
		return nil, err
	}
	a := signed.Agreement
	t := &text{path: textPath(a)}
	if before := s.text(a.ID, a.Supersedes); before != nil {
		t.before = true
		for _, p := range before.Agreement.Parties {
			if _, ok := a.Party(p.Code); !ok {
				t.former = append(t.former, p)
			}
		}
		if signed, err = agreement.Open(file, t.former...); err != nil {
			return nil, err
		}
	}
	t.Signed = signed
	s.settle(t)
	return t, t.keepUnknown(file)
}

// settle finds out who must still sign a text: its parties, and those of the
// version before that it leaves out, unless they have withdrawn from that.
// A signature by a root that was replaced since counts if the change names the
// text. It reports whether anything has changed.
func (s *state) settle(t *text) bool {
	was := t.complete
	t.missing = t.Missing()
	gone := map[string]time.Time{}
	if before := s.text(t.Agreement.ID, t.Agreement.Supersedes); before != nil {
		gone = s.withdrawals(before.Agreement)
	}
	for _, p := range t.former {
		at, out := gone[p.Code]
		if !slices.Contains(t.SignedBy, p.Code) && (!out || at.After(t.Agreement.ValidFrom)) {
			t.missing = append(t.missing, p.Code)
		}
	}
	t.whole = len(t.missing) == 0
	for _, p := range append(slices.Clone(t.Agreement.Parties), t.former...) {
		if !slices.Contains(t.missing, p.Code) && s.disowned(p.Code, p.Root, notice.StandsAgreement, t.Agreement.Digest) {
			t.missing = append(t.missing, p.Code)
		}
	}
	t.complete = len(t.missing) == 0
	return t.complete != was
}

// text finds a text of an id by its digest.
func (s *state) text(id string, digest [32]byte) *text {
	for _, t := range s.texts[id] {
		if t.Agreement.Digest == digest {
			return t
		}
	}
	return nil
}

func (s *state) loadTombstones(r *Register) error {
	return s.walk(r, tombstonesDir, 1<<16, func(path string, body []byte) error {
		var stone tombstone
		for line := range strings.Lines(string(body)) {
			word, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			switch word {
			case "first":
				d, ok := signedtext.ParseDigest(value)
				if !ok {
					return problem.New(problem.Invalid, "the tombstone has no digest")
				}
				stone.first = d
			case "channel":
				stone.channels = append(stone.channels, value)
			}
		}
		s.tombstones[filepath.Base(path)] = stone
		return nil
	})
}

func (s *state) loadConflicts(r *Register) error {
	if r.memory != nil {
		return nil
	}
	list, err := os.ReadDir(filepath.Join(r.dir, conflictsDir)) // names are enough: partners decide how much it is
	for _, d := range list {
		if !d.IsDir() && !strings.HasPrefix(d.Name(), ".") {
			s.conflicts = append(s.conflicts, filepath.Join(conflictsDir, d.Name()))
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return problem.Wrap(problem.Failed, err, "the register can't be read")
	}
	return nil
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}
