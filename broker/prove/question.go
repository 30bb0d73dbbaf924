package prove

import (
	"karaula/internal/subject"
)

// act is what somebody tries.
type act int

const (
	login act = iota
	publish
	subscribe
)

// partner is the role of another party's gateway; the other roles are those of
// the broker's owner, [subject.RoleGateway] and so on.
const partner = "partner"

// auditor is the role of somebody whose card is an auditor's.
const auditor = "auditor"

// who is somebody with credentials.
type who struct {
	Party string // party code
	Role  string // partner, auditor, or a role of the owner
}

// String names who it is for people.
func (w who) String() string {
	if w.guest() {
		return w.Role + " " + w.Party
	}
	return w.Role + " of " + w.Party
}

// guest reports whether it is nobody of the owner's.
func (w who) guest() bool { return w.Role == partner || w.Role == auditor }

// inbox is the prefix of its reply subjects.
func (w who) inbox() string {
	if w.guest() {
		return subject.Inbox(w.Party)
	}
	return subject.Inbox(w.Role)
}

// answer is what a judge says to a question.
type answer struct {
	yes bool
	why string // the clause or rule, or why not
}

func yes(why string) answer { return answer{true, why} }
func no(why string) answer  { return answer{false, why} }

// question asks whether somebody may do something at a broker, and holds what
// the agreements say about it.
type question struct {
	act     act
	subject string // for a login, empty
	means   string // for people: "fetch what al says on b01-al-me"
	law     answer
}

// kind is what a stream is for.
type kind int

const (
	out        kind = 1 << iota // what the owner says on a channel
	in                          // what another party said
	own                         // verdicts, stubs
	desk                        // who did what
	quarantine                  // bytes without a signature
	stray                       // a stream that there should not be
	every      = out | in | own | desk | quarantine | stray
	known      = out | in | own | desk | quarantine
)

// stream is one stream of a broker's owner.
type stream struct {
	name, channel string
	kind          kind
}

// verb is a request of the JetStream API of nats-server 2.15: STREAM.INFO and
// so on, what it names, and on which kinds of streams which role of the owner
// needs it (docs/spec/federation.md, and the design's roles: the gateway says,
// keeps and reads, the keeper makes streams and consumers, audit reads).
type verb struct {
	name                   string
	names                  naming
	gateway, keeper, audit kind
	auditor                kind // of the channels whose text names it
}

// naming is what a verb's subject names after the verb.
type naming int

const (
	nothing naming = iota
	aStream
	aSubject  // a stream and a subject in it
	aConsumer // a stream and a consumer
	aFilter   // a stream, a consumer and a subject
	aName     // something that is no stream: an account, a server
)

// verbs are all requests of the JetStream API; a test compares them with the
// server's source.
var verbs = []verb{
	{name: "INFO", gateway: every, keeper: every},
	{name: "STREAM.NAMES", gateway: every},
	{name: "STREAM.LIST"},
	{name: "META.LEADER.STEPDOWN"},
	{name: "META.RESCUE"},
	{name: "SERVER.REMOVE"},
	{name: "SERVER.EVACUATE"},
	{name: "ACCOUNT.PURGE", names: aName},
	{name: "ACCOUNT.STREAM.MOVE", names: aConsumer},
	{name: "ACCOUNT.STREAM.CANCEL_MOVE", names: aConsumer},

	{name: "STREAM.INFO", names: aStream, gateway: every, keeper: every},
	{name: "STREAM.CREATE", names: aStream, keeper: known},
	{name: "STREAM.UPDATE", names: aStream, keeper: known},
	{name: "STREAM.DELETE", names: aStream},
	{name: "STREAM.PURGE", names: aStream},
	{name: "STREAM.SNAPSHOT", names: aStream},
	{name: "STREAM.RESTORE", names: aStream},
	{name: "STREAM.MSG.DELETE", names: aStream, gateway: out | in | desk},
	{name: "STREAM.MSG.GET", names: aStream, gateway: every},
	{name: "STREAM.PEER.REMOVE", names: aStream},
	{name: "STREAM.PEER.EVACUATE", names: aStream},
	{name: "STREAM.CANCEL_MOVE", names: aStream},
	{name: "STREAM.LEADER.STEPDOWN", names: aStream},
	{name: "DIRECT.GET", names: aStream, gateway: every, audit: out | in | own | desk, auditor: out | in},
	{name: "DIRECT.GET", names: aSubject, gateway: every, audit: out | in | own | desk},

	{name: "CONSUMER.CREATE", names: aStream},
	{name: "CONSUMER.NAMES", names: aStream},
	{name: "CONSUMER.LIST", names: aStream},
	{name: "CONSUMER.CREATE", names: aConsumer, gateway: every, keeper: out},
	{name: "CONSUMER.CREATE", names: aFilter, gateway: every, keeper: out},
	{name: "CONSUMER.DURABLE.CREATE", names: aConsumer},
	{name: "CONSUMER.INFO", names: aConsumer, gateway: every, keeper: every},
	{name: "CONSUMER.DELETE", names: aConsumer, gateway: every, keeper: out},
	{name: "CONSUMER.MSG.NEXT", names: aConsumer, gateway: every},
	{name: "CONSUMER.RESET", names: aConsumer, gateway: every},
	{name: "CONSUMER.PAUSE", names: aConsumer, gateway: every, keeper: out},
	{name: "CONSUMER.UNPIN", names: aConsumer},
	{name: "CONSUMER.LEADER.STEPDOWN", names: aConsumer},
	{name: "CONSUMER.PEER.REMOVE", names: aConsumer},
	{name: "CONSUMER.PEER.EVACUATE", names: aConsumer},
}

// of gives the streams on which a role needs the verb.
func (v verb) of(role string) kind {
	switch role {
	case subject.RoleGateway:
		return v.gateway
	case subject.RoleKeeper:
		return v.keeper
	case subject.RoleAudit:
		return v.audit
	case auditor:
		return v.auditor
	default:
		return 0
	}
}
