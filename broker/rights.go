package broker

import (
	"slices"
	"time"

	"karaula/internal/subject"
)

// right is one subject that somebody may publish on or subscribe to, and the
// reason why.
type right struct {
	subject string
	why     string
}

// rights are all that one kind of user may do.
type rights struct {
	publish   []right
	subscribe []right
	respond   time.Duration // so long it may answer a request that it received; zero: not at all
	local     bool          // one of the owner's: may connect within the process
	system    bool          // in the server's own account
}

// respondWithin is how long the link service may take for an answer.
const respondWithin = 30 * time.Second

// role is a kind of the owner's own users.
type role struct {
	name string
	keys []string
}

// roles lists the owner's users of its own account, in the order of the text.
func (u Users) roles() []role {
	return []role{
		{subject.RoleGateway, u.Gateway},
		{subject.RoleKeeper, u.Keeper},
		{subject.RoleAudit, u.Audit},
		{subject.RoleOps, u.Ops},
	}
}

// streams are the streams of the owner's account, by what they are for.
type streams struct {
	out, in, own []string
}

// streamsOf lists the streams that a plan asks for; the plan is sorted.
func streamsOf(p Plan) streams {
	var s streams
	for _, ch := range p.Channels {
		s.out = append(s.out, subject.Out(ch.name()))
		for _, origin := range ch.In {
			s.in = append(s.in, subject.InStream(ch.name(), origin))
		}
	}
	s.own = []string{subject.VerdictStream, subject.StubStream, subject.QuarantineStream, subject.DeskStream}
	if p.Cluster != nil {
		s.own = append(s.own, subject.RegisterStream)
	}
	if p.Pair {
		s.own = append(s.own, subject.PairStream)
	}
	return s
}

// rightsOf gives what one role of the owner may do.
func rightsOf(p Plan, name string) rights {
	inbox := right{subject.Inbox(name) + ".>", "answers"}
	var r rights
	switch name {
	case subject.RoleGateway:
		r = gatewayRights(p, inbox)
	case subject.RoleKeeper:
		r = keeperRights(p, inbox)
	case subject.RoleAudit:
		r = auditRights(p, inbox)
	case subject.RoleOps:
		r = opsRights(p, inbox)
	}
	r.local = true
	return r
}

// gatewayRights lets the gateway say what the agreements allow, keep what it
// received, read every stream of the account, erase single statements, and
// rewind or pause a partner's consumer. It can neither make, change, purge nor
// delete a stream.
func gatewayRights(p Plan, inbox right) rights {
	var r rights
	for _, ch := range p.Channels {
		for _, say := range ch.Say {
			r.publish = append(r.publish, right{subject.Say(ch.name(), p.Party, say.Token), say.Ref})
		}
	}
	r.publish = append(
		r.publish,
		right{"in.>", "keep what partners said, as received"},
		right{"verdict.>", "keep what was judged"},
		right{"stub.>", "keep statements whose content is erased"},
		right{"quarantine.>", "keep bytes that no signature covers"},
		right{"desk.>", "keep what officers did"},
		right{"$JS.ACK.>", "ack what it reads of its own streams"},
		right{api("INFO"), "limits of the account"},
		right{api("STREAM.NAMES"), "which streams there are"},
		right{api("STREAM.INFO.*"), "where a stream ends"},
		right{api("DIRECT.GET.*"), "read"},
		right{api("DIRECT.GET.*.>"), "read the last of a subject"},
		right{api("STREAM.MSG.GET.*"), "read from the leader"},
		right{api("CONSUMER.CREATE.*.>"), "make a consumer, a partner's anew included"},
		right{api("CONSUMER.INFO.*.*"), "where a consumer stands"},
		right{api("CONSUMER.DELETE.*.*"), "drop a consumer"},
		right{api("CONSUMER.MSG.NEXT.*.*"), "read by a consumer"},
		right{api("CONSUMER.RESET.*.*"), "rewind a partner's consumer"},
		right{api("CONSUMER.PAUSE.*.*"), "stop a partner's consumer when an agreement ends"},
	)
	s := streamsOf(p)
	for _, name := range append(s.out, s.in...) {
		r.publish = append(r.publish, right{api("STREAM.MSG.DELETE." + name), "erase one statement's content"})
	}
	r.publish = append(r.publish, right{api("STREAM.MSG.DELETE." + subject.DeskStream), "take out a record of the desk at its end"})
	r.subscribe = []right{inbox, {subject.Link("*"), "the link service"}}
	r.respond = respondWithin
	if p.Cluster != nil {
		r.publish = append(r.publish, right{subject.Remains("*"), "ask each server's machine what is left of erased content"})
	}
	if p.Pair {
		r.publish = append(
			r.publish,
			right{subject.PairState, "say which gateway speaks"},
			right{subject.PairTo("*", "*"), "tell the other gateway"},
			right{inbox.subject, "answer the other gateway"},
		)
		r.subscribe = append(r.subscribe, right{subject.PairTo("*", "*"), "hear the other gateway"})
	}
	return r
}

// keeperRights let the keeper make streams and partners' consumers.
func keeperRights(p Plan, inbox right) rights {
	r := rights{subscribe: []right{inbox}, publish: []right{
		{api("INFO"), "limits of the account"},
		{api("STREAM.INFO.*"), "is it there"},
		{api("CONSUMER.INFO.*.*"), "is it there"},
	}}
	if p.Cluster != nil {
		r.subscribe = append(r.subscribe, right{subject.Remains(p.ServerName), "be asked what is left of erased content"})
		r.respond = subject.RemainsWithin
		r.publish = append(
			r.publish,
			right{subject.Text("*", "*"), "tell the other machines of a signed text"},
			right{api("STREAM.MSG.GET." + subject.RegisterStream), "hear of them"},
			right{api("DIRECT.GET." + subject.RegisterStream), "hear of them"},
			right{api("DIRECT.GET." + subject.RegisterStream + ".>"), "hear of them"},
		)
	}
	s := streamsOf(p)
	for _, list := range [][]string{s.out, s.in, s.own} {
		for _, name := range list {
			r.publish = append(
				r.publish,
				right{api("STREAM.CREATE." + name), "make it"},
				right{api("STREAM.UPDATE." + name), "change its limits"},
			)
		}
	}
	for _, name := range s.out {
		r.publish = append(
			r.publish,
			right{api("CONSUMER.CREATE." + name + ".>"), "make a partner's consumer"},
			right{api("CONSUMER.PAUSE." + name + ".*"), "stop and start it"},
			right{api("CONSUMER.DELETE." + name + ".*"), "drop it when the agreement is closed"},
		)
	}
	return r
}

// auditRights are read-only by construction: a direct get changes nothing,
// while a consumer would be a write.
func auditRights(p Plan, inbox right) rights {
	r := rights{subscribe: []right{inbox}}
	for _, g := range auditGrants(p) {
		r.publish = append(r.publish, right{g.subject, g.why})
	}
	return r
}

// auditGrants are the services of the owner's account that audit may use.
func auditGrants(p Plan) []grant {
	s := streamsOf(p)
	var list []grant
	for _, names := range [][]string{s.out, s.in, {subject.VerdictStream, subject.StubStream, subject.DeskStream}} {
		for _, name := range names {
			list = append(
				list,
				grant{subject: api("DIRECT.GET." + name), why: "read", stream: true},
				grant{subject: api("DIRECT.GET." + name + ".>"), why: "read the last of a subject", stream: true},
			)
		}
	}
	return list
}

// auditorGrants are the services that an auditor whom an agreement names may use:
// the streams of its channels, whole, and of the stream of stubs what is asked by
// the subject of one of its channels. That request can name nothing else: the
// server refuses one with a sequence or a filter in it.
func auditorGrants(p Plan, a Auditor) []grant {
	var list []grant
	for _, ch := range p.Channels {
		if !slices.Contains(a.Channels, ch.ID) {
			continue
		}
		names := []string{subject.Out(ch.name())}
		for _, origin := range ch.In {
			names = append(names, subject.InStream(ch.name(), origin))
		}
		for _, name := range names {
			list = append(list, grant{subject: api("DIRECT.GET." + name), why: ch.Ref, stream: true})
		}
		list = append(list, grant{subject: api("DIRECT.GET." + subject.StubStream + "." + subject.ChannelStubs(ch.ID)), why: ch.Ref})
	}
	return list
}

// auditorRights let such an auditor ask, and hear the answers.
func auditorRights(p Plan, a Auditor) rights {
	r := rights{subscribe: []right{{subject.Inbox(a.Code) + ".>", "answers"}}}
	for _, grant := range auditorGrants(p, a) {
		r.publish = append(r.publish, right{grant.subject, grant.why})
	}
	return r
}

// opsRights let ops ask every server for its statistics, and for nothing that
// changes one. In a cluster, where the servers are processes of their own, the
// agent beside each of them makes it read its configuration and cuts
// connections in this role.
func opsRights(p Plan, inbox right) rights {
	r := rights{system: true, subscribe: []right{inbox, {"$SYS.SERVER.*.STATSZ", "statistics as servers send them"}}}
	r.publish = []right{{"$SYS.REQ.SERVER.PING", "which servers there are"}}
	for _, what := range []string{"STATSZ", "VARZ", "JSZ", "CONNZ", "HEALTHZ"} {
		r.publish = append(r.publish, right{"$SYS.REQ.SERVER.PING." + what, "statistics"})
	}
	if p.Cluster != nil {
		r.publish = append(
			r.publish,
			right{"$SYS.REQ.ACCOUNT.PING.STATZ", "how much each partner sends"},
			right{"$SYS.REQ.SERVER.*.CONNZ", "which connections there are"},
			right{"$SYS.REQ.SERVER.*.HEALTHZ", "has it caught up"},
			right{"$SYS.REQ.SERVER.*.RELOAD", "read the configuration again"},
			right{"$SYS.REQ.SERVER.*.KICK", "cut who lost a right"},
		)
	}
	return r
}

// peerRights are all that a partner can do here: ask for the next and ack on
// the channels it may read, and ask the link service.
func peerRights(p Plan, peer string) rights {
	r := rights{subscribe: []right{{subject.Inbox(peer) + ".>", "answers"}}}
	for _, grant := range grantsOf(p, peer) {
		r.publish = append(r.publish, right{grant.subject, grant.why})
	}
	return r
}

// grant is one service of the owner's account that a partner may use.
type grant struct {
	subject   string
	why       string
	stream    bool // many answers to one request
	threshold bool // an answer may take as long as a pull waits
}

// grantsOf lists the services that a partner may use, the link first.
func grantsOf(p Plan, peer string) []grant {
	out := []grant{{subject: subject.Link(peer), why: "the link service"}}
	for _, ch := range p.Channels {
		for _, partner := range ch.Partners {
			if partner.Code != peer || !partner.Fetch {
				continue
			}
			out = append(
				out,
				grant{subject: subject.Next(ch.name(), peer), why: ch.Ref, stream: true, threshold: true},
				grant{subject: subject.Ack(p.Party, ch.name(), peer), why: ch.Ref},
			)
		}
	}
	return out
}

func api(verb string) string { return "$JS.API." + verb }
