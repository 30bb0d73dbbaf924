package sweep

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"karaula/internal/durable"
	"karaula/internal/problem"
)

// Report is what was found in a store.
type Report struct {
	Streams, Blocks int
	Bytes           int64 // of the blocks

	// Overwritten are messages that a tombstone notes as deleted and that were still
	// there; Unnoted are others that the server remembers as deleted.
	Overwritten, Unnoted int
	// Leftovers are files that were written to take a block's place and never did.
	Leftovers int
	// Unread are the blocks that could not be checked, or not to their end.
	Unread []Unread
}

// Unread is a block that was left as it is.
type Unread struct {
	File string
	Why  string
}

// Names in the store: a block, and what is written to take its place by erasing and
// by compacting.
var (
	blockName = regexp.MustCompile(`^([0-9]{1,10})\.blk$`)
	leftover  = regexp.MustCompile(`^[0-9]{1,10}\.(blk\.tmp|new)$`)
)

// Empty reports whether a store has no stream, but for such that are being deleted.
func Empty(dir string) (bool, error) {
	streams, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "[^.]*"))
	return len(streams) == 0, err
}

// Store sweeps the store of a nats-server, its configuration's store_dir, of which a
// part may be missing. A block that cannot be read is left as it is and stands in the
// report. An error means that something that should have been overwritten or removed
// was not.
func Store(dir string) (Report, error) {
	var r Report
	streams, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*", "msgs"))
	if err != nil {
		return r, err
	}
	for _, msgs := range streams {
		r.Streams++
		s := stream{dir: msgs, name: filepath.Base(filepath.Dir(msgs)), deleted: map[name]bool{}, report: &r}
		if err := s.sweep(); err != nil {
			return r, problem.Wrap(problem.Failed, err, "content that was erased may still be in %s, and could not be overwritten", msgs).
				WithHint("make room on the disk, or mend it and the rights of the folder; then start again")
		}
	}
	return r, nil
}

// stream is the folder of one stream's blocks.
type stream struct {
	dir, name string
	deleted   map[name]bool // by the tombstones of the blocks read so far
	memory    memory        // what the server remembers
	buf       []byte
	fresh     bool // the server's memory of the blocks was taken away
	report    *Report
}

// sweep reads the blocks from the last one to the first one, and looks at their records
// in that order: a tombstone lies behind its message, in the block that was the last one
// when it was written. A message behind it is one that was stored again.
func (s *stream) sweep() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		s.unread("", err.Error())
		return nil
	}
	var blocks []uint64
	removed := false
	for _, e := range entries {
		if e.Type().IsRegular() && leftover.MatchString(e.Name()) {
			if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil {
				return err
			}
			removed = true
			s.report.Leftovers++
		}
		if m := blockName.FindStringSubmatch(e.Name()); m != nil {
			index, _ := strconv.ParseUint(m[1], 10, 64) // ten digits
			blocks = append(blocks, index)
		}
	}
	if removed {
		if err := durable.SyncDir(s.dir); err != nil {
			return err
		}
	}
	slices.SortFunc(blocks, func(a, b uint64) int { return cmp.Compare(b, a) })
	s.memory = s.remember(blocks)
	for _, index := range blocks {
		if err := s.block(index); err != nil {
			return err
		}
	}
	return nil
}

// unread notes a file of the stream that could not be read.
func (s *stream) unread(file, why string) {
	s.report.Unread = append(s.report.Unread, Unread{filepath.Join(s.dir, file), why})
}

// block sweeps one block.
func (s *stream) block(index uint64) error {
	file := blockFile(index)
	block, info, err := s.read(file)
	if err != nil {
		s.unread(file, err.Error())
		return nil
	}
	s.report.Blocks++
	s.report.Bytes += int64(len(block))
	sum, err := blockHash(s.name, index)
	if err != nil {
		return err
	}
	var all []record
	end := records(block, sum, func(r record) { all = append(all, r) })
	if end < len(block) {
		s.unread(file, broken(block, end))
	}
	var noted, unnoted int
	for _, r := range slices.Backward(all) {
		switch {
		case r.tombstone:
			s.deleted[r.name] = true
			continue
		case r.erased:
			continue
		case s.deleted[r.name]:
			noted++
		case s.memory.gone(index, r.seq):
			unnoted++
		default:
			continue
		}
		overwrite(block, r, sum)
	}
	if noted+unnoted == 0 {
		return nil
	}
	s.report.Overwritten += noted
	s.report.Unnoted += unnoted
	if err := s.forgetState(); err != nil {
		return err
	}
	return s.replace(file, block, info)
}

func blockFile(index uint64) string { return strconv.FormatUint(index, 10) + ".blk" }
