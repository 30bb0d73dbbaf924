package faults

import (
	"crypto/tls"
	"encoding/json"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"karaula/internal/checkup"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/subject"
)

// insider logs in to a running node's broker with the rights of the gateway's user.
func insider(t *testing.T, n *Node) jetstream.JetStream {
	t.Helper()
	keys, err := keyring.LoadGateway(node.Layout{Dir: n.Dir}.GatewayKeys(), nil)
	must(t, err)
	user, err := keyring.User(keys.Own)
	must(t, err)
	nc, err := nats.Connect("tls://"+n.Listen, nats.Nkey(user, keys.Own.Sign), nats.TLSHandshakeFirst(),
		nats.CustomInboxPrefix(subject.Inbox(subject.RoleGateway)),
		nats.Secure(&tls.Config{
			InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{keys.TLS},
		}))
	must(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	must(t, err)
	return js
}

// Whoever has the broker's rights hides statements from a partner, by setting its
// consumer behind them. The partner sees that numbers are missing, also the
// last ones, asks for them, and gets them.
func TestWhatABrokerHidesIsAskedFor(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 3)
	must(t, w.Settle(patient(t)))
	must(t, w.ME.Stop())
	send(t, w.AL, r["al"], 4)
	js, name := insider(t, w.AL), subject.Out(subject.Actual(Channel))
	all, err := js.Stream(t.Context(), name)
	must(t, err)
	_, err = js.ResetConsumerToSequence(t.Context(), name, subject.Consumer("me"), all.CachedInfo().State.LastSeq+1)
	must(t, err)
	must(t, w.ME.Start(patient(t), Whole))
	caughtUp(t, w, w.ME)
	send(t, w.AL, r["al"], 2)
	f := settleAndWalk(t, w, r, Expect{})
	if f.Alerts["al"] != 9 {
		t.Errorf("%d alerts", f.Alerts["al"])
	}
}

// stock gives what the doctor says of a node's streams, but for those that are well.
func stock(t *testing.T, n *Node) map[string]string {
	t.Helper()
	a, err := n.Run(patient(t), "", "doctor", "--output", "json")
	must(t, err)
	var all struct {
		Checks []struct{ ID, About, State, Text string } `json:"checks"`
	}
	must(t, json.Unmarshal([]byte(a.Out), &all))
	out := map[string]string{}
	looked := 0
	for _, c := range all.Checks {
		if c.ID != checkup.StreamStock {
			continue
		}
		if looked++; c.State != string(checkup.OK) {
			out[c.About] = c.Text
		}
	}
	if looked < 4 {
		t.Errorf("%s looked at %d streams: %s", n.Party, looked, a.Out)
	}
	return out
}

// Whoever has the broker's rights deletes what was said and what was received, and
// puts something in. The node says so, repair puts back what was said, the partner
// what was received, and afterwards nothing is wrong any more.
func TestWhatAnInsiderDidIsRepaired(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 5)
	send(t, w.ME, r["me"], 3)
	must(t, w.Settle(patient(t)))
	inStock(t, w.AL)
	js, out, in := insider(t, w.AL), subject.Out(subject.Actual(Channel)), subject.InStream(subject.Actual(Channel), "me")
	said, err := js.Stream(t.Context(), out)
	must(t, err)
	must(t, said.DeleteMsg(t.Context(), 3))
	heard, err := js.Stream(t.Context(), in)
	must(t, err)
	must(t, heard.DeleteMsg(t.Context(), 2))
	_, err = js.Publish(t.Context(), subject.In(subject.Actual(Channel), "me"), []byte("junk"))
	must(t, err)
	if found := stock(t, w.AL); !strings.Contains(found[out], "(gone") || !strings.Contains(found[in], "(gone") {
		t.Errorf("the doctor says %v", found)
	}
	halted(t, w.AL, "were confirmed") // the loss of what was received has the channel read back
	if done := repair(t, w.AL, 0); done.State != "mended" || done.PutBack == 0 || done.Stubs != 0 {
		t.Errorf("repair: %+v", done)
	}
	if found := stock(t, w.AL); len(found) > 0 {
		t.Errorf("after the repair the doctor says %v", found)
	}
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 1)
	settleInStock(t, w)
}
