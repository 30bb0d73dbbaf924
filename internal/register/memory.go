package register

import (
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"karaula/internal/problem"
	"karaula/internal/terms"
)

// FromFiles gives the view of a register that was handed over as files, by their
// paths below its folder, with slashes: for whoever verifies what a node has
// exported. As on disk, what does not verify is left out and listed by
// [View.Damaged]. Self is whose register it was; nothing of it is believed by
// that alone, see [View.Trusts]. Roots are verifier keys that the reader believes:
// a root change to one of them has effect, as if a person had accepted it, and what
// the exporter has accepted has none.
func FromFiles(self string, files map[string][]byte, at time.Time, roots ...string) (*View, error) {
	if !terms.ValidParty(self) {
		return nil, problem.New(problem.Invalid, "%q is not a party code", self)
	}
	r := &Register{self: self, memory: files, believed: roots}
	s, err := r.load(0)
	if err != nil {
		return nil, err
	}
	return &View{s: s, at: at}, nil
}

// Files gives the register's files by their paths, as [FromFiles] takes them:
// cards, agreements that bind somebody, and notices. Proposals are left out.
func (v *View) Files() map[string][]byte {
	out := map[string][]byte{}
	for _, list := range v.s.cards {
		for _, c := range list {
			out[cardPath(c)] = c.Signed
		}
	}
	for _, list := range v.s.texts {
		for _, t := range list {
			if t.complete {
				out[t.path] = t.File
			}
		}
	}
	for _, list := range v.s.notices {
		for _, n := range list {
			out[noticePath(n)] = n.Signed
		}
	}
	if v.s.ownRoot != "" {
		out[ownRootFile] = []byte(v.s.ownRoot + "\n")
	}
	return out
}

// Trusts reports whether one of these root keys vouches for a party of a text:
// the one that the text names, or one that it was changed into by notices that
// the old and the new root have signed.
func (v *View) Trusts(party, root string, keys []string) bool {
	for {
		if slices.Contains(keys, root) {
			return true
		}
		n := v.s.changes[rootOf{party, root}]
		if n == nil || !n.RootSaid {
			return false
		}
		root = n.Next
	}
}

// walkMemory is walk for files in memory.
func (s *state) walkMemory(files map[string][]byte, sub string, limit int64, read func(string, []byte) error) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasPrefix(name, sub+"/") || strings.HasPrefix(path.Base(name), ".") {
			continue
		}
		var err error
		if int64(len(files[name])) > limit {
			err = problem.New(problem.Invalid, "the file is larger than %d bytes", limit)
		} else {
			err = read(name, files[name])
		}
		if err != nil {
			s.damaged = append(s.damaged, Damage{name, err})
		}
	}
}
