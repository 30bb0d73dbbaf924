// Package subject names everything that broker and gateway meet in: NATS
// subjects, accounts, streams and consumers, and the limits that both sides of
// a border must agree on.
//
// It must never connect to anything, and no name may carry anything but ids of
// parties and channels, words for types and kinds, and numbers.
package subject

import (
	"strconv"
	"strings"
	"time"

	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Limits that both sides rely on (docs/spec/limits.md).
const (
	MaxEnvelope     = 1 << 20             // bytes of an envelope
	MaxStreamMsg    = MaxEnvelope + 4<<10 // bytes of a stream message with headers; equal on OUT and IN streams
	MaxPayload      = MaxEnvelope + 8<<10 // bytes that a broker takes from its own users
	MaxLinkRequest  = 64 << 10            // bytes of a link request, and all that a partner may send at once
	MaxLinkReply    = MaxEnvelope         // bytes of a link reply
	MaxAckPending   = 5000                // statements in flight to one partner
	MaxWaiting      = 8                   // pull requests of one partner that may wait
	MaxRequestBatch = 5000                // statements in one pull request
	QuarantineBytes = 64 << 20            // ring of bytes without a valid signature

	AckWait           = 5 * time.Second  // redelivery after a cut
	PullExpires       = 25 * time.Second // a pull waits at most this long
	MaxRequestExpires = 30 * time.Second // limit the owner sets
	ExportThreshold   = 60 * time.Second // memory of an export's reply subjects
	RemainsWithin     = 2 * time.Minute  // a search of a server's files for erased content
)

// Token gives the last token of a statement's subject: the type's word for an
// alert, the kind's word for anything else.
func Token(kind karaulav1.Kind, typ karaulav1.AlertType) string {
	if kind == karaulav1.Kind_KIND_ALERT {
		return terms.TypeWord(typ)
	}
	return terms.KindWord(kind)
}

// Channel names a channel where broker and gateway meet. What is practised never
// shares a name with what is meant: neither a subject nor a stream, whatever the
// ids. "x" is no id.
type Channel struct {
	ID       string
	Exercise bool
}

// On gives the name of a channel in its mode.
func On(id string, mode karaulav1.Mode) Channel {
	return Channel{ID: id, Exercise: mode == karaulav1.Mode_MODE_EXERCISE}
}

// Actual gives the name of a channel on which everything is meant.
func Actual(id string) Channel { return Channel{ID: id} }

// tokens are the channel's tokens in subjects.
func (c Channel) tokens() string {
	if c.Exercise {
		return "x." + c.ID
	}
	return c.ID
}

// mark is what the names of the channel's streams begin with, behind their kind.
func (c Channel) mark() string {
	if c.Exercise {
		return "X"
	}
	return ""
}

// Said is what the subjects of everything begin with that anybody says on a channel.
func Said(ch Channel) string { return "k1." + ch.tokens() + "." }

// Say is the subject on which self says something on a channel.
func Say(ch Channel, self, token string) string { return Said(ch) + self + "." + token }

// SayAll covers everything that self says on a channel.
func SayAll(ch Channel, self string) string { return Said(ch) + self + ".>" }

// In is the subject on which a gateway keeps what an origin said on a channel.
func In(ch Channel, origin string) string { return "in." + ch.tokens() + "." + origin }

// Verdict is the subject of the judgements about an origin's ledger.
func Verdict(channel, origin string) string { return "verdict." + channel + "." + origin }

// Stub is the subject of one statement whose content was erased.
func Stub(channel, origin string, epoch, seq uint64) string {
	return "stub." + channel + "." + origin + "." + strconv.FormatUint(epoch, 10) + "." + strconv.FormatUint(seq, 10)
}

// ChannelStubs covers all of them of one channel.
func ChannelStubs(channel string) string { return "stub." + channel + ".>" }

// Stubs covers all of them of one ledger.
func Stubs(channel, origin string) string { return "stub." + channel + "." + origin + ".>" }

// DeskStub is the subject of what stays of a record of the desk. No channel has an
// id with an underscore.
func DeskStub(number uint64) string { return "stub._desk." + strconv.FormatUint(number, 10) }

// DeskStubs covers all of them.
const DeskStubs = "stub._desk.>"

// Quarantine is the subject of bytes that no valid signature covers.
func Quarantine(channel, origin string) string { return "quarantine." + channel + "." + origin }

// Desk is the subject of an entry of what an officer did.
func Desk(deed string) string { return "desk." + deed }

// Text is the subject of a signed text of the register, by kind and digest.
func Text(kind, digest string) string { return "register." + kind + "." + digest }

// PairState is the subject of the one message that says which gateway speaks.
const PairState = "pair.state"

// PairTo is the subject on which a gateway hears what the other one asks of it.
func PairTo(name, what string) string { return "pair.to." + name + "." + what }

// Remains is the subject on which the machine of one server of a cluster is asked in which
// of the server's files something of erased content lies. Names have no underscore.
func Remains(server string) string { return "remains." + strings.ReplaceAll(server, ".", "_") }

// Link is the subject of the link service that a broker's owner answers for a partner.
func Link(partner string) string { return "k1.link." + partner }

// Account is the name of a party's own account on its own broker.
func Account(self string) string { return strings.ToUpper(self) }

// PeerAccount is the name of a partner's account on somebody's broker.
func PeerAccount(partner string) string { return "PEER_" + strings.ToUpper(partner) }

// AuditAccount is the account of the owner's audit. No party's account can have
// the name: party codes have no underscore.
const AuditAccount = "OWN_AUDIT"

// AuditorAccount is the account, on a party's broker, of an auditor whom an
// agreement names.
func AuditorAccount(auditor string) string { return "AUDITOR_" + strings.ToUpper(auditor) }

// Out is the stream of what self says on a channel.
func Out(ch Channel) string { return "OUT" + ch.mark() + "_" + ch.ID }

// InStream is the stream of what an origin said on a channel, as received.
func InStream(ch Channel, origin string) string { return "IN" + ch.mark() + "_" + ch.ID + "_" + origin }

// Streams that every node has once.
const (
	VerdictStream    = "VERDICT"
	StubStream       = "STUB"
	QuarantineStream = "QUARANTINE"
	DeskStream       = "DESK"
)

// Streams of a node whose broker is a cluster.
const (
	RegisterStream = "REGISTER" // signed texts, for the registers of all its machines
	PairStream     = "PAIR"     // which of two gateways speaks
)

// Consumer is the name of a partner's durable consumer on an OUT stream.
func Consumer(partner string) string { return partner }

// Next is the subject of a pull request for a channel's OUT stream.
func Next(ch Channel, partner string) string {
	return "$JS.API.CONSUMER.MSG.NEXT." + Out(ch) + "." + Consumer(partner)
}

// Ack is the pattern of the acknowledgements of a partner's consumer, in the
// form that names domain and account (feature flag js_ack_fc_v2).
func Ack(domain string, ch Channel, partner string) string {
	return "$JS.ACK." + domain + ".*." + Out(ch) + "." + Consumer(partner) + ".*.*.*.*.*"
}

// Inbox is the prefix of a partner's reply subjects on somebody's broker.
func Inbox(partner string) string { return "_INBOX_" + partner }

// Roles on a party's own broker.
const (
	RoleGateway = "gateway" // says, receives, judges
	RoleKeeper  = "keeper"  // makes streams and consumers
	RoleAudit   = "audit"   // reads, and nothing else
	RoleOps     = "ops"     // sees the server's statistics
)
