package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"karaula/internal/subject"
)

// tell hands on what the library tells of refusals.
func tell(to chan<- error) nats.Option {
	return nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { to <- err })
}

// refused publishes on a subject and reports whether the server said no to it.
func refused(t *testing.T, s *site, who person, inbox, subj string, body []byte) bool {
	t.Helper()
	no := make(chan error, 8)
	nc := s.mustDial(t, who, inbox, tell(no))
	defer nc.Close()
	if err := nc.PublishRequest(subj, nc.NewInbox(), body); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-no:
		return errors.Is(err, nats.ErrPermissionViolation)
	case <-time.After(50 * time.Millisecond): // the answer to Flush comes after the refusal, the handler perhaps not
		return errors.Is(nc.LastError(), nats.ErrPermissionViolation)
	}
}

// TestHostilePartner lets xk, with all its keys, try what it has no clause for.
// It is a party of t01-al-me-xk and of nothing else here.
func TestHostilePartner(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	gw := s.own(t, subject.RoleGateway, s.gateway)
	say(t, gw, "k1.b01-al-me.al.vehicle", []byte("secret of al and me"))
	say(t, gw, "k1.t01-al-me-xk.al.route", []byte("for three"))
	before := stateOf(t, s)

	var bad []string
	for _, verb := range []string{
		"INFO", "STREAM.NAMES", "STREAM.LIST", "STREAM.INFO.OUT_t01-al-me-xk", "STREAM.CREATE.X",
		"STREAM.UPDATE.OUT_t01-al-me-xk",
		"STREAM.DELETE.OUT_b01-al-me", "STREAM.DELETE.OUT_t01-al-me-xk", "STREAM.PURGE.OUT_t01-al-me-xk",
		"STREAM.PURGE.OUT_b01-al-me", "STREAM.SNAPSHOT.OUT_b01-al-me", "STREAM.RESTORE.X",
		"STREAM.MSG.GET.OUT_b01-al-me", "STREAM.MSG.GET.OUT_t01-al-me-xk", "STREAM.MSG.DELETE.OUT_t01-al-me-xk",
		"DIRECT.GET.OUT_b01-al-me", "DIRECT.GET.OUT_t01-al-me-xk", "DIRECT.GET.OUT_b01-al-me.k1.b01-al-me.al.vehicle",
		"CONSUMER.CREATE.OUT_b01-al-me", "CONSUMER.CREATE.OUT_t01-al-me-xk.evil",
		"CONSUMER.DURABLE.CREATE.OUT_t01-al-me-xk.xk",
		"CONSUMER.NAMES.OUT_t01-al-me-xk", "CONSUMER.LIST.OUT_t01-al-me-xk", "CONSUMER.INFO.OUT_t01-al-me-xk.xk",
		"CONSUMER.INFO.OUT_t01-al-me-xk.me", "CONSUMER.DELETE.OUT_t01-al-me-xk.me", "CONSUMER.DELETE.OUT_t01-al-me-xk.xk",
		"CONSUMER.PAUSE.OUT_t01-al-me-xk.me", "CONSUMER.RESET.OUT_t01-al-me-xk.me", "CONSUMER.RESET.OUT_t01-al-me-xk.xk",
		"CONSUMER.UNPIN.OUT_t01-al-me-xk.me", "CONSUMER.LEADER.STEPDOWN.OUT_t01-al-me-xk.me",
		"CONSUMER.MSG.NEXT.OUT_t01-al-me-xk.me", "CONSUMER.MSG.NEXT.OUT_b01-al-me.me", "CONSUMER.MSG.NEXT.OUT_b01-al-me.xk",
		"CONSUMER.MSG.NEXT.OUT_t01-al-me-xk.*", "CONSUMER.MSG.NEXT.IN_b01-al-me_me.xk", "META.LEADER.STEPDOWN",
		"SERVER.REMOVE",
		"ACCOUNT.PURGE.AL",
	} {
		bad = append(bad, "$JS.API."+verb, "$JS.al.API."+verb)
	}
	bad = append(bad,
		"k1.t01-al-me-xk.al.route", "k1.t01-al-me-xk.xk.route", "k1.b01-al-me.al.vehicle", "in.t01-al-me-xk.xk",
		"verdict.t01-al-me-xk.xk",
		"stub.t01-al-me-xk.al.1.1", "quarantine.t01-al-me-xk.xk", "desk.x", "k1.link.me", "k1.link.al", "k1.link.>",
		"$JS.ACK.al.aaaaaaaa.OUT_t01-al-me-xk.me.1.1.1.1.0", "$JS.ACK.OUT_t01-al-me-xk.me.1.1.1.1.0",
		"$JS.ACK.me.aaaaaaaa.OUT_t01-al-me-xk.xk.1.1.1.1.0", "$JS.FC.OUT_t01-al-me-xk.xk.x",
		"$SYS.REQ.SERVER.PING", "$SYS.REQ.USER.INFO", "$SYS.REQ.ACCOUNT.AL.CONNZ", "$SYS.REQ.SERVER.PING.CONNZ",
		"$SYS.ACCOUNT.AL.X",
		"$SYS.REQ.SERVER."+s.broker.srv().ID()+".RELOAD", "$SYS.REQ.SERVER."+s.broker.srv().ID()+".KICK", "$SYS._INBOX.x.y",
		"_R_.x.y", "_INBOX_gateway.x.y", "_INBOX_me.x.y", "$NRG.V.x", "$GR.x", "_GR_.x",
	)
	for _, subj := range bad {
		if !refused(t, s, s.xk, "xk", subj, []byte(`{}`)) {
			t.Errorf("xk may publish on %s", subj)
		}
	}
	if after := stateOf(t, s); before != after {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
	if !refused(t, s, s.xk, "xk", "$JS.API.INFO", nil) || refused(t, s, s.xk, "xk", subject.Link("xk"), nil) {
		t.Error("the test cannot tell a refusal from a right")
	}
}

// stateOf is what streams and consumers look like: messages and positions.
func stateOf(t *testing.T, s *site) string {
	t.Helper()
	info, err := s.broker.Jsz()
	if err != nil {
		t.Fatal(err)
	}
	type one struct {
		Name                      string
		First, Last, Msgs, Floors uint64
		Consumers                 int
	}
	list := map[string]one{}
	for _, acc := range info.AccountDetails {
		for _, st := range acc.Streams {
			o := one{
				Name: st.Name, First: st.State.FirstSeq, Last: st.State.LastSeq, Msgs: st.State.Msgs,
				Consumers: st.State.Consumers,
			}
			for _, c := range st.Consumer {
				o.Floors += c.AckFloor.Stream + c.Delivered.Stream
			}
			list[st.Name] = o
		}
	}
	out, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestHostilePartnerHearsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	no := make(chan error, 100)
	var heard atomic.Int64
	xk := s.mustDial(t, s.xk, "xk", tell(no))
	subjects := []string{
		">", "*", "k1.>", "k1.*.al.>", "k1.link.*", "k1.link.xk", "$SYS.>", "$JS.>", "$JS.API.>", "$JS.EVENT.>",
		"_INBOX.>", "_INBOX_me.>",
		"_INBOX_gateway.>", "_R_.>", "*.>", "_INBOX_xk", "in.>", "verdict.>",
	}
	for _, subj := range subjects {
		if _, err := xk.Subscribe(subj, func(*nats.Msg) { heard.Add(1) }); err != nil {
			t.Fatal(err)
		}
		if err := xk.Flush(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-no:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s: %v", subj, err)
			}
		case <-time.After(wait):
			t.Errorf("xk may subscribe to %s", subj)
		}
	}
	gw, me := s.own(t, subject.RoleGateway, s.gateway), s.mustDial(t, s.me, "me")
	say(t, gw, "k1.t01-al-me-xk.al.route", []byte("x"))
	take(t, pull(t, me, "t01-al-me-xk", "me", longPull))
	if err := xk.Flush(); err != nil || heard.Load() != 0 {
		t.Errorf("xk heard %d messages (%v)", heard.Load(), err)
	}
}

// A partner may name any reply subject in a request that it is allowed. The
// answer must come to nobody but itself.
func TestHostilePartnerCannotInjectByReplies(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	gw := s.own(t, subject.RoleGateway, s.gateway)
	if _, err := gw.Subscribe(subject.Link("*"), func(m *nats.Msg) { _ = m.Respond([]byte("injected")) }); err != nil {
		t.Fatal(err)
	}
	victim, err := gw.SubscribeSync("_INBOX_gateway.victim")
	if err != nil {
		t.Fatal(err)
	}
	say(t, gw, "k1.t01-al-me-xk.al.route", []byte("x"))
	before := stateOf(t, s)
	xk := s.mustDial(t, s.xk, "xk", quiet)
	for _, reply := range []string{
		"k1.t01-al-me-xk.al.route", "k1.b01-al-me.al.vehicle", "in.t01-al-me-xk.xk", "_INBOX_gateway.victim", "k1.link.me",
		"$JS.API.STREAM.PURGE.OUT_t01-al-me-xk", "$JS.API.STREAM.DELETE.OUT_t01-al-me-xk",
	} {
		for _, subj := range []string{subject.Link("xk"), subject.Next(subject.Actual("t01-al-me-xk"), "xk")} {
			if err := xk.PublishRequest(subj, reply, []byte(`{"batch":1,"no_wait":true}`)); err != nil {
				t.Fatal(err)
			}
		}
		ack := "$JS.ACK.al.x.OUT_t01-al-me-xk.xk.1.0.0.1.0"
		if err := xk.PublishRequest(ack, reply, []byte("+WPI")); err != nil {
			t.Fatal(err)
		}
	}
	if err := xk.Flush(); err != nil {
		t.Fatal(err)
	}
	// what was asked is answered by now: the link service serves in order
	if _, err := xk.Request(subject.Link("xk"), nil, wait); err != nil {
		t.Fatal(err)
	}
	if m, err := victim.NextMsg(50 * time.Millisecond); err == nil {
		t.Errorf("a message went into the owner's inbox: %q", m.Data)
	}
	if strip(before) != strip(stateOf(t, s)) {
		t.Errorf("something was stored or deleted:\n%s\n%s", before, stateOf(t, s))
	}
}

// strip leaves out consumers' positions, which a pull may move.
func strip(state string) string {
	var all map[string]map[string]any
	if err := json.Unmarshal([]byte(state), &all); err != nil {
		return err.Error()
	}
	for _, one := range all {
		delete(one, "Floors")
	}
	return fmt.Sprint(all)
}

// Headers and payloads that ask the server for something are not obeyed.
func TestHostilePartnerCannotAskByHeadersAndAcks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	gw := s.own(t, subject.RoleGateway, s.gateway)
	for range 3 {
		say(t, gw, "k1.t01-al-me-xk.al.route", []byte("x"))
	}
	xk := s.mustDial(t, s.xk, "xk", quiet)
	for _, dest := range []string{"k1.t01-al-me-xk.al.route", "_INBOX_me.x", "k1.link.xk", "$SYS.x"} {
		m := nats.NewMsg(subject.Link("xk"))
		m.Reply = xk.NewInbox()
		m.Header.Set("Nats-Trace-Dest", dest)
		m.Header.Set("Nats-Expected-Last-Sequence", "0")
		if err := xk.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	// acks of what was never delivered, forged and absurd
	for _, numbers := range []string{
		"1.3.3.1.0", "1.99.99.1.0", "1.18446744073709551615.18446744073709551615.1.0", "x.x.x.x.x", "-1.-1.-1.-1.-1",
	} {
		for _, body := range []string{
			"+ACK", "+TERM", "+NXT", "-NAK", "+WPI", `-NAK {"delay":1}`, `+NXT {"batch":1000000000}`,
			strings.Repeat("x", 60_000),
		} {
			if err := xk.Publish("$JS.ACK.al.x.OUT_t01-al-me-xk.xk."+numbers, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for body, status := range map[string]string{
		`{"batch":6000,"expires":1000000000}`:              "409",
		`{"batch":1,"expires":31000000000}`:                "409",
		`{"batch":1,"expires":1000000000,"min_pending":1}`: "400",
		`{`:                         "400",
		strings.Repeat("[", 60_000): "", // read as "one, please"
	} {
		sub := pull(t, xk, "t01-al-me-xk", "xk", body)
		m, err := sub.NextMsg(wait)
		if err != nil || m.Header.Get("Status") != status {
			t.Errorf("%.40s: %v %v, want status %q", body, m, err, status)
		}
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
	}
	js, _ := jetstream.New(gw)
	st, err := js.Stream(t.Context(), "OUT_t01-al-me-xk")
	if err != nil {
		t.Fatal(err)
	}
	if got := st.CachedInfo().State; got.LastSeq != 3 || got.Msgs != 3 {
		t.Errorf("the stream has %d messages up to %d", got.Msgs, got.LastSeq)
	}
	me, err := st.Consumer(t.Context(), "me")
	if err != nil || me.CachedInfo().Delivered.Stream != 0 || me.CachedInfo().AckFloor.Stream != 0 {
		t.Errorf("the other partner's consumer moved: %v", err)
	}
}

func TestPartnerMeetsItsLimits(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	for range maxPeerConnections {
		s.mustDial(t, s.xk, "xk")
	}
	if nc, err := s.dial(t, s.xk, "xk"); err == nil {
		nc.Close()
		t.Error("a fifth connection is taken")
	}
	s.mustDial(t, s.me, "me") // the others don't feel it

	cut := make(chan error, 1)
	me := s.mustDial(t, s.me, "me", nats.NoReconnect(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { cut <- err }))
	raw := []byte("PUB k1.link.me 65537\r\n")
	if err := me.Flush(); err != nil {
		t.Fatal(err)
	}
	// the library refuses by itself, so the bytes go to the server as they are
	conn := rawConn(t, s, s.me)
	if _, err := conn.Write(append(raw, bytes.Repeat([]byte{'x'}, 65537)...)); err == nil {
		got := make([]byte, 4096)
		_ = conn.SetReadDeadline(time.Now().Add(wait))
		var all []byte
		for !bytes.Contains(all, []byte("Maximum Payload")) {
			n, err := conn.Read(got)
			all = append(all, got[:n]...)
			if err != nil {
				break
			}
		}
		if !bytes.Contains(all, []byte("Maximum Payload")) {
			t.Errorf("more than 64 KiB are taken: %.200q", all)
		}
	}
	select {
	case <-cut: //nolint:errcheck // any reason is wrong
		t.Error("the other connection was cut")
	default:
	}
}
