package prove

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// patience is how long an answer may take on a machine that is busy.
const patience = 30 * time.Second

// client speaks NATS without a library in between: it says what it is told to,
// and remembers every refusal and every answer.
type client struct {
	actor *actor
	conn  net.Conn
	in    *bufio.Reader
	w     *bufio.Writer

	mu      sync.Mutex
	changed *sync.Cond
	refused map[string]bool     // "PUB subject" and "SUB subject" that were refused
	got     map[string][]answer // what came, by the subject that the server put on it or by inbox
	pongs   int
	sid     int
	closed  error
	hash    string // what the server puts for the account into subjects of acks
	echo    bool   // answers whatever comes with a reply subject

	tap func(body []byte) // tests only: is given whatever comes
}

// dial logs in; an error is the server's refusal.
func dial(ctx context.Context, addr string, a *actor, server *tls.Certificate) (*client, error) {
	d := tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*a.cert},
		InsecureSkipVerify: true, //nolint:gosec // the key is compared below
		VerifyConnection: func(state tls.ConnectionState) error {
			if !state.PeerCertificates[0].Equal(server.Leaf) {
				return errors.New("another server")
			}
			return nil
		},
	}}
	conn, err := d.DialContext(ctx, "tcp", strings.TrimPrefix(addr, "tls://"))
	if err != nil {
		return nil, err
	}
	c := &client{
		actor: a, conn: conn, in: bufio.NewReaderSize(conn, 64<<10), w: bufio.NewWriterSize(conn, 64<<10),
		refused: map[string]bool{}, got: map[string][]answer{},
	}
	c.changed = sync.NewCond(&c.mu)
	if err := c.hello(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	go c.read()
	return c, nil
}

// hello proves the nkey.
func (c *client) hello() error {
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	defer c.conn.SetDeadline(time.Time{}) //nolint:errcheck // a broken connection shows at the next read
	line, err := c.in.ReadString('\n')
	if err != nil {
		return err
	}
	var info struct {
		Nonce string `json:"nonce"`
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info); err != nil {
		return err
	}
	sig, err := c.actor.user.Sign([]byte(info.Nonce))
	if err != nil {
		return err
	}
	const connect = `CONNECT {"nkey":%q,"sig":%q,"headers":true,"no_responders":true,"protocol":1,"verbose":false}` +
		"\r\nPING\r\n"
	if _, err := fmt.Fprintf(c.conn, connect, c.actor.nkey, base64.RawURLEncoding.EncodeToString(sig)); err != nil {
		return err
	}
	for {
		line, err := c.in.ReadString('\n')
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(line, "PONG"):
			return nil
		case strings.HasPrefix(line, "-ERR"):
			return errors.New(strings.TrimSpace(line))
		}
	}
}

var violation = regexp.MustCompile(`^-ERR 'Permissions Violation for (Publish|Subscription) to "([^"]*)"`)

// read takes in everything until the connection ends.
func (c *client) read() {
	for {
		line, err := c.in.ReadString('\n')
		if err == nil {
			err = c.take(strings.TrimRight(line, "\r\n"))
		}
		if err != nil {
			c.note(func() { c.closed = err })
			return
		}
	}
}

func (c *client) note(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	c.changed.Broadcast()
}

func (c *client) take(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "PING":
		return c.send("PONG\r\n")
	case "PONG":
		c.note(func() { c.pongs++ })
	case "MSG", "HMSG":
		return c.message(word == "HMSG", strings.Fields(rest))
	case "-ERR":
		m := violation.FindStringSubmatch(line)
		if m == nil {
			return errors.New(line)
		}
		verb := "PUB "
		if m[1] == "Subscription" {
			verb = "SUB "
		}
		c.note(func() { c.refused[verb+m[2]] = true })
	}
	return nil
}

// nobody is in JetStream's answer to an account that it does not serve: that is as
// good as none.
var nobody = []byte(`"err_code":10039`)

// message takes one message: "subject sid [reply] [header bytes] bytes".
func (c *client) message(headers bool, f []string) error {
	least := 3
	if headers {
		least = 4
	}
	if len(f) < least {
		return errors.New("the server speaks nonsense")
	}
	size, err := strconv.Atoi(f[len(f)-1])
	if err != nil {
		return err
	}
	body := make([]byte, size+2)
	if _, err := io.ReadFull(c.in, body); err != nil {
		return err
	}
	status := ""
	if headers && strings.HasPrefix(string(body), "NATS/1.0 ") && len(body) >= 12 {
		status = strings.TrimSpace(string(body[9:12]))
	}
	c.note(func() {
		c.got[f[0]] = append(c.got[f[0]], answer{yes: status != "503" && !bytes.Contains(body, nobody), why: status})
		if c.tap != nil {
			c.tap(body)
		}
		if len(f) > least && strings.HasPrefix(f[2], "$JS.ACK.") {
			if ack := strings.Split(f[2], "."); len(ack) > 3 {
				c.hash = ack[3]
			}
		}
	})
	if c.echo && len(f) > least {
		return c.send(fmt.Sprintf("PUB %s 2\r\nok\r\n", f[2]))
	}
	return nil
}

// send writes at once; say writes with the next flush.
func (c *client) send(s string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.w.WriteString(s); err != nil {
		return err
	}
	return c.w.Flush()
}

func (c *client) say(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.w.WriteString(s) // an error comes back with the flush
}

// pub publishes with a reply subject of the own inbox, which it gives.
func (c *client) pub(subj, body string) (reply string) {
	c.mu.Lock()
	c.sid++
	reply = c.actor.who.inbox() + ".q." + strconv.Itoa(c.sid)
	c.mu.Unlock()
	c.pubTo(subj, reply, body)
	return reply
}

// pubTo publishes with any reply subject.
func (c *client) pubTo(subj, reply, body string) {
	c.say(fmt.Sprintf("PUB %s %s %d\r\n%s\r\n", subj, reply, len(body), body))
}

// sub subscribes, and lets it be again unless it is to stay.
func (c *client) sub(subj string, stay bool) {
	c.mu.Lock()
	c.sid++
	sid := c.sid
	c.mu.Unlock()
	c.say(fmt.Sprintf("SUB %s %d\r\n", subj, sid))
	if !stay {
		c.say(fmt.Sprintf("UNSUB %d\r\n", sid))
	}
}

// flush waits until the server has dealt with everything so far: refusals are
// in by then, answers need not be.
func (c *client) flush() error {
	c.mu.Lock()
	want := c.pongs + 1
	c.mu.Unlock()
	if err := c.send("PING\r\n"); err != nil {
		return err
	}
	return c.await(func() bool { return c.pongs >= want })
}

// errSilent says that what was waited for did not come.
var errSilent = errors.New("no answer came in time")

// await waits until something is so, looked at under the lock.
func (c *client) await(cond func() bool) error {
	late := time.AfterFunc(patience, func() { c.note(func() {}) })
	defer late.Stop()
	deadline := time.Now().Add(patience)
	c.mu.Lock()
	defer c.mu.Unlock()
	for !cond() {
		if c.closed != nil {
			return c.closed
		}
		if time.Now().After(deadline) {
			return errSilent
		}
		c.changed.Wait()
	}
	return nil
}

// was reports whether something was refused.
func (c *client) was(verb, subj string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused[verb+" "+subj]
}

// heard gives what came on a subject.
func (c *client) heard(subj string) []answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got[subj]
}

// count counts what came on subjects that begin so. The lock is held.
func (c *client) count(prefix string) uint64 {
	var n uint64
	for subj, got := range c.got {
		if strings.HasPrefix(subj, prefix) {
			n += uint64(len(got))
		}
	}
	return n
}

func (c *client) close() { _ = c.conn.Close() }
