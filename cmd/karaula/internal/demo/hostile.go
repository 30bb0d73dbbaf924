package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"karaula/cmd/karaula/internal/nodes"
	"karaula/gateway/link"
	"karaula/gateway/stream"
	"karaula/internal/envelope"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// traitor is somebody with all the rights and keys of a party's gateway, who
// writes to the party's own broker past the gateway.
type traitor struct {
	node *nodes.Node
	keys *keyring.Gateway
	nc   *nats.Conn
	js   jetstream.JetStream
}

func (p *player) traitor(code string) (*traitor, error) {
	n, err := p.node(code)
	if err != nil {
		return nil, err
	}
	keys, err := keyring.LoadGateway(n.Layout.GatewayKeys(), nil)
	if err != nil {
		return nil, err
	}
	nc, err := n.Agent.Broker().Connect(subject.RoleGateway, keys.Own, &keys.TLS)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, problem.Wrap(problem.Failed, err, "the broker of %s cannot be used", code)
	}
	return &traitor{node: n, keys: keys, nc: nc, js: js}, nil
}

// last gives the last statement of an origin on a channel, as the traitor's
// node holds it; the last alert if there is one.
func (t *traitor) last(ctx context.Context, channel, origin string) (*envelope.Parsed, error) {
	name := subject.InStream(subject.Actual(channel), origin)
	if origin == t.node.Config.Party {
		name = subject.Out(subject.Actual(channel))
	}
	var last *envelope.Parsed
	err := stream.Open(t.js, name).Read(ctx, 1, "", func(m stream.Stored) error {
		e, err := envelope.Parse(m.Data)
		if err == nil && (last == nil || e.Statement.GetKind() == karaulav1.Kind_KIND_ALERT) {
			last = e
		}
		return nil
	})
	if err == nil && last == nil {
		err = problem.New(problem.NotFound, "%s has said nothing on %s yet", origin, channel)
	}
	return last, err
}

// publish puts bytes into the traitor's own channel stream.
func (t *traitor) publish(ctx context.Context, channel string, st *karaulav1.Statement, raw []byte) error {
	token := subject.Token(st.GetKind(), st.GetType())
	_, err := stream.Open(t.js, subject.Out(subject.Actual(channel))).Add(ctx, stream.Msg{
		Subject: subject.Say(subject.Actual(channel), t.node.Config.Party, token), Data: raw,
	})
	return err
}

// forge has a hostile partner continue another one's ledger, signed with its
// own key, on its own channel stream.
func (p *player) forge(ctx context.Context, f Forge) error {
	t, err := p.traitor(f.By)
	if err != nil {
		return err
	}
	defer t.nc.Close()
	genuine, err := t.last(ctx, f.Channel, f.As)
	if err != nil {
		return err
	}
	st := proto.CloneOf(genuine.Statement)
	st.Seq++
	st.SaidAt = time.Now().UnixMicro()
	st.Heads = nil
	st.Signers = []*karaulav1.Signer{{Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyId: t.keys.Sign.ID[:]}}
	bytes, err := envelope.Build(st)
	if err != nil {
		return err
	}
	sigs, err := envelope.Sign(bytes, []envelope.Signer{{
		Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyID: t.keys.Sign.ID, Key: t.keys.Sign.Private,
	}})
	if err != nil {
		return err
	}
	raw, err := envelope.Assemble(bytes, sigs, genuine.Envelope.GetParts())
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%s says something on %s in the name of %s", f.By, f.Channel, f.As)
	return p.repel(ctx, f.By, f.Channel, what, func() error { return t.publish(ctx, f.Channel, st, raw) })
}

// replay has a hostile partner publish its own last alert once more.
func (p *player) replay(ctx context.Context, r Replay) error {
	t, err := p.traitor(r.By)
	if err != nil {
		return err
	}
	defer t.nc.Close()
	old, err := t.last(ctx, r.Channel, r.By)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%s publishes number %d on %s once more", r.By, old.Statement.GetSeq(), r.Channel)
	return p.repel(ctx, r.By, r.Channel, what, func() error { return t.publish(ctx, r.Channel, old.Statement, old.Raw) })
}

// repel does something hostile and waits until every reader has put it aside.
func (p *player) repel(ctx context.Context, by, channel, what string, do func() error) error {
	before := map[string]int{}
	p.mu.Lock()
	for code, list := range p.aside {
		before[code] = len(list)
	}
	p.mu.Unlock()
	p.emit(Event{Event: "hostile", Party: by, Channel: channel, Text: what})
	if err := do(); err != nil {
		return err
	}
	for _, code := range p.readers(channel, by) {
		p.counts.Hostile++
		var seen *karaulav1.WatchResponse
		if !p.await(ctx, func() bool {
			for _, e := range p.aside[code][before[code]:] {
				if e.GetParty() == by && e.GetChannel() == channel {
					seen = e
					return true
				}
			}
			return false
		}) {
			return problem.New(problem.Failed, "%s has not noticed: %s", code, what)
		}
		p.counts.Repelled++
		p.emit(Event{
			Event: "put-aside", Party: code, Channel: channel, Why: seen.GetText(),
			Text: fmt.Sprintf("%s puts it aside: %s", code, seen.GetText()),
		})
	}
	return nil
}

// readers gives the parties of a channel but one.
func (p *player) readers(channel, but string) []string {
	var out []string
	for _, a := range p.stage.agreements {
		for _, ch := range a.Channels {
			for _, code := range a.Codes() {
				if ch.ID == channel && code != but {
					out = append(out, code)
				}
			}
		}
	}
	return out
}

// trespassWait is how long a broker may take to refuse.
const trespassWait = 10 * time.Second

// trespass has a partner ask another one's broker for a channel of others.
func (p *player) trespass(ctx context.Context, tr Trespass) error {
	n, err := p.node(tr.By)
	if err != nil {
		return err
	}
	keys, err := keyring.LoadGateway(n.Layout.GatewayKeys(), nil)
	if err != nil {
		return err
	}
	card, ok := n.Register.View().Card(tr.At)
	if !ok {
		return problem.New(problem.NotFound, "%s has no card of %s", tr.By, tr.At)
	}
	denied := make(chan struct{}, 16)
	nc, err := link.Dial(ctx, link.DialOptions{
		Card: card, Self: tr.By, Certificate: keys.TLS, Nkey: keys.NATS,
		OnTrouble: func(t link.Trouble) {
			if t == link.TroubleDenied {
				denied <- struct{}{}
			}
		},
	})
	if err != nil {
		return err
	}
	defer nc.Close()
	p.counts.Hostile++
	p.emit(Event{
		Event: "hostile", Party: tr.By, Channel: tr.Channel,
		Text: fmt.Sprintf("%s asks the broker of %s for the next message of %s", tr.By, tr.At, tr.Channel),
	})
	if err := nc.PublishRequest(
		subject.Next(subject.Actual(tr.Channel), tr.By),
		nc.NewInbox(),
		[]byte(`{"batch":1,"expires":1000000000}`),
	); err != nil {
		return problem.Wrap(problem.Failed, err, "the request could not be made")
	}
	select {
	case <-denied:
	case <-time.After(trespassWait):
		return problem.New(problem.Failed, "the broker of %s did not refuse", tr.At)
	}
	p.counts.Repelled++
	p.emit(Event{
		Event: "put-aside", Party: tr.At, Channel: tr.Channel, Why: "permission denied",
		Text: fmt.Sprintf("the broker of %s denies it: %s is no party to %s", tr.At, tr.By, tr.Channel),
	})
	return nil
}
