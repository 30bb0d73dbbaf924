package hostile

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"karaula/gateway/link"
	"karaula/internal/envelope"
	"karaula/internal/subject"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

var quoted = regexp.MustCompile(`"([^"\s]+)"`)

// names lists every subject that al's configuration speaks of, whoever it is for,
// with words in place of its wildcards, and JetStream's whole interface for every
// stream of it.
func (c *campaign) names() []string {
	c.t.Helper()
	conf, err := os.ReadFile(c.Layout().NATSConf())
	c.must(err)
	seen := map[string]bool{}
	var streams []string
	for _, m := range quoted.FindAllStringSubmatch(string(conf), -1) {
		name := m[1]
		if !strings.ContainsRune(name, '.') || strings.ContainsAny(name, ":/") {
			continue
		}
		if s, ok := strings.CutPrefix(name, "$JS.API.STREAM.CREATE."); ok {
			streams = append(streams, s)
		}
		seen[strings.NewReplacer(">", "a.b", "*", "1").Replace(name)] = true
	}
	for _, s := range streams {
		for _, verb := range []string{
			"STREAM.INFO.%s", "STREAM.UPDATE.%s", "STREAM.DELETE.%s", "STREAM.PURGE.%s", "STREAM.SNAPSHOT.%s",
			"STREAM.RESTORE.%s", "STREAM.MSG.GET.%s", "STREAM.MSG.DELETE.%s", "STREAM.PEER.REMOVE.%s",
			"STREAM.LEADER.STEPDOWN.%s", "DIRECT.GET.%s", "DIRECT.GET.%s.k1.a.b", "CONSUMER.CREATE.%s",
			"CONSUMER.CREATE.%s.evil", "CONSUMER.DURABLE.CREATE.%s.evil", "CONSUMER.NAMES.%s", "CONSUMER.LIST.%s",
			"CONSUMER.INFO.%s.xk", "CONSUMER.DELETE.%s.xk", "CONSUMER.PAUSE.%s.xk", "CONSUMER.RESET.%s.xk",
			"CONSUMER.UNPIN.%s.xk", "CONSUMER.LEADER.STEPDOWN.%s.xk", "CONSUMER.MSG.NEXT.%s.me",
		} {
			name := fmt.Sprintf(verb, s)
			seen["$JS.API."+name], seen["$JS.al.API."+name] = true, true
		}
	}
	var out []string
	for name := range seen {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// asksEverything publishes on every name, with xk's keys, at al's broker.
func (c *campaign) asksEverything() {
	names := c.names()
	allowed := map[string]bool{subject.Link("xk"): true}
	for _, ch := range []subject.Channel{
		subject.Actual(attacked), subject.Actual(attacked + "-s"), {ID: attacked + "-x", Exercise: true},
	} {
		allowed[subject.Next(ch, "xk")] = true
		allowed[strings.ReplaceAll(subject.Ack("al", ch, "xk"), "*", "1")] = true
	}
	var mu sync.Mutex
	denied, want := map[string]int{}, map[string]int{}
	for _, name := range names {
		if !allowed[name] { // the server takes its own domain out of a name before it judges it
			want[strings.Replace(name, "$JS.al.API.", "$JS.API.", 1)]++
		}
	}
	c.tryOut("asks for everything it can name", len(names), func() {
		nc, err := c.Dial(func(s string) {
			mu.Lock()
			defer mu.Unlock()
			denied[s]++
		})
		c.must(err)
		defer nc.Close()
		for _, name := range names {
			c.must(nc.PublishRequest(name, nc.NewInbox(), []byte("{}")))
		}
		c.must(nc.Flush())
		c.until("every name but its own is denied", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return maps.Equal(denied, want)
		})
	})
	c.t.Logf("    %d names denied, %d are its rights", len(names)-len(allowed), len(allowed))
	if len(denied) < 200 {
		c.t.Errorf("only %d names: nothing was tried", len(denied))
	}
}

// request is a question of xk to al's link service.
func (c *campaign) request(change func(*karaulav1.LinkRequest)) []byte {
	req := &karaulav1.LinkRequest{
		Format: link.Format, From: "xk", To: "al", Id: testworld.Random(16), AskedAt: time.Now().UnixMicro(),
		Ask: &karaulav1.LinkRequest_Hello{Hello: &karaulav1.Hello{Standing: c.standing()}},
	}
	change(req)
	body, err := proto.Marshal(req)
	c.must(err)
	raw, err := proto.Marshal(&karaulav1.LinkMessage{Body: body, Signature: &karaulav1.Signature{
		Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyId: c.Keys.Link.ID[:],
		Sig: c.Keys.Link.Sign(envelope.PAE(link.RequestType, body)),
	}})
	c.must(err)
	return raw
}

// floodsTheBroker is xk as a client of al's broker: everything in numbers.
func (c *campaign) floodsTheBroker() {
	c.connects()
	c.asksTooMuch()
	c.pulls()
	c.shouts()
}

// connects opens connections and subscriptions without end.
func (c *campaign) connects() {
	tries := 40 * c.times
	taken, subs := 0, 0
	c.tryOut("connections and subscriptions", tries, func() {
		var open []*nats.Conn
		for range tries {
			nc, err := c.Dial(nil)
			if err != nil {
				continue
			}
			taken++
			open = append(open, nc)
			for i := range 1000 {
				if _, err := nc.SubscribeSync(fmt.Sprintf("_INBOX_xk.%d.*.>", i)); err == nil {
					subs++
				}
			}
			_ = nc.Flush()
		}
		for _, nc := range open {
			nc.Close()
		}
	})
	c.t.Logf("    %d of %d connections were taken, %d subscriptions were tried on them", taken, tries, subs)
}

// asksTooMuch asks the link service more than it may, and what is no question.
func (c *campaign) asksTooMuch() {
	many := 1000 * c.times
	ledger := c.Voice.ID
	grown := c.tryOut("link requests", 6*many/3, func() {
		nc, err := c.Dial(nil)
		c.must(err)
		defer nc.Close()
		sent := 0
		send := func(raw []byte) {
			c.must(nc.PublishRequest(subject.Link("xk"), nc.NewInbox(), raw))
			if sent++; sent%20 == 0 {
				c.must(nc.Flush())
				time.Sleep(10 * time.Millisecond) // more at once would bar it; that comes later
			}
		}
		once := c.request(func(*karaulav1.LinkRequest) {})
		send(c.request(func(r *karaulav1.LinkRequest) { r.To = "me" }))
		send(c.request(func(r *karaulav1.LinkRequest) { r.Format = 9 }))
		send(c.request(func(r *karaulav1.LinkRequest) { r.AskedAt -= int64(time.Hour / time.Microsecond) }))
		send(c.request(func(r *karaulav1.LinkRequest) {
			r.Ask = &karaulav1.LinkRequest_Rewind{Rewind: &karaulav1.Rewind{Channel: untouched, Epoch: 1, FromSeq: 1}}
		}))
		send(c.request(func(r *karaulav1.LinkRequest) {
			r.Ask = &karaulav1.LinkRequest_Get{Get: &karaulav1.Get{What: &karaulav1.Get_Statements{
				Statements: &karaulav1.GetStatements{Ledger: testworld.Random(32), Epoch: 1, FromSeq: 1, ToSeq: 1 << 63},
			}}}
		}))
		send(once)
		send(once)
		send(bytes.Repeat([]byte{0x0a}, 60_000))
		for i := range many {
			send(c.request(func(r *karaulav1.LinkRequest) {
				switch i % 2 {
				case 0:
					r.Ask = &karaulav1.LinkRequest_Get{Get: &karaulav1.Get{What: &karaulav1.Get_Statements{
						Statements: &karaulav1.GetStatements{Ledger: ledger[:], Epoch: 1, FromSeq: 1, ToSeq: 1 << 63},
					}}}
				case 1:
					r.Ask = &karaulav1.LinkRequest_Rewind{Rewind: &karaulav1.Rewind{Channel: attacked, Epoch: 1, FromSeq: 1}}
				}
			}))
			send(testworld.Random(500))
		}
	}).Since(nil, "karaula_link_requests_total")
	c.t.Logf("    %s", strings.ReplaceAll(grown.Show(), "karaula_link_requests_total", ""))
	for _, code := range []string{"wrong-party", "unsupported-format", "too-old", "not-found", "replayed", "not-a-message"} {
		if grown[`karaula_link_requests_total{outcome="`+code+`",party="xk"}`] == 0 {
			c.t.Errorf("no request counts as %s", code)
		}
	}
}

// pulls leaves requests for messages lying about, with reply subjects of their own.
func (c *campaign) pulls() {
	many := 3000 * c.times
	c.tryOut("pending pulls", many, func() {
		nc, err := c.Dial(nil)
		c.must(err)
		defer nc.Close()
		for i := range many {
			body := []byte(`{"batch":5000,"expires":25000000000}`)
			switch i % 4 {
			case 1:
				body = []byte(strings.Repeat("[", 30_000))
			case 2:
				body = []byte(`{"batch":1000000000000,"expires":99999999999999999}`)
			}
			c.must(nc.PublishRequest(subject.Next(subject.Actual(attacked), "xk"), nc.NewInbox(), body))
			if i%50 == 0 {
				c.must(nc.Flush())
				time.Sleep(30 * time.Millisecond)
			}
		}
		_ = nc.Flush()
	})
}

// shouts sends as fast as it can until it is thrown out, and stays out.
func (c *campaign) shouts() {
	sent := 0
	grown := c.tryOut("everything at once, until barred", 1, func() {
		nc, err := c.Dial(nil)
		c.must(err)
		defer nc.Close()
		payload := testworld.Random(2000)
		c.until("xk is barred", func() bool {
			for range 2000 {
				if nc.PublishRequest(subject.Link("xk"), "_INBOX_xk.a", payload) == nil {
					sent++
				}
			}
			ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
			defer cancel()
			return nc.FlushWithContext(ctx) != nil && !nc.IsConnected()
		})
		if again, err := c.Dial(nil); err == nil {
			again.Close()
			c.t.Error("xk is let in again at once")
		}
	})
	if grown[`karaula_partner_barred_total{party="xk"}`] < 1 {
		c.t.Errorf("barred: %s", grown.Since(nil, "karaula_partner_barred").Show())
	}
	c.t.Logf("    %d messages until it was barred", sent)
}

// answersNonsense answers al's greetings and questions with lies.
func (c *campaign) answersNonsense() {
	all := lies()
	order := c.some(slices.Sorted(maps.Keys(all)))
	if name := "texts with names"; !slices.Contains(order, name) {
		order = append(order, name) // for quotesNothing
	}
	total := Counts{}
	c.tryOut("answers nonsense", len(order), func() {
		for _, name := range order {
			lie := all[name]
			before := c.counts()
			c.serveLink(lie)
			was := c.asked("hello")
			c.ToXK.Cut()
			c.must(c.ToXK.Mend())
			c.until("al greets, to hear "+name, func() bool { return c.asked("hello") > was })
			time.Sleep(200 * time.Millisecond)
			grown := c.counts().Since(before, "karaula_link_troubles_total")
			for k, v := range grown {
				total[k] += v
			}
		}
		c.serveLink(honest)
		c.ToXK.Cut()
		c.must(c.ToXK.Mend())
	})
	c.t.Logf("    %s", strings.ReplaceAll(total.Show(), "karaula_link_troubles_total", ""))
	if total[`karaula_link_troubles_total{code="answer-not-valid",party="xk"}`] == 0 {
		c.t.Error("no answer counts as not valid")
	}
}
