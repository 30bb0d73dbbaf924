package stock

import (
	"slices"
	"sync"

	"karaula/internal/problem"
)

// Stored remembers which messages of a stream a gateway has put there, and which
// of them it has taken out again: eight bytes for each. Nil remembers nothing.
// Safe for concurrent use.
type Stored struct {
	mu     sync.Mutex
	at     []uint64 // sequences, ascending
	taken  []uint64 // those of them that are taken out, or are being, ascending
	under  map[uint64]bool
	coming int // appends that are on their way
}

// NewStored makes the memory of a stream in which nothing is known yet.
func NewStored() *Stored { return &Stored{under: map[uint64]bool{}} }

// Put notes a message; sequence 0 is none.
func (s *Stored) Put(seq uint64) {
	if s == nil || seq == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = insert(s.at, seq)
}

// Coming says that messages may be stored that are not noted yet; the returned
// function that they are.
func (s *Stored) Coming() (noted func()) {
	if s == nil {
		return func() {}
	}
	s.add(1)
	return sync.OnceFunc(func() { s.add(-1) })
}

func (s *Stored) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.coming += n
}

// Take has a message taken out. What remove leaves alone (an error of kind
// Verification) is as before; what it may have done or not stays open until it is
// taken out at another try.
func (s *Stored) Take(seq uint64, remove func() error) error {
	if s == nil {
		return remove()
	}
	s.mu.Lock()
	_, ours := slices.BinarySearch(s.at, seq)
	if ours {
		s.taken = insert(s.taken, seq)
		s.under[seq] = true
	}
	s.mu.Unlock()
	err := remove()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !ours:
	case err == nil:
		delete(s.under, seq)
	case problem.Is(err, problem.Verification):
		delete(s.under, seq)
		s.taken = slices.DeleteFunc(s.taken, func(at uint64) bool { return at == seq })
	}
	return err
}

// counts is how much is known at one moment.
type counts struct {
	last   uint64 // the highest sequence
	taken  uint64 // taken out, or being
	steady bool   // nothing is being taken out
	whole  bool   // nothing is on its way
}

func (s *Stored) counts() counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := counts{taken: uint64(len(s.taken)), steady: len(s.under) == 0, whole: s.coming == 0}
	if n := len(s.at); n > 0 {
		c.last = s.at[n-1]
	}
	return c
}

// upTo counts those up to a sequence, taken out or not.
func (s *Stored) upTo(seq uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return to(s.at, seq)
}

// lose forgets those that the stream does not have, and gives how many of them
// nobody here has taken out. absent are the sequences without a message from
// first on, ascending. It also gives how many holes are of this gateway's making.
func (s *Stored) lose(first uint64, absent []uint64) (gone, own uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	missing := func(seq uint64) bool {
		_, there := slices.BinarySearch(absent, seq)
		return there || seq < first
	}
	s.at = slices.DeleteFunc(s.at, func(seq uint64) bool {
		if !missing(seq) {
			return false
		}
		if _, ours := slices.BinarySearch(s.taken, seq); ours {
			own++
			return false
		}
		gone++
		return true
	})
	return gone, own
}

// forget begins anew: the stream is another one.
func (s *Stored) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.taken = nil, nil
	clear(s.under)
}

// to counts those of a sorted list up to a sequence.
func to(list []uint64, seq uint64) uint64 {
	n, found := slices.BinarySearch(list, seq)
	if found {
		n++
	}
	return uint64(n) //nolint:gosec // a length
}

// insert adds to a sorted list what is not in it, mostly at its end.
func insert(list []uint64, seq uint64) []uint64 {
	if n := len(list); n == 0 || list[n-1] < seq {
		return append(list, seq)
	}
	i, found := slices.BinarySearch(list, seq)
	if found {
		return list
	}
	return slices.Insert(list, i, seq)
}
