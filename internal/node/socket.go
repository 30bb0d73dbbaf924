package node

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"karaula/internal/problem"
)

// maxSocketPath is what the kernel takes as a Unix socket's name, in bytes.
const maxSocketPath = len(unix.RawSockaddrUnix{}.Path) - 1

// ListenSocket listens on a Unix socket that only the own user reaches; see
// [ListenSocketMode].
func ListenSocket(path string) (net.Listener, error) { return ListenSocketMode(path, 0o600) }

// ListenSocketMode listens on a Unix socket whose file has this mode from the
// beginning. Paths longer than the kernel takes are reached over their folder.
// A socket that nobody answers is replaced; one that is answered is a Conflict:
// a node runs there already. Close removes the file.
func ListenSocketMode(path string, mode fs.FileMode) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&fs.ModeSocket == 0 {
			return nil, problem.New(problem.Conflict, "%s exists and is no socket", path)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if c, err := DialSocket(ctx, path); err == nil {
			_ = c.Close()
			return nil, problem.New(problem.Conflict, "a node runs already and answers on %s", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, problem.Wrap(problem.Failed, err, "the stale socket cannot be removed")
		}
	}
	name, done, err := shortName(path)
	if err != nil {
		return nil, err
	}
	defer done()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var modeErr error
		// The mode that a socket has before bind is the mode of its file.
		err := c.Control(func(fd uintptr) { modeErr = unix.Fchmod(int(fd), uint32(mode.Perm())) })
		return errors.Join(err, modeErr)
	}}
	l, err := lc.Listen(context.Background(), "unix", name)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the node's socket cannot be opened")
	}
	unixListener, ok := l.(*net.UnixListener)
	if !ok {
		return nil, problem.New(problem.Failed, "the node's socket cannot be opened")
	}
	unixListener.SetUnlinkOnClose(false) // it would remove the short name, which is gone by then
	// The umask may have narrowed the mode; widening it afterwards is harmless.
	if err := os.Chmod(path, mode.Perm()); err != nil {
		_ = l.Close()
		return nil, problem.Wrap(problem.Failed, err, "the node's socket cannot be opened")
	}
	return &socket{UnixListener: unixListener, path: path}, nil
}

// socket removes its file when it is closed.
type socket struct {
	*net.UnixListener
	path string
}

// Close stops listening and removes the file.
func (s *socket) Close() error {
	err := s.UnixListener.Close()
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	return errors.Join(err, os.Remove(s.path))
}

// DialSocket connects to a node's Unix socket. A socket that is not there or
// that nobody answers is a problem of kind Unreachable.
func DialSocket(ctx context.Context, path string) (net.Conn, error) {
	name, done, err := shortName(path)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", name)
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, problem.New(problem.Locked, "this user may not reach the node's socket %s", path).
			WithHint("see socket-mode and officers in node.yaml")
	default:
		return nil, problem.New(problem.Unreachable, "no node answers on %s", path).
			WithHint("karaula run --dir %s", filepath.Dir(path))
	}
}

// shortName gives a name of the socket that the kernel takes: path itself, or
// its last element under the open folder. Done releases the folder.
func shortName(path string) (name string, done func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.OpenFile(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", nil, problem.Wrap(problem.Unreachable, err, "no node at %s", filepath.Dir(path))
	}
	name = "/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + filepath.Base(path)
	if len(name) > maxSocketPath {
		_ = dir.Close()
		return "", nil, problem.New(problem.Invalid, "the socket's name %s is too long", filepath.Base(path))
	}
	return name, func() { _ = dir.Close() }, nil
}

// PeerUID gives the operating-system user at the other end of a connection that
// a socket of [ListenSocket] accepted, as the kernel vouches for it.
func PeerUID(conn net.Conn) (int, error) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return -1, problem.New(problem.Failed, "the connection is not one of the node's socket")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, problem.Wrap(problem.Failed, err, "the peer's user is not known")
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return -1, problem.Wrap(problem.Failed, err, "the peer's user is not known")
	}
	if credErr != nil {
		return -1, problem.Wrap(problem.Failed, credErr, "the peer's user is not known")
	}
	return int(cred.Uid), nil
}
