package link

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// feed gives s to a fresh guard in pieces of n bytes.
func feed(s string, n int) error {
	g := new(guard)
	for b := []byte(s); len(b) > 0; {
		k := min(n, len(b))
		if err := g.inspect(b[:k]); err != nil {
			return err
		}
		b = b[k:]
	}
	return nil
}

func TestGuardPassesWhatNatsServerSends(t *testing.T) {
	t.Parallel()
	all := "INFO {\"server_id\":\"x\",\"nonce\":\"y\"} \r\nPING\r\nPONG\r\n+OK\r\n" +
		"-ERR 'Permissions Violation for Publish to \"x\"'\r\n" +
		"MSG a.b 1 5\r\nhello\r\nMSG a.b 1 $JS.ACK.al.h.OUT_c.me.1.1.1.1.0 0\r\n\r\n" +
		"HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\nMSG a 1 9\r\nMSG 9 9 9\r\nPING\r\n" +
		"MSG a 1 1048576\r\n" + strings.Repeat("x", 1<<20) + "\r\n"
	for _, n := range []int{1, 2, 3, 7, 64, 1 << 30} {
		if err := feed(all, n); err != nil {
			t.Errorf("in pieces of %d: %v", n, err)
		}
	}
}

func TestGuardStopsWhatWouldHurtTheClient(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]string{
		"a size that panics make":      "MSG a 1 9223372036854775800\r\n",
		"a size that overflows":        "MSG a 1 18446744073709551617\r\n",
		"a message above the limit":    "MSG a 1 1056769\r\n",
		"one with headers":             "HMSG a 1 12 9999999\r\n",
		"a negative size":              "MSG a 1 -1\r\n",
		"no size":                      "MSG a 1 \r\n",
		"lower case":                   "msg a 1 9223372036854775800\r\n",
		"tab between the fields":       "MSG\ta\t1\t5\r\nhello\r\n",
		"CR inside a line":             "MSG a 1 5\r6\r\n",
		"line without CR":              "PING\n",
		"payload without CRLF":         "MSG a 1 5\r\nhello\nMSG a 1 9223372036854775800\r\n",
		"payload longer than it says":  "MSG a 1 5\r\nhelloo\r\n",
		"an empty line":                "\r\n",
		"a line that never ends":       "MSG " + strings.Repeat("a", maxControlLine+1),
		"an INFO that never ends":      "INFO " + strings.Repeat("a", maxInfoLine+1),
		"too many fields":              "MSG a 1 r 5 5\r\n",
		"more headers than bytes":      "HMSG a 1 99 5\r\nhello\r\n",
		"headers of no size":           "HMSG a 1 x 5\r\nhello\r\n",
		"a command that nobody knows":  "HELO karaula\r\n",
		"the beginning of no command":  "xxxx",
		"no subscription":              "MSG a b 5\r\nhello\r\n",
		"pings for ever":               strings.Repeat("PING\r\n", maxAsides+1),
		"a NUL":                        "PING\x00\r\n",
		"escape sequence for logs":     "-ERR '\x1b[2J'\r\n",
		"an error text that is a book": "-ERR '" + strings.Repeat("a", maxControlLine) + "'\r\n",
	} {
		for _, n := range []int{1, 5, 1 << 30} {
			if err := feed(s, n); !errors.Is(err, errProtocol) {
				t.Errorf("%s, in pieces of %d: %v", name, n, err)
			}
		}
	}
}

func TestGuardFailsTheReadWithoutHandingOnTheOffence(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	go func() { _, _ = there.Write([]byte("PING\r\nMSG a 1 99999999\r\n")) }()
	defer func() { _, _ = here.Close(), there.Close() }()
	n, err := (&guard{Conn: here}).Read(make([]byte, 100))
	if n != 0 || !errors.Is(err, errProtocol) {
		t.Errorf("Read = %d, %v", n, err)
	}
	if errors.Is(err, io.EOF) {
		t.Error("a broken protocol must not look like an end")
	}
}

// FuzzGuard checks that the guard judges a stream the same however it is cut,
// and that what it lets through is bounded as it promises.
func FuzzGuard(f *testing.F) {
	f.Add([]byte("MSG a 1 5\r\nhello\r\nPING\r\n"), 3)
	f.Add([]byte("HMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"), 1)
	f.Add([]byte("MSG a 1 5\r6\r\n"), 2)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if len(b) > 1<<16 || n < 1 {
			return
		}
		whole, pieces := feed(string(b), len(b)+1), feed(string(b), n)
		if (whole == nil) != (pieces == nil) {
			t.Fatalf("whole: %v, in pieces of %d: %v", whole, n, pieces)
		}
		if whole != nil {
			return
		}
		for line := range bytes.Lines(b) {
			if len(line) > maxFrame+2 {
				t.Fatal("a line longer than any limit came through")
			}
		}
	})
}
