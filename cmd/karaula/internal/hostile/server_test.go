package hostile

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// play is what a server of xk does with a connection of al that is logged in. It
// hears what al says line by line.
type play func(conn net.Conn, lines *bufio.Scanner)

// plays are the ways in which a server may be mad, and the code that al counts; an
// empty one where nothing is wrong that can be told from a slow line.
func plays() map[string]struct {
	play play
	code string
} {
	type one = struct {
		play play
		code string
	}
	say := func(texts ...string) play {
		return func(conn net.Conn, lines *bufio.Scanner) {
			for lines.Scan() {
				for _, t := range texts {
					if _, err := conn.Write([]byte(t)); err != nil {
						return
					}
				}
			}
		}
	}
	forever := func(text string) play {
		return func(conn net.Conn, _ *bufio.Scanner) {
			for b := []byte(text); ; {
				if _, err := conn.Write(b); err != nil {
					return
				}
			}
		}
	}
	return map[string]one{
		"nine exabytes":           {say("MSG a 1 9223372036854775800\r\nx"), "protocol"},
		"a size below zero":       {say("MSG a 1 -1\r\n\r\n"), "protocol"},
		"headers before sizes":    {say("HMSG a 1 99 5\r\nabcde\r\n"), "protocol"},
		"no such command":         {say("HELO karaula\r\n"), "protocol"},
		"a line without end":      {forever(strings.Repeat("x", 1<<16)), "protocol"},
		"an INFO without end":     {forever("INFO {\"server_id\":\"" + strings.Repeat("x", 1<<16)), "protocol"},
		"control characters":      {say("MSG a\x00b 1 1\r\nx\r\n"), "protocol"},
		"infos for ever":          {forever(info), "protocol"},
		"errors for ever":         {forever("-ERR 'Permissions Violation for Publish to \"" + strings.Repeat("a", 900) + "\"'\r\n"), "protocol"},
		"pings for ever":          {forever("PING\r\n"), "protocol"},
		"nothing":                 {func(_ net.Conn, lines *bufio.Scanner) { lines.Scan() }, ""},
		"subscriptions of no one": {forever("MSG a 777 5\r\nhello\r\n"), ""},
		"one byte at a time": {func(conn net.Conn, _ *bufio.Scanner) {
			for _, b := range []byte(strings.Repeat("PING\r\n", 1000)) {
				if _, err := conn.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		}, ""},
		"statuses for ever":         {answers("NATS/1.0 409 \x7f Leadership\r\n\r\n", 0, 1<<30), ""},
		"junk in place of messages": {answers("NATS/1.0 777 What\r\n\r\n", 100, 1<<30), "fetch-junk"},
		"redelivery without end":    {storm, ""},
	}
}

const info = `INFO {"server_id":"x","server_name":"x","version":"2.15.2","tls_required":true,"nonce":"abcdefghijk",` +
	`"max_payload":1048576,"headers":true,"auth_required":true}` + "\r\n"

// subscribed reads on until al subscribes, and gives its subscription's number
// for pulls and how often a pull came.
func subscribed(lines *bufio.Scanner, pulled func(sid, reply string) bool) {
	sids := map[string]string{} // prefix of the inbox → sid
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) >= 3 && f[0] == "SUB":
			sids[strings.TrimRight(f[1], "*>")] = f[len(f)-1]
		case len(f) >= 4 && (f[0] == "PUB" || f[0] == "HPUB") && strings.Contains(f[1], "MSG.NEXT"):
			for prefix, sid := range sids {
				if strings.HasPrefix(f[2], prefix) && !pulled(sid, f[2]) {
					return
				}
			}
		}
	}
}

// answers answers pulls with headers and a body, many times.
func answers(header string, body, times int) play {
	return func(conn net.Conn, lines *bufio.Scanner) {
		subscribed(lines, func(sid, reply string) bool {
			msg := fmt.Appendf(nil, "HMSG %s %s %d %d\r\n%s%s\r\n", reply, sid, len(header), len(header)+body, header,
				strings.Repeat("x", body))
			for range times {
				if _, err := conn.Write(msg); err != nil {
					return false
				}
			}
			return true
		})
	}
}

// storm delivers one message of a stream again and again, whatever is acknowledged.
func storm(conn net.Conn, lines *bufio.Scanner) {
	subscribed(lines, func(sid, reply string) bool {
		body := strings.Repeat("j", 900_000)
		for i := 1; ; i++ {
			ack := fmt.Sprintf("$JS.ACK.xk.abcdefgh.OUT_%s.al.%d.1.%d.1760000000000000000.99999999", attacked, i, i)
			head := fmt.Sprintf("MSG %s %s %s %d\r\n", reply, sid, ack, len(body))
			if _, err := conn.Write([]byte(head + body + "\r\n")); err != nil {
				return false
			}
		}
	})
}

// isAServer listens in place of xk's broker, with its key, and plays mad.
func (c *campaign) isAServer() {
	c.Silence()
	lis, err := tls.Listen("tcp", c.xkListen, &tls.Config{
		Certificates: []tls.Certificate{c.broker.TLS}, MinVersion: tls.VersionTLS13,
	})
	c.must(err)
	defer lis.Close()
	var now atomic.Pointer[play]
	var played atomic.Int64
	var mu sync.Mutex
	var open []net.Conn
	go func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			go func() {
				defer conn.Close()
				lines := bufio.NewScanner(conn)
				lines.Buffer(nil, 2<<20)
				if _, err := conn.Write([]byte(info)); err != nil || !lines.Scan() { // CONNECT
					return
				}
				if !lines.Scan() { // PING
					return
				}
				if _, err := conn.Write([]byte("PONG\r\n")); err != nil {
					return
				}
				played.Add(1)
				if p := now.Load(); p != nil {
					(*p)(conn, lines)
				}
			}()
		}
	}()
	hold := time.Second
	if c.times > 1 {
		hold = 8 * time.Second
	}
	all := plays()
	for _, name := range c.some(slices.Sorted(maps.Keys(all))) {
		p := all[name]
		before := c.counts()
		mu.Lock()
		for _, conn := range open {
			conn.Close()
		}
		open = nil
		mu.Unlock()
		now.Store(&p.play)
		was := played.Load()
		grown := c.tryOut("server: "+name, 1, func() {
			c.until("al logs in", func() bool { return played.Load() > was })
			time.Sleep(hold)
			if p.code != "" {
				c.counted(`karaula_link_troubles_total{code="`+p.code+`",party="xk"}`, before, 1)
			}
		}).Since(nil, "karaula_link_troubles_total")
		c.t.Logf("    %s", strings.ReplaceAll(grown.Show(), "karaula_link_troubles_total", ""))
	}
}
