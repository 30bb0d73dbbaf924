package hostile

import (
	"crypto/tls"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"karaula/internal/testworld"
)

// strangers have no keys: they open connections to al's broker, say nothing, or
// say slowly what may become a handshake, or noise. Links that stand go on.
func (c *campaign) strangers() {
	many := 200 * min(c.times, 5)
	var refused, opened, through atomic.Int64
	kinds := map[string]func(net.Conn){
		"silent": func(net.Conn) { time.Sleep(5 * time.Second) },
		"slow": func(conn net.Conn) {
			for _, b := range []byte{22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3} {
				if _, err := conn.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(400 * time.Millisecond)
			}
		},
		"noise": func(conn net.Conn) { _, _ = conn.Write(testworld.Random(2000)) },
		"without a certificate": func(conn net.Conn) {
			t := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
			_ = t.SetDeadline(time.Now().Add(5 * time.Second))
			buf := make([]byte, 100)
			if t.Handshake() == nil {
				if _, err := t.Read(buf); err == nil {
					through.Add(1)
				}
			}
		},
	}
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		kind := kinds[name]
		opened.Store(0)
		refused.Store(0)
		c.tryOut("strangers: "+name, many, func() {
			var work sync.WaitGroup
			for range many {
				work.Go(func() {
					conn, err := net.DialTimeout("tcp", c.AL.Listen, 5*time.Second)
					if err != nil {
						refused.Add(1)
						return
					}
					defer conn.Close()
					opened.Add(1)
					kind(conn)
				})
			}
			work.Wait()
		})
		c.t.Logf("    %d connections opened, %d refused, %d got an answer", opened.Load(), refused.Load(), through.Load())
	}
	if through.Load() > 0 {
		c.t.Error("a stranger without a certificate got an answer")
	}
}
