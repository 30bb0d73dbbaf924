package faults

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"karaula/gateway/stream"
	"karaula/internal/envelope"
	"karaula/internal/keyring"
	"karaula/internal/ledger"
	"karaula/internal/node"
	"karaula/internal/notice"
	"karaula/internal/seal"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// burglar has a copy of all online keys of a node and a way to its broker.
type burglar struct {
	t    *testing.T
	keys *keyring.Gateway
	nc   *nats.Conn
	js   jetstream.JetStream
}

// burgle copies a node's keys, and logs in at its broker with them.
func burgle(t *testing.T, n *Node) *burglar {
	t.Helper()
	keys, err := keyring.LoadGateway(node.Layout{Dir: n.Dir}.GatewayKeys(), nil)
	must(t, err)
	return (&burglar{t: t, keys: keys}).logIn(n)
}

// logIn connects anew.
func (b *burglar) logIn(n *Node) *burglar {
	b.t.Helper()
	user, err := b.keys.Own.PublicKey()
	must(b.t, err)
	b.nc, err = nats.Connect("tls://"+n.Listen, nats.Nkey(user, b.keys.Own.Sign), nats.TLSHandshakeFirst(),
		nats.MaxReconnects(-1), nats.Timeout(patience), nats.CustomInboxPrefix(subject.Inbox(subject.RoleGateway)),
		nats.Secure(&tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{b.keys.TLS},
			InsecureSkipVerify: true, //nolint:gosec // a test's own server on loopback
		}))
	must(b.t, err)
	b.t.Cleanup(b.nc.Close)
	b.js, err = jetstream.New(b.nc)
	must(b.t, err)
	return b
}

// statements reads what a stream holds.
func (b *burglar) statements(name string) []*karaulav1.Envelope {
	b.t.Helper()
	var out []*karaulav1.Envelope
	must(b.t, stream.Open(b.js, name).Read(patient(b.t), 1, "", func(m stream.Stored) error {
		var e karaulav1.Envelope
		out = append(out, &e)
		return proto.Unmarshal(m.Data, &e)
	}))
	return out
}

// opens counts the statements of a stream that are sealed to a key of a use, and
// that the stolen keys really open.
func (b *burglar) opens(name string, use karaulav1.KeyUse) (count uint64) {
	b.t.Helper()
	for _, e := range b.statements(name) {
		var st karaulav1.Statement
		must(b.t, proto.Unmarshal(e.GetStatement(), &st))
		for i, part := range st.GetParts() {
			for at, r := range part.GetRecipients() {
				key, ok := b.keys.Identity(r.GetUse(), r.GetKeyId())
				if r.GetParty() != "al" || r.GetUse() != use || !ok || len(e.GetParts()) <= i {
					continue
				}
				if frame, err := seal.Open(e.GetParts()[i], key.Identity, at, len(part.GetRecipients())); err == nil {
					if _, err := seal.Unframe(frame); err == nil {
						count++
					}
				}
			}
		}
	}
	return count
}

// say publishes a heartbeat that the stolen key has signed, after the last of the
// first ones that are in the stream, edited.
func (b *burglar) say(after uint64, edit func(*karaulav1.Statement)) {
	b.t.Helper()
	tree := new(ledger.Tree)
	var last karaulav1.Statement
	for _, e := range b.statements(subject.Out(subject.Actual(Channel))) {
		var st karaulav1.Statement
		if proto.Unmarshal(e.GetStatement(), &st) != nil || st.GetSeq() != tree.Size()+1 || st.GetSeq() > after {
			continue
		}
		tree.Append(envelope.Leaf(e.GetStatement()))
		proto.Reset(&last)
		proto.Merge(&last, &st)
	}
	root := tree.Root()
	st := &karaulav1.Statement{
		Format: envelope.Format, Ledger: last.GetLedger(), Channel: Channel, Origin: "al", Mode: last.GetMode(),
		Epoch: last.GetEpoch(), Seq: tree.Size() + 1, PrevRoot: root[:], SaidAt: last.GetSaidAt() + 1,
		Agreement: last.GetAgreement(), Card: last.GetCard(), CardSerial: last.GetCardSerial(),
		Kind: karaulav1.Kind_KIND_HEARTBEAT,
	}
	if edit != nil {
		edit(st)
	}
	id := b.keys.Sign.ID
	st.Signers = []*karaulav1.Signer{{Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyId: id[:]}}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(st)
	must(b.t, err)
	sealed, err := proto.MarshalOptions{Deterministic: true}.Marshal(&karaulav1.Envelope{
		Statement: raw, Signatures: []*karaulav1.Signature{{
			Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyId: id[:], Sig: b.keys.Sign.Sign(envelope.PAE(envelope.StatementType, raw)),
		}},
	})
	must(b.t, err)
	_, err = b.js.Publish(patient(b.t), subject.Say(subject.Actual(Channel), "al", subject.Token(st.GetKind(), 0)), sealed)
	must(b.t, err)
}

// drilled is what a drill says about the only key that was asked for.
type drilled struct {
	Keys []struct {
		Ledgers []struct {
			Channel    string
			First      uint64
			Last       uint64
			OnDisk     uint64    `json:"on_disk"`
			FirstAt    time.Time `json:"first_at"`
			LastAt     time.Time `json:"last_at"`
			Statements uint64
			Revoked    bool
			LastGood   uint64 `json:"last_good"`
		}
	}
}

func drill(t *testing.T, n *Node, key [16]byte) drilled {
	t.Helper()
	var d drilled
	command(t, n, &d, "key", "drill", fmt.Sprintf("%x", key))
	if len(d.Keys) != 1 {
		t.Fatalf("%d keys", len(d.Keys))
	}
	// The archive key opens the records of the own desk, too, which are no channel's.
	ledgers := d.Keys[0].Ledgers
	d.Keys[0].Ledgers = ledgers[:0]
	for _, l := range ledgers {
		if l.Channel == Channel {
			d.Keys[0].Ledgers = append(d.Keys[0].Ledgers, l)
		}
	}
	return d
}

// The drill says what a thief of the keys can read and say, from when to when. A
// thief with all of them tries it, before and after they are revoked.
func TestTheDrillSaysWhatAThiefCan(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	began := time.Now().Add(-time.Minute)
	send(t, w.ME, r["me"], 3)
	send(t, w.AL, r["al"], 2)
	must(t, w.Settle(patient(t)))
	b := burgle(t, w.AL)
	send(t, w.ME, r["me"], 1) // the theft is not noticed yet
	must(t, w.Settle(patient(t)))
	in, out := subject.InStream(subject.Actual(Channel), "me"), subject.Out(subject.Actual(Channel))

	// Keys are changed: what is said from now on is sealed to others.
	command(t, w.AL, nil, "key", "rotate")
	knows(t, w.ME, "al", 2)
	send(t, w.ME, r["me"], 2)
	send(t, w.AL, r["al"], 2)
	must(t, w.Settle(patient(t)))
	for what, c := range map[string]struct {
		key    [16]byte
		use    karaulav1.KeyUse
		stream string
		want   uint64
	}{
		"seal":    {b.keys.Seal[0].ID, karaulav1.KeyUse_KEY_USE_SEAL, in, 4},
		"archive": {b.keys.Archive[0].ID, karaulav1.KeyUse_KEY_USE_ARCHIVE, out, 2},
	} {
		d, really := drill(t, w.AL, c.key), b.opens(c.stream, c.use)
		if len(d.Keys[0].Ledgers) != 1 || really != c.want {
			t.Fatalf("%s: the thief opens %d of %d, the drill says %+v", what, really, c.want, d)
		}
		l := d.Keys[0].Ledgers[0]
		if l.Statements != really || l.OnDisk != really || l.FirstAt.Before(began) || l.LastAt.After(time.Now()) {
			t.Errorf("%s: the thief opens %d, the drill says %+v", what, really, l)
		}
	}

	// The sign key is revoked where it was put aside, and the notice key with it.
	must(t, w.AL.Stop())
	for _, id := range [][16]byte{b.keys.Sign.ID, b.keys.Notice.Key.ID} {
		command(t, w.AL, nil, "key", "revoke", fmt.Sprintf("%x", id), "--reason", "invented theft")
	}
	must(t, w.AL.Start(patient(t), Whole))
	knows(t, w.ME, "al", 4)
	send(t, w.AL, r["al"], 1)
	must(t, w.Settle(patient(t)))
	d := drill(t, w.AL, b.keys.Sign.ID)
	if len(d.Keys[0].Ledgers) != 1 || !d.Keys[0].Ledgers[0].Revoked {
		t.Fatalf("the drill says %+v", d)
	}
	signed := d.Keys[0].Ledgers[0]
	// What the key really signed: the stream says so.
	first, last := uint64(0), uint64(0)
	b.logIn(w.AL)
	for _, e := range b.statements(out) {
		var st karaulav1.Statement
		must(t, proto.Unmarshal(e.GetStatement(), &st))
		if string(st.GetSigners()[0].GetKeyId()) == string(b.keys.Sign.ID[:]) {
			if first == 0 {
				first = st.GetSeq()
			}
			last = st.GetSeq()
		}
	}
	if signed.First != first || signed.Last != last || signed.LastGood < last {
		t.Errorf("the key signed %d to %d, the drill says %+v", first, last, signed)
	}

	// The thief says everything that it can think of: next, in the past with an old
	// date, twice, far ahead, in a new epoch.
	all := uint64(len(b.statements(out)))
	tries := []func(){
		func() { b.say(all, nil) },
		func() { b.say(last, nil) },
		func() { b.say(last-1, nil) },
		func() { b.say(all, func(st *karaulav1.Statement) { st.SaidAt = began.UnixMicro() }) },
		func() { b.say(last, func(st *karaulav1.Statement) { st.Seq = all + 100 }) },
		func() { b.say(0, func(st *karaulav1.Statement) { st.Epoch, st.Kind = 2, karaulav1.Kind_KIND_EPOCH }) },
	}
	for _, try := range tries {
		try()
	}
	must(t, Until(patient(t), func() string {
		s, err := w.ME.Status(t.Context())
		must(t, err)
		for _, c := range s.Channels {
			for _, p := range c.Partners {
				if p.Contested {
					t.Fatal("a revoked key proves a fork")
				}
				if p.Quarantined < uint64(len(tries)) {
					return fmt.Sprintf("me has put %d aside", p.Quarantined)
				}
			}
		}
		return ""
	}))
	text := registerOf(t, w.ME).View().Agreements()[0].Agreement
	file, err := notice.Issue(notice.Notice{
		Party: "al", Serial: 1, Agreement: text.ID, Digest: text.Digest, Act: notice.Suspend,
		Effective: began.UTC().Truncate(time.Second), Reason: "invented",
	}, b.keys.Notice)
	must(t, err)
	if err := registerOf(t, w.ME).AddNotice(file); err == nil {
		t.Error("a revoked notice key suspends")
	}
	send(t, w.ME, r["me"], 1)
	if got := b.opens(in, karaulav1.KeyUse_KEY_USE_SEAL); got != 4 {
		t.Errorf("the thief opens %d statements", got)
	}
	// al says by itself that somebody writes to its broker, and me has what al said
	// before, all of it, and nothing of the thief's.
	must(t, Until(patient(t), func() string {
		a, err := w.AL.Run(patient(t), "", "status")
		must(t, err)
		if !strings.Contains(a.Out, "that nobody here has put there") {
			return "al does not notice that somebody writes to its broker"
		}
		return ""
	}))
	var held struct {
		Alerts []struct {
			Origin     string
			Repudiated bool
		}
	}
	command(t, w.ME, &held, "alert", "list")
	count := map[string]int{}
	for _, a := range held.Alerts {
		count[a.Origin]++
		if a.Repudiated {
			t.Error("what al has said is shown as repudiated")
		}
	}
	if count["al"] != 5 || count["me"] != 7 {
		t.Errorf("me holds %v alerts", count)
	}
}
