package link

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"karaula/internal/subject"
)

// Limits on what a partner's broker may send in one piece.
const (
	maxControlLine = 4 << 10            // bytes of a control line that announces a message or an error
	maxInfoLine    = 32 << 10           // bytes of an INFO line
	maxFrame       = subject.MaxPayload // bytes of headers and payload of one message
	writeTimeout   = 10 * time.Second   // a partner that does not read is cut off
	maxAsides      = 2000               // lines within asideSpan that are no message
	asideSpan      = 10 * time.Second
)

// errProtocol says that the other side does not speak the NATS protocol as
// nats-server does. The connection is cut and dialled again with backoff.
var errProtocol = errors.New("the partner's broker broke the NATS protocol")

// guard stands between the TLS connection and the NATS client and lets only
// well-formed, bounded pieces through.
//
// It exists because the client library trusts its server, and here the server
// belongs to another state: the line "MSG a 1 9223372036854775800" makes the
// parser of nats.go 1.55 index out of range and so panics the whole process in
// a goroutine that nobody can recover (tried); a smaller number is allocated
// at once; a line that never ends grows for ever.
// The guard is stricter than the library's parser, so that the two never
// disagree about where a message ends: no control character in a line, CRLF
// after every line and payload, sizes of at most seven digits, no command that
// it does not know. Lines that are no message each cost the library an answer, a
// parse or an entry in a queue without an end; too many of them end the link.
type guard struct {
	net.Conn
	line []byte // the control line so far, without its end
	skip int    // bytes of payload still to pass
	tail int    // bytes of the CRLF after a payload still to pass

	offence func()    // called once, at the first offence; may be nil
	asides  int       // lines that were no message
	since   time.Time // from when they count
}

// Read passes bytes on, or fails at the first that breaks a rule. Bytes of
// the same read that came before the offence are dropped with it: the
// connection is finished either way.
func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if perr := g.inspect(p[:n]); perr != nil {
		call(g.offence)
		g.offence = nil
		return 0, perr
	}
	return n, err
}

// Write sends, but never waits longer than writeTimeout for a partner that
// does not read: the client holds its lock meanwhile.
func (g *guard) Write(p []byte) (int, error) {
	if err := g.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return g.Conn.Write(p)
}

// inspect follows the protocol over b.
func (g *guard) inspect(b []byte) error {
	for len(b) > 0 {
		switch {
		case g.skip > 0:
			n := min(g.skip, len(b))
			g.skip -= n
			b = b[n:]
		case g.tail > 0:
			if b[0] != "\r\n"[2-g.tail] {
				return errProtocol
			}
			g.tail--
			b = b[1:]
		default:
			i := bytes.IndexByte(b, '\n')
			if i < 0 {
				return g.grow(b)
			}
			if err := g.grow(b[:i]); err != nil {
				return err
			}
			if err := g.endLine(); err != nil {
				return err
			}
			b = b[i+1:]
		}
	}
	return nil
}

// grow adds to the control line, within its limit.
func (g *guard) grow(b []byte) error {
	limit := maxControlLine
	if len(g.line) > 0 && (g.line[0] == 'I' || g.line[0] == 'i') ||
		len(g.line) == 0 && len(b) > 0 && (b[0] == 'I' || b[0] == 'i') {
		limit = maxInfoLine
	}
	if len(g.line)+len(b) > limit {
		return errProtocol
	}
	g.line = append(g.line, b...)
	if !plausible(g.line) {
		return errProtocol
	}
	return nil
}

// commands are the words with which a server's line may begin.
var commands = []string{"MSG", "HMSG", "PING", "PONG", "+OK", "-ERR", "INFO"}

// plausible reports whether a line that begins like this may become one: the
// client gets it piece by piece, and must not be the first to stumble.
func plausible(line []byte) bool {
	word, _, whole := bytes.Cut(line[:min(len(line), 8)], []byte{' '})
	word, cr := bytes.CutSuffix(word, []byte{'\r'})
	return slices.ContainsFunc(commands, func(c string) bool {
		if whole || cr {
			return strings.EqualFold(c, string(word))
		}
		return len(word) <= len(c) && strings.EqualFold(c[:len(word)], string(word))
	})
}

// endLine judges a whole control line and learns how much payload follows.
func (g *guard) endLine() error {
	line, ok := bytes.CutSuffix(g.line, []byte{'\r'})
	if !ok {
		return errProtocol
	}
	for _, c := range line {
		if c < ' ' || c == 0x7f {
			return errProtocol
		}
	}
	g.line = g.line[:0]
	fields := bytes.Fields(line)
	if len(fields) == 0 {
		return errProtocol
	}
	switch word := string(bytes.ToUpper(fields[0])); {
	case word == "MSG" && (len(fields) == 4 || len(fields) == 5):
		return g.announce(fields, 1)
	case word == "HMSG" && (len(fields) == 5 || len(fields) == 6):
		return g.announce(fields, 2)
	case word == "MSG", word == "HMSG":
		return errProtocol
	default:
		return g.aside(time.Now())
	}
}

// announce learns how much follows a line whose last fields are sizes: of the
// headers where there are two, and of everything.
func (g *guard) announce(fields [][]byte, sizes int) error {
	if _, err := strconv.ParseInt(string(fields[2]), 10, 64); err != nil { // the subscription
		return errProtocol
	}
	size, err := parseSize(fields[len(fields)-1])
	if err != nil {
		return err
	}
	if headers, err := parseSize(fields[len(fields)-sizes]); err != nil || headers > size {
		return errProtocol
	}
	g.skip, g.tail = size, 2
	return nil
}

// aside counts a line that is all there is.
func (g *guard) aside(now time.Time) error {
	if d := now.Sub(g.since); d > asideSpan || d < 0 {
		g.asides, g.since = 0, now
	}
	if g.asides++; g.asides > maxAsides {
		return errProtocol
	}
	return nil
}

// parseSize reads a payload's size: one to seven digits, at most maxFrame.
func parseSize(b []byte) (int, error) {
	if len(b) == 0 || len(b) > 7 {
		return 0, errProtocol
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, errProtocol
		}
		n = n*10 + int(c-'0')
	}
	if n > maxFrame {
		return 0, errProtocol
	}
	return n, nil
}
