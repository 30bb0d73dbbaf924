package prove

import (
	"slices"
	"strings"

	"karaula/internal/subject"
)

// everybody lists who might connect to a broker: the owner's roles, and every
// other party that is known, partner or not.
func (l *law) everybody() []who {
	list := []who{
		{l.owner, subject.RoleGateway},
		{l.owner, subject.RoleKeeper},
		{l.owner, subject.RoleAudit},
		{l.owner, subject.RoleOps},
	}
	for _, p := range l.parties {
		if p != l.owner {
			list = append(list, l.guest(p))
		}
	}
	return list
}

// asker collects the questions about one credential.
type asker struct {
	*law
	who  who
	list []question
}

// questions are all questions about what somebody may do at the owner's broker.
func (l *law) questions(w who) []question {
	a := &asker{law: l, who: w}
	a.add(login, "", "log in", a.mayLogIn())
	a.says()
	a.crosses()
	a.stores()
	a.links()
	a.acks()
	a.requests()
	a.stubs()
	a.inboxes()
	a.system()
	a.listens()
	return a.list
}

// add adds a question. Who may not log in may do nothing.
func (a *asker) add(act act, subj, means string, says answer) {
	if may := a.mayLogIn(); act != login && !may.yes {
		says = may
	}
	a.list = append(a.list, question{act, subj, means, says})
}

func (a *asker) mayLogIn() answer {
	switch a.who.Role {
	case partner:
		return a.law.links[a.who.Party]
	case auditor:
		return a.audit(a.who.Party)
	}
	return yes("the owner's " + a.who.Role)
}

// only gives a right to one role and to nobody else.
func (a *asker) only(role, why string) answer {
	if a.who.Role == role {
		return yes(why)
	}
	return no("no clause and no role gives it to " + a.who.String())
}

// says asks about every statement on every channel in everybody's name.
func (a *asker) says() {
	for _, c := range a.channels {
		for _, party := range a.parties {
			for _, token := range tokens() {
				says := a.only(subject.RoleGateway, "")
				switch {
				case says.yes && party == a.owner:
					says = a.say(c, token)
				case says.yes:
					says = no("nobody speaks for " + party)
				}
				a.add(publish, subject.Say(c.Subject(), party, token), "say "+token+" as "+party+" on "+c.ID, says)
			}
		}
	}
}

// crosses asks about the subjects that a channel would have in the other mode:
// what is practised never goes where what is meant goes, nor the other way round.
func (a *asker) crosses() {
	none := no("no agreement has the channel in that mode")
	for _, c := range a.channels {
		other := c.Subject()
		other.Exercise = !other.Exercise
		for _, token := range tokens() {
			a.add(publish, subject.Say(other, a.owner, token), "say "+token+" on "+c.ID+" in the other mode", none)
		}
		if a.who.Role == partner {
			a.add(publish, subject.Next(other, a.who.Party), "fetch "+c.ID+" in the other mode", none)
		}
	}
}

// stores asks about the subjects on which the gateway keeps things.
func (a *asker) stores() {
	keeps := a.only(subject.RoleGateway, "the gateway keeps what it received, judged and did")
	for _, c := range a.channels {
		for _, party := range a.parties {
			for _, subj := range []string{
				subject.In(c.Subject(), party), subject.Verdict(c.ID, party), subject.Stub(c.ID, party, 1, 1),
				subject.Quarantine(c.ID, party),
			} {
				a.add(publish, subj, "write into the owner's store", keeps)
			}
		}
	}
	a.add(publish, subject.Desk("look"), "write into the desk's book", keeps)
}

// links asks about everybody's link service.
func (a *asker) links() {
	for _, party := range a.parties {
		says := no("only " + party + " asks there")
		if a.who == (who{party, partner}) {
			says = yes("every partner may ask the link service")
		}
		a.add(publish, subject.Link(party), "ask the link service as "+party, says)
	}
}

// acks asks about acknowledgements of everybody's consumers, in both forms.
func (a *asker) acks() {
	const numbers = ".1.1.1.1.0"
	for _, c := range a.channels {
		for _, party := range a.parties {
			says := a.only(subject.RoleGateway, "the gateway acks what it reads of its own streams")
			if a.who == (who{party, partner}) {
				says = a.fetch(c, party)
			}
			means := "ack for " + party + " on " + c.ID
			tail := subject.Out(c.Subject()) + "." + subject.Consumer(party) + numbers
			a.add(publish, "$JS.ACK."+a.owner+".x."+tail, means, says)
			old := a.only(subject.RoleGateway, "the gateway acks what it reads of its own streams")
			a.add(publish, "$JS.ACK."+tail, means, old)
		}
	}
}

// requests asks about every request of the JetStream API on every stream and
// consumer, in this domain and in another one's name.
func (a *asker) requests() {
	all := a.streams()
	for _, v := range verbs {
		switch v.names {
		case nothing:
			a.request(v, "", answerOf(a, v, every))
		case aName:
			a.request(v, "."+subject.Account(a.owner), answerOf(a, v, 0))
		case aStream, aSubject, aConsumer, aFilter:
			for _, s := range all {
				a.onStream(v, s)
			}
		}
	}
}

// stubs asks about what was erased, by its subject: channels share the stream.
func (a *asker) stubs() {
	for _, c := range a.channels {
		says := no("no clause and no role gives it to " + a.who.String())
		switch a.who.Role {
		case subject.RoleGateway, subject.RoleAudit:
			says = yes(a.who.Role + " reads stubs")
		case auditor:
			says = a.audits(c, a.who.Party)
		}
		rest := "DIRECT.GET." + subject.StubStream + "." + subject.Stub(c.ID, a.owner, 1, 1)
		a.add(publish, "$JS.API."+rest, "read what was erased on "+c.ID, says)
		a.add(publish, domain(a.owner)+rest, "read what was erased on "+c.ID+" by the domain's name", says)
	}
}

func (a *asker) onStream(v verb, s stream) {
	says := answerOf(a, v, s.kind)
	if says.yes && a.who.Role == auditor {
		says = a.audits(a.channel(s.channel), a.who.Party)
	}
	switch v.names { //nolint:exhaustive // the others name no stream
	case aStream:
		a.request(v, "."+s.name, says)
	case aSubject:
		a.request(v, "."+s.name+".k1.x", says)
	case aConsumer, aFilter:
		for _, name := range a.consumers(s) {
			says := says
			if v.name == "CONSUMER.MSG.NEXT" && s.kind == out && a.who == (who{name, partner}) {
				says = a.fetch(a.channel(s.channel), name)
			}
			rest := "." + s.name + "." + name
			if v.names == aFilter {
				rest += ".k1.x"
			}
			a.request(v, rest, says)
		}
	}
}

// consumers are names of consumers to try on a stream: of every party where
// partners read, and of somebody where they do not.
func (a *asker) consumers(s stream) []string {
	if s.kind == out {
		return a.parties
	}
	return []string{a.who.Party}
}

func answerOf(a *asker, v verb, k kind) answer {
	if of := v.of(a.who.Role); of&k != 0 {
		return yes(a.who.Role + " needs " + v.name)
	}
	return no("no clause and no role gives it to " + a.who.String())
}

func (a *asker) request(v verb, rest string, says answer) {
	means := "JetStream " + v.name
	a.add(publish, "$JS.API."+v.name+rest, means, says)
	a.add(publish, domain(a.owner)+v.name+rest, means+" by the domain's name", says)
}

// domain is what a request begins with that names the owner's domain. The server
// takes it for the same request without.
func domain(owner string) string { return "$JS." + owner + ".API." }

// plain is a request without the domain's name.
func plain(owner, subj string) string {
	if rest, ok := strings.CutPrefix(subj, domain(owner)); ok {
		return "$JS.API." + rest
	}
	return subj
}

// inboxes asks about writing into other people's answers.
func (a *asker) inboxes() {
	for _, w := range a.everybody() {
		if w.inbox() != a.who.inbox() { // a party may be called like a role; its account is its own
			a.add(publish, w.inbox()+".x.y", "put an answer into the inbox of "+w.String(), no("answers come from the server"))
		}
	}
	for _, subj := range []string{"_R_.x.y", "_GR_.x", "$GR.x", "$NRG.V.x", "$JS.FC.x.y", "$JSC.R.x", "_INBOX.x"} {
		a.add(publish, subj, "write where the server alone writes", no("the server's own subject"))
	}
}

// system asks about the server's own services.
func (a *asker) system() {
	ops := a.only(subject.RoleOps, "ops sees statistics")
	a.add(publish, "$SYS.REQ.SERVER.PING", "see statistics of the server", ops)
	for _, what := range []string{"STATSZ", "VARZ", "JSZ", "CONNZ", "HEALTHZ"} {
		a.add(publish, "$SYS.REQ.SERVER.PING."+what, "see statistics of the server", ops)
	}
	none := no("nobody needs it")
	for _, subj := range []string{
		"$SYS.REQ.SERVER.PING.SUBSZ", "$SYS.REQ.SERVER.PING.ROUTEZ", "$SYS.REQ.SERVER.PING.PROFILEZ",
		"$SYS.REQ.SERVER.PING.EXPVARZ", "$SYS.REQ.SERVER.PING.RAFTZ", "$SYS.REQ.USER.INFO",
		"$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.ACCOUNT." + subject.Account(a.owner) + ".CONNZ",
		"$SYS.REQ.ACCOUNT." + subject.Account(a.owner) + ".JSZ", "$SYS.REQ.SERVER.X.RELOAD", "$SYS.REQ.SERVER.X.KICK",
		"$SYS.REQ.SERVER.X.LDM", "$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.CLAIMS.DELETE", "$SYS.REQ.CLAIMS.LIST",
		"$SYS.ACCOUNT.X.CONNECT", "$SYS._INBOX.x.y", "$SYS.SERVER.X.SHUTDOWN",
	} {
		a.add(publish, subj, "use a service of the server", none)
	}
}

// listens asks about hearing what is not one's own.
func (a *asker) listens() {
	a.add(subscribe, a.who.inbox()+".>", "hear answers to itself", yes("its own inbox"))
	for _, w := range a.everybody() {
		if w.inbox() != a.who.inbox() {
			a.add(subscribe, w.inbox()+".>", "hear answers to "+w.String(), no("not its own inbox"))
		}
	}
	service := a.only(subject.RoleGateway, "the gateway answers the link service")
	a.add(subscribe, subject.Link("*"), "answer the link service", service)
	for _, party := range a.parties {
		a.add(subscribe, subject.Link(party), "answer the link service for "+party, service)
	}
	a.add(subscribe, "$SYS.SERVER.*.STATSZ", "hear statistics", a.only(subject.RoleOps, "ops sees statistics"))
	none := no("nobody listens there")
	for _, subj := range []string{
		">", "*", "*.>", "*.*.>", "k1.>", "k1.*.>", "k1.*.*.*", "k1.x.>", "in.x.>", "in.>", "verdict.>", "stub.>", "quarantine.>",
		"desk.>", "$SYS.>", "$SYS.ACCOUNT.>", "$SYS.REQ.>", "$JS.>", "$JS.API.>", "$JS.EVENT.>", "$JS.ACK.>", "$JSC.>",
		"_INBOX.>", "_R_.>", "_GR_.>", "$NRG.>", a.who.inbox(),
	} {
		a.add(subscribe, subj, "listen to "+subj, none)
	}
	for _, c := range a.channels {
		a.add(subscribe, subject.SayAll(c.Subject(), a.owner), "listen to "+c.ID+" as it is said", none)
		for _, party := range a.parties {
			a.add(subscribe, subject.In(c.Subject(), party), "listen to what "+party+" said on "+c.ID, none)
		}
	}
}

// delivery is one combination of the agreements' matrix: what an origin says on
// a channel, and who reads it.
type delivery struct {
	channel               subject.Channel
	origin, token, reader string
	law                   answer
}

// deliveries are all combinations of which the owner is the origin, over all
// parties that are known.
func (l *law) deliveries() []delivery {
	var list []delivery
	for _, c := range l.channels {
		for _, token := range tokens() {
			said := l.say(c, token)
			for _, reader := range l.parties {
				if reader == l.owner {
					continue
				}
				says := said
				if says.yes {
					if may := l.fetch(c, reader); !may.yes {
						says = may
					}
				}
				list = append(list, delivery{c.Subject(), l.owner, token, reader, says})
			}
		}
	}
	return slices.Clip(list)
}
