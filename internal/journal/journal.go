// Package journal is the gateway's signing journal: the file that decides
// which numbers of a ledger have been used, so that no number is ever signed
// twice, whatever the broker forgets or pretends.
//
// A gateway appends a batch of signed envelopes with [Journal.Append] before it
// publishes any of them. What was appended and not confirmed is [Journal.Pending]
// and is published again, in the same bytes, after a crash or a lost answer.
// [Journal.State] says where the ledger stands and so which number is next.
//
// After a restart compare the stream's end with the journal: equal, or the
// journal ahead by what is pending, is in order ([Journal.Confirm] what the
// stream has, publish the rest); anything else means stop and repair. An error
// of Append means that the batch may or may not be on disk: it must not be
// published, and nothing else may be signed until the journal has been opened
// again.
//
// One process at a time holds a journal, by a lock on the file with ".lock"
// added to its name. It follows docs/spec/journal.md.
//
// This package must never sign, never give a number, never change what was
// written, and never drop a record that was once on disk.
package journal

import (
	"os"
	"sync"

	"karaula/internal/ledger"
	"karaula/internal/problem"
)

const (
	// MaxRecord is the largest record, in bytes.
	MaxRecord = 64 << 20
	// rotateAt is the size from which on a file is replaced by a fresh one.
	rotateAt = 64 << 20
	// backlogMax is the size of a file beyond which nothing is appended: so much
	// grows only while the own broker confirms nothing.
	backlogMax = 6 * rotateAt
	// maxFile bounds what is read: backlogMax and one more record.
	maxFile = backlogMax + MaxRecord + headerSize
	// carryMax is how many bytes of pending envelopes may move into a fresh file.
	carryMax = 8 << 20
	// confirmEvery is after how many bytes of confirmed envelopes that is written down.
	confirmEvery = 4 << 20
)

// State is where a ledger stands.
type State struct {
	// Ledger is the ledger's id.
	Ledger ledger.ID
	// Channel is the channel's id.
	Channel string
	// Epoch is the ledger's epoch, from 1.
	Epoch uint64
	// Tree covers every signed statement of the epoch; its size is the last number.
	Tree *ledger.Tree
	// SaidAt is the time of the last signed statement, microseconds since 1970 UTC.
	SaidAt int64
	// Offset is the broker's stream sequence minus the number, as last confirmed.
	Offset int64
}

// clone gives an independent copy.
func (s State) clone() State {
	s.Tree = s.Tree.Clone()
	return s
}

// Entry is one signed statement.
type Entry struct {
	// Seq is its number in the epoch.
	Seq uint64
	// Envelope is its exact bytes; they must not be changed.
	Envelope []byte
	// Token is the last token of the subject that it is published on ("vehicle").
	Token string
	// Leaf is its leaf in the ledger's tree.
	Leaf [32]byte
}

// pending is an entry with what confirming it needs.
type pending struct {
	Entry
	saidAt int64
}

// file is what a journal needs of an [os.File].
type file interface {
	Write(b []byte) (int, error)
	Sync() error
	Truncate(size int64) error
	Close() error
}

// Journal is an open signing journal. It is safe for concurrent use.
type Journal struct {
	mu      sync.Mutex
	path    string
	lock    *os.File
	file    file
	size    int64  // bytes in file
	opened  uint64 // numbers that came before the file, and are not in it
	rotate  int64  // size from which on it is replaced
	state   State  // after the last signed statement
	base    State  // after the last confirmed statement
	pending []pending

	unwritten int   // bytes of envelopes confirmed since that was last written
	written   State // base as last written
	broken    error // why nothing can be appended any more
	copied    bool  // the file is a copy of another one
}

// State gives where the ledger stands after the last signed statement. The
// tree is a copy.
func (j *Journal) State() State {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state.clone()
}

// Confirmed gives the last number that the broker has confirmed.
func (j *Journal) Confirmed() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.base.Tree.Size()
}

// Pending gives what is signed and not confirmed, in order, in its exact bytes.
func (j *Journal) Pending() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]Entry, len(j.pending))
	for i, p := range j.pending {
		out[i] = p.Entry
	}
	return out
}

// Close writes down what was confirmed, closes the file and gives up the lock.
// Closing twice does nothing.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	var err error
	if j.broken == nil && j.confirmedSinceWritten() {
		err = j.writeConfirmed()
	}
	if e := j.file.Close(); err == nil && e != nil {
		err = problem.Wrap(problem.Failed, e, "the signing journal %s did not close", j.path)
	}
	if e := release(j.lock); err == nil && e != nil {
		err = problem.Wrap(problem.Failed, e, "the lock of the signing journal %s was not given up", j.path)
	}
	j.file = nil
	j.broken = problem.New(problem.Failed, "the signing journal %s is closed", j.path)
	return err
}

// poison stops the journal for good: after a failed write or sync nobody knows
// what is on disk, until it is opened and read again.
func (j *Journal) poison(cause error, what string) error {
	j.broken = problem.Wrap(problem.Failed, cause,
		"the signing journal %s could not be %s; nothing more is signed", j.path, what).
		WithHint("look at disk space and disk errors, then start the gateway again")
	return j.broken
}
