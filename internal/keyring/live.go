package keyring

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"karaula/internal/problem"
)

// Live is the gateway's keys as a running node holds them: when the key file is
// replaced, they are read again. It is safe for concurrent use.
type Live struct{ live[Gateway] }

// LiveBroker is the broker's keys, likewise.
type LiveBroker struct{ live[Broker] }

// live is a key file as a running node holds it.
type live[K any] struct {
	path  string
	pass  Passphrase
	open  func(path string, pass Passphrase) (*K, error)
	party func(*K) string
	keys  atomic.Pointer[K]

	mu         sync.Mutex // one reader of the file
	seen       fileMark
	word       []byte // the passphrase, for when its file is gone
	failed     error
	asked      string    // what Trouble said last
	again      time.Time // when to try a file again that could not be opened
	generation atomic.Uint64
}

// openPause is the time between two tries to open a file that does not open.
const openPause = 10 * time.Second

// fileMark tells two states of the key file apart: it is always replaced whole.
type fileMark struct {
	inode    uint64
	modified time.Time
	size     int64
}

// Fixed gives keys that no file stands behind: they never change.
func Fixed(g *Gateway) *Live {
	l := &Live{}
	l.keys.Store(g)
	l.generation.Store(1)
	return l
}

// OpenLive opens the gateway's key file, like [LoadGateway], and remembers how
// to open it again.
func OpenLive(path string, pass Passphrase) (*Live, error) {
	l := &Live{live[Gateway]{path: path, open: LoadGateway, party: func(g *Gateway) string { return g.Party }}}
	return l, l.begin("gateway", pass)
}

// OpenLiveBroker opens the broker's key file, like [LoadBroker], and remembers how
// to open it again.
func OpenLiveBroker(path string, pass Passphrase) (*LiveBroker, error) {
	l := &LiveBroker{live[Broker]{path: path, open: LoadBroker, party: func(b *Broker) string { return b.Party }}}
	return l, l.begin("broker", pass)
}

// begin reads the file for the first time, and keeps the passphrase for the next.
func (l *live[K]) begin(what string, pass Passphrase) error {
	if pass != nil {
		l.pass = func() ([]byte, error) {
			word, err := pass()
			if err != nil && l.word != nil {
				return l.word, nil
			}
			if err == nil {
				l.word = word
			}
			return word, err
		}
	}
	mark, err := l.mark()
	if err != nil {
		return problem.New(problem.Locked, "no %s keys at %s", what, l.path).
			WithHint("name the folder of a node, or bring the medium that holds the keys")
	}
	keys, err := l.open(l.path, l.pass)
	if err != nil {
		return err
	}
	l.seen = mark
	l.keys.Store(keys)
	l.generation.Store(1)
	return nil
}

// Keys gives the keys as last read. They must not be changed.
func (l *live[K]) Keys() *K { return l.keys.Load() }

// Generation grows whenever other keys were read.
func (l *live[K]) Generation() uint64 { return l.generation.Load() }

// Refresh reads the key file again if it was replaced, and reports whether other
// keys are here now. If it cannot be opened the keys stay, and [Live.Err] says why.
func (l *live[K]) Refresh() bool {
	if l.path == "" {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	mark, err := l.mark()
	if err != nil || mark == l.seen || time.Now().Before(l.again) {
		return false
	}
	keys, err := l.open(l.path, l.pass)
	if err == nil && l.party(keys) != l.party(l.Keys()) {
		err = problem.New(problem.Locked, "%s holds the keys of %s", l.path, l.party(keys))
	}
	if l.failed = err; err != nil {
		l.again = time.Now().Add(openPause) // a passphrase costs a second of a processor each time
		return false
	}
	l.seen = mark
	l.keys.Store(keys)
	l.generation.Add(1)
	return true
}

// Err says why the key file could not be read when it last changed; nil if it
// could.
func (l *live[K]) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// Trouble gives what [live.Err] says, empty for nothing, and whether it is something else
// than when it was last asked: so it is logged once.
func (l *live[K]) Trouble() (why string, news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		why = l.failed.Error()
	}
	news, l.asked = why != l.asked, why
	return why, news
}

// Forget destroys keys in the file and in memory, never the newest of a use, and
// gives those that are gone.
func (l *Live) Forget(ids ...[16]byte) ([]Held, error) {
	if l.path == "" {
		return nil, problem.New(problem.Failed, "these keys have no file; nothing was destroyed")
	}
	unlock, err := Exclusive(l.path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	g, err := LoadGateway(l.path, l.pass)
	if err != nil {
		return nil, err
	}
	gone := g.Forget(ids...)
	if len(gone) == 0 {
		return nil, nil
	}
	if err := g.Replace(l.path, l.pass); err != nil {
		return nil, err
	}
	l.Refresh()
	return gone, nil
}

func (l *live[K]) mark() (fileMark, error) {
	var st unix.Stat_t
	if err := unix.Stat(l.path, &st); err != nil {
		return fileMark{}, err
	}
	return fileMark{st.Ino, time.Unix(st.Mtim.Unix()), st.Size}, nil
}

// Exclusive keeps other processes from changing a key file until the returned
// function is called. It waits for them.
func Exclusive(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the keys cannot be locked; nothing was changed")
	}
	for {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(problem.Wrap(problem.Failed, err, "the keys cannot be locked; nothing was changed"), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing unlocks
}
