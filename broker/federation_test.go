package broker

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"karaula/internal/problem"
	"karaula/internal/subject"
)

const wait = 30 * time.Second // for what must come

// pull asks for the next messages as a partner's gateway does.
func pull(t testing.TB, nc *nats.Conn, channel, partner, body string) *nats.Subscription {
	t.Helper()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest(subject.Next(subject.Actual(channel), partner), inbox, []byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return sub
}

// take gives the next message that is not a status.
func take(t testing.TB, sub *nats.Subscription) *nats.Msg {
	t.Helper()
	for {
		m, err := sub.NextMsg(wait)
		if err != nil {
			t.Fatalf("nothing came: %v", err)
		}
		if m.Header.Get("Status") == "" {
			return m
		}
	}
}

// say publishes as the gateway and waits until it is on disk.
func say(t testing.TB, nc *nats.Conn, subj string, body []byte) uint64 {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ack, err := js.Publish(t.Context(), subj, body)
	if err != nil {
		t.Fatalf("%s: %v", subj, err)
	}
	return ack.Sequence
}

const longPull = `{"batch":5000,"max_bytes":8388608,"expires":25000000000,"idle_heartbeat":5000000000}`

func TestPartnerFetchesAndAcksItsChannel(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	gw, me := s.own(t, subject.RoleGateway, s.gateway), s.mustDial(t, s.me, "me")
	for n := range 20 {
		say(t, gw, "k1.b01-al-me.al.vehicle", fmt.Append(nil, n))
	}
	sub := pull(t, me, "b01-al-me", "me", longPull)
	var last *nats.Msg
	for n := range 20 {
		last = take(t, sub)
		if string(last.Data) != fmt.Sprint(n) {
			t.Fatalf("message %d is %q", n, last.Data)
		}
	}
	if want := "$JS.ACK.al."; !strings.HasPrefix(last.Reply, want) || strings.Count(last.Reply, ".") != 10 {
		t.Errorf("the ack subject %q has not the form that the permissions are for", last.Reply)
	}
	if err := last.AckSync(); err != nil {
		t.Fatal(err)
	}
	js, _ := jetstream.New(gw)
	c, err := js.Consumer(t.Context(), "OUT_b01-al-me", "me")
	if err != nil {
		t.Fatal(err)
	}
	if floor := c.CachedInfo().AckFloor.Stream; floor != 20 {
		t.Errorf("one ack covers up to %d, want 20", floor)
	}
}

// The limit of 64 KiB on what a partner sends must not touch what it is sent.
func TestLargestEnvelopeArrivesUnderTheInboundLimit(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	gw, me := s.own(t, subject.RoleGateway, s.gateway), s.mustDial(t, s.me, "me")
	if err := me.Flush(); err != nil || me.MaxPayload() != subject.MaxLinkRequest { // told right after the login
		t.Fatalf("the partner may send %d bytes (%v)", me.MaxPayload(), err)
	}
	big := bytes.Repeat([]byte{7}, subject.MaxEnvelope)
	say(t, gw, "k1.b01-al-me.al.patrol", big)
	m := take(t, pull(t, me, "b01-al-me", "me", longPull))
	if !bytes.Equal(m.Data, big) {
		t.Errorf("%d bytes arrived", len(m.Data))
	}
	if err := m.AckSync(); err != nil {
		t.Error(err)
	}
}

func TestGatewayPublishesInAtomicBatches(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	gw := s.own(t, subject.RoleGateway, s.gateway)
	js, err := jetstream.New(gw)
	if err != nil {
		t.Fatal(err)
	}
	for _, subj := range []string{
		"k1.b01-al-me.al.vehicle", subject.In(subject.Actual("b01-al-me"), "me"), subject.Verdict("b01-al-me", "me"),
	} {
		var batch []*nats.Msg
		for range 100 {
			m := nats.NewMsg(subj)
			m.Data = make([]byte, 1500)
			batch = append(batch, m)
		}
		ack, err := jetstreamext.PublishMsgBatch(t.Context(), js, batch)
		if err != nil || ack.BatchSize != 100 {
			t.Errorf("%s: %v %+v", subj, err, ack)
		}
	}
}

func TestLinkServiceAnswers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	gw := s.own(t, subject.RoleGateway, s.gateway)
	if _, err := gw.Subscribe(subject.Link("me"), func(m *nats.Msg) {
		_ = m.Respond(append(bytes.Repeat([]byte{'.'}, subject.MaxLinkReply-4), m.Data[:4]...))
	}); err != nil {
		t.Fatal(err)
	}
	if err := gw.Flush(); err != nil {
		t.Fatal(err)
	}
	me := s.mustDial(t, s.me, "me")
	reply, err := me.Request(subject.Link("me"), append([]byte("ping"), make([]byte, subject.MaxLinkRequest-4)...), wait)
	if err != nil || len(reply.Data) != subject.MaxLinkReply || !bytes.HasSuffix(reply.Data, []byte("ping")) {
		t.Fatalf("the largest request got %v, %d bytes", err, len(reply.Data))
	}
}

func TestOnlyKnownKeysGetIn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	s.mustDial(t, s.me, "me")
	stranger := newPerson(t, "stranger")
	without := func(edit func(*nats.Options)) []nats.Option {
		return []nats.Option{func(o *nats.Options) error { edit(o); return nil }}
	}
	noKey := func(o *nats.Options) { o.Nkey, o.SignatureCB = "", nil }
	for name, c := range map[string]struct {
		user, cert person
		opts       []nats.Option
	}{
		"a certificate that nobody pinned": {user: s.me, cert: stranger},
		"an nkey that nobody knows":        {user: stranger, cert: s.me},
		"no certificate":                   {user: s.me, cert: person{}},
		"no nkey":                          {user: s.me, cert: s.me, opts: without(noKey)},
		"a password":                       {user: s.me, cert: s.me, opts: append(without(noKey), nats.UserInfo("me", "me"))},
		"an nkey that it does not hold": {user: s.me, cert: s.me, opts: []nats.Option{
			nats.Nkey(s.me.public, stranger.user.Sign),
		}},
		"TLS 1.2": {user: s.me, cert: s.me, opts: without(func(o *nats.Options) {
			o.TLSConfig.MinVersion, o.TLSConfig.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		})},
		"no handshake": {user: s.me, cert: s.me, opts: without(func(o *nats.Options) {
			o.TLSHandshakeFirst, o.Secure, o.TLSConfig = false, false, nil
		})},
	} {
		public, sign := c.user.public, c.user.user.Sign
		opts := []nats.Option{
			nats.Nkey(public, sign), nats.TLSHandshakeFirst(), nats.Secure(s.clientTLS(c.cert.cert)), nats.Timeout(wait),
		}
		url := strings.Replace(s.broker.ClientURL(), "tls://", "nats://", 1)
		if nc, err := nats.Connect(url, append(opts, c.opts...)...); err == nil {
			nc.Close()
			t.Errorf("somebody got in with %s", name)
		}
	}
}

// Nothing is said before the handshake: not even that this is NATS.
func TestPlainTCPHearsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.broker.ClientURL(), "tls://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(2 * wait)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("CONNECT {}\r\nPING\r\n")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 512)
	n, _ := conn.Read(buf)
	if bytes.Contains(buf[:n], []byte("INFO")) || bytes.Contains(buf[:n], []byte("PONG")) {
		t.Errorf("a plain connection hears %q", buf[:n])
	}
}

func TestSixBrokersStartInOneProcess(t *testing.T) {
	t.Parallel()
	sites := make([]*site, 6)
	for i := range sites {
		sites[i] = newSite(t)
		if _, err := Prepare(sites[i].plan, sites[i].conf); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	var all sync.WaitGroup
	for _, s := range sites {
		all.Go(func() {
			b, err := Run(context.Background(), s.conf, nil, s.log)
			if err != nil {
				t.Error(err)
				return
			}
			s.broker = b
		})
	}
	all.Wait()
	t.Logf("six brokers were ready after %v", time.Since(start))
	for _, s := range sites {
		if s.broker == nil {
			continue
		}
		t.Cleanup(s.broker.Shutdown)
		s.keep(t)
	}
	t.Logf("their streams were there after %v", time.Since(start))
}

func TestRunSaysWhyItCannotStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	s := newSite(t)
	s.plan.Listen = taken.Addr().String()
	if _, err := Prepare(s.plan, s.conf); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), s.conf, nil, s.log); err == nil || problem.HintOf(err) == "" {
		t.Errorf("a taken port gives %v", err)
	}
	if _, err := Run(t.Context(), s.conf+".none", nil, s.log); !problem.Is(err, problem.Invalid) {
		t.Errorf("a missing file gives %v", err)
	}
}

func TestShutdownWaitsAndTheStoreComesBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	gw := s.own(t, subject.RoleGateway, s.gateway)
	say(t, gw, "k1.b01-al-me.al.vehicle", []byte("x"))
	gw.Close()
	s.broker.Shutdown()
	s.broker.Shutdown() // again does no harm

	ctx, cancel := context.WithCancel(t.Context())
	b, err := Run(ctx, s.conf, nil, s.log)
	if err != nil {
		t.Fatal(err)
	}
	s.broker = b
	if stats, err := b.Jsz(); err != nil || stats.Messages != 1 {
		t.Errorf("after a restart there are %v messages (%v)", stats.Messages, err)
	}
	if v, err := b.Varz(); err != nil || v.MaxPayload != subject.MaxPayload {
		t.Errorf("statistics: %v", err)
	}
	if c, err := b.Connz(); err != nil || c.NumConns != 0 {
		t.Errorf("connections: %v", err)
	}
	cancel()
	b.Shutdown()
	if b.srv().Running() {
		t.Error("the server outlives its context")
	}
}
