package node

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"karaula/internal/problem"
	"karaula/internal/subject"
)

func TestLayout(t *testing.T) {
	t.Parallel()
	l := Layout{Dir: "/srv/karaula/al/"}
	got := []string{
		l.Config(), l.Card("al"), l.Register(), l.GatewayKeys(), l.Journal(subject.Actual("b01-al-me")), l.BrokerKeys(), l.NATSConf(),
		l.Partners(), l.TLSCert(), l.TLSKey(), l.Store(), l.Socket(), l.RootKey(), l.NextRootKey(),
	}
	want := []string{
		"/srv/karaula/al/node.yaml", "/srv/karaula/al/al.card", "/srv/karaula/al/register", "/srv/karaula/al/gateway/keys",
		"/srv/karaula/al/gateway/journal/b01-al-me.journal",
		"/srv/karaula/al/broker/keys", "/srv/karaula/al/broker/nats.conf",
		"/srv/karaula/al/broker/partners.pem", "/srv/karaula/al/broker/tls.crt", "/srv/karaula/al/broker/tls.key",
		"/srv/karaula/al/broker/jetstream", "/srv/karaula/al/api.sock", "/srv/karaula/al.root", "/srv/karaula/al.root.next",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if got := (Layout{Dir: "."}).RootKey(); got != wd+".root" {
		t.Errorf("root key of the working folder: %s", got)
	}
}

func TestInside(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	l := Layout{Dir: filepath.Join(top, "al")}
	if err := l.Make(); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(top, "link")
	if err := os.Symlink(l.Dir, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		l.RootKey():                            false,
		filepath.Join(top, "al2", "root"):      false,
		filepath.Join(top, "root"):             false,
		l.Dir:                                  true,
		filepath.Join(l.Dir, "root"):           true,
		filepath.Join(l.Dir, "x", "y", "root"): true,
		filepath.Join(link, "root"):            true,
		filepath.Join(l.Dir, "..", "al", "r"):  true,
		filepath.Join(l.Dir, "..", "r"):        false,
	} {
		if got := l.Inside(path); got != want {
			t.Errorf("Inside(%s) = %v", path, got)
		}
	}
}

func TestMake(t *testing.T) {
	t.Parallel()
	l := Layout{Dir: filepath.Join(t.TempDir(), "al")}
	for range 2 {
		if err := l.Make(); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{l.Dir, l.Register(), l.Journals(), l.Store()} {
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", dir, info, err)
		}
	}
}

// socketPath gives a path of at least so many bytes for a socket.
func socketPath(t *testing.T, length int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "k") //nolint:usetesting // t.TempDir is long itself
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for len(dir)+len("/api.sock") < length {
		dir = filepath.Join(dir, strings.Repeat("d", min(50, length-len(dir)-len("/api.sock"))))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "api.sock")
}

func TestSocket(t *testing.T) {
	t.Parallel()
	for _, length := range []int{0, 107, 108, 109, 400} {
		path := socketPath(t, length)
		l, err := ListenSocket(path)
		if err != nil {
			t.Fatalf("%d bytes: %v", len(path), err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode().Perm() != 0o600 || info.Mode()&fs.ModeSocket == 0 {
			t.Errorf("%d bytes: %v, %v", len(path), info, err)
		}
		answered := make(chan int, 1)
		go func() {
			defer close(answered)
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			uid, err := PeerUID(c)
			if err != nil {
				return
			}
			answered <- uid
			_, _ = io.WriteString(c, "hello")
		}()
		c, err := DialSocket(context.Background(), path)
		if err != nil {
			t.Fatalf("%d bytes: %v", len(path), err)
		}
		hello, err := io.ReadAll(c)
		if err != nil || string(hello) != "hello" {
			t.Errorf("%d bytes: %q, %v", len(path), hello, err)
		}
		if uid, ok := <-answered; !ok || uid != os.Getuid() {
			t.Errorf("peer's user %d, want %d", uid, os.Getuid())
		}
		if err := errors.Join(c.Close(), l.Close()); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%d bytes: the socket is left: %v", len(path), err)
		}
	}
}

func TestSocketMode(t *testing.T) {
	t.Parallel()
	path := socketPath(t, 0)
	l, err := ListenSocketMode(path, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestSocketInUse(t *testing.T) {
	t.Parallel()
	path := socketPath(t, 150)
	l, err := ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ListenSocket(path); !problem.Is(err, problem.Conflict) {
		t.Errorf("a second node: %v", err)
	}
	// A killed node leaves its socket behind.
	s, ok := l.(*socket)
	if !ok {
		t.Fatalf("listener is a %T", l)
	}
	if err := s.UnixListener.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("the stale socket is not there: %v", err)
	}
	if _, err := DialSocket(context.Background(), path); !problem.Is(err, problem.Unreachable) {
		t.Errorf("dialling a stale socket: %v", err)
	}
	again, err := ListenSocket(path)
	if err != nil {
		t.Fatalf("a stale socket is in the way: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenSocket(path); !problem.Is(err, problem.Conflict) {
		t.Errorf("a file in the way: %v", err)
	}
	if body, err := os.ReadFile(path); err != nil || string(body) != "mine" {
		t.Errorf("the file was touched: %q, %v", body, err)
	}
}

func TestDialNobody(t *testing.T) {
	t.Parallel()
	for _, length := range []int{0, 150} {
		path := socketPath(t, length)
		_, err := DialSocket(context.Background(), path)
		if !problem.Is(err, problem.Unreachable) || !strings.Contains(problem.HintOf(err), "karaula run") {
			t.Errorf("%d bytes: %v", len(path), err)
		}
	}
	long := filepath.Join(socketPath(t, 150), "..", "none", "api.sock")
	if _, err := DialSocket(context.Background(), long); !problem.Is(err, problem.Unreachable) {
		t.Errorf("no folder: %v", err)
	}
}

func TestPeerUIDNeedsAUnixSocket(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if uid, err := PeerUID(a); err == nil {
		t.Errorf("user %d at a pipe", uid)
	}
}
