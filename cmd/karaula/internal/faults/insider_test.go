package faults

import (
	"crypto/tls"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

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
	js, name := insider(t, w.AL), subject.Out(Channel)
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
